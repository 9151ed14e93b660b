//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The command line, as these tests use it. Nothing else spells a subcommand or a flag.

const (
	overlay    = "lan.example"
	proxyAddr  = "127.0.0.1:5060" // where an adapter waits for its phone
	ringPort   = 5871
	serverPort = 5870
)

// bootstrapCommand starts a bootstrap server; paths are those of the charter, empty for the default.
func bootstrapCommand(state string, addr netip.Addr, paths string) []string {
	argv := []string{"bootstrap", "--state", state, "--overlay", overlay, "--listen", netip.AddrPortFrom(addr, serverPort).String(), "--log-level", "debug"}
	if paths != "" {
		argv = append(argv, "--paths", paths)
	}
	return argv
}

// adapterOptions are the settings in which the tests' adapters differ.
type adapterOptions struct {
	redirect string // "auto", "always", "never"; empty for the default
	path     string // "auto", "direct", "carried", "protected", "require-protected"; empty for the default
	listen   string // for the phone, "udp:IP:PORT"; empty for the default
	config   string // a configuration file; empty for none
	mapping  bool   // it asks its router for a port
	roams    bool   // it listens for other adapters at whatever address the host has
}

// adapterCommand starts an adapter; the join link is empty from the second start on.
func adapterCommand(state string, addr netip.Addr, link string, o adapterOptions) []string {
	if o.roams {
		addr = netip.IPv4Unspecified()
	}
	argv := []string{"adapter", "--state", state, "--listen", netip.AddrPortFrom(addr, ringPort).String(), "--log-level", "debug"}
	if o.mapping {
		argv = append(argv, "--nat-port-mapping", "auto")
	}
	for flag, value := range map[string]string{"--join": link, "--sip-redirect": o.redirect, "--sip-path": o.path, "--sip-listen": o.listen, "--config": o.config} {
		if value != "" {
			argv = append(argv, flag, value)
		}
	}
	return argv
}

func inviteCommand(state, user, number string, devices int) []string {
	argv := []string{"invite", user, "--state", state, "--devices", fmt.Sprint(max(devices, 1)), "--json"}
	if number != "" {
		argv = append(argv, "--number", number)
	}
	return argv
}

func statusCommand(state string) []string { return []string{"status", "--state", state, "--json"} }

func lookupCommand(state, name string) []string {
	return []string{"lookup", name, "--state", state, "--json"}
}

// program gives the binary under test: the one that scripts/e2e.sh has built, or one built now.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("E2E_PROGRAM"); path != "" {
		return path, nil
	}
	path := filepath.Join(os.Getenv(binDir), "secp2psip")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/secp2psip").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// binDir is the environment variable in which TestMain leaves the folder for what program builds.
const binDir = "E2E_BUILD_DIR"

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", fmt.Sprintf("s2p-%d-", os.Getpid()))
	if err == nil {
		err = os.Setenv(binDir, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	return m.Run()
}

// command puts the program before its arguments.
func command(t testing.TB, args []string) []string {
	t.Helper()
	path, err := program()
	must(t, err)
	return append([]string{path}, args...)
}
