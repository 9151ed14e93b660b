//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is one machine of the LAN.
type Host struct {
	Name   string
	Addr   netip.Addr // on the LAN
	Addr6  netip.Addr // on a LAN with IPv6
	Dir    string     // its files
	Router *Host      // of a host behind one

	lab  *Lab
	ns   string
	port string // of the switch

	moves int
}

// Cut pulls the host's plug out of the switch; its loopback goes on.
func (h *Host) Cut() { h.lab.ip("-n", h.lab.id+"-sw", "link", "set", h.port, "down") }

// DropUDP has a firewall before the host drop all UDP from now on, in both directions, and tell nobody.
func (h *Host) DropUDP() {
	Require(h.lab.t, "nft")
	h.lab.ip("netns", "exec", h.lab.id+"-sw", "nft", "add table bridge wall; add chain bridge wall between { type filter hook forward priority 0 ; }; "+
		"add rule bridge wall between iifname "+h.port+" meta l4proto udp drop; add rule bridge wall between oifname "+h.port+" meta l4proto udp drop")
}

// Move gives the host another address on the LAN, as a change of networks does: for a moment it has none. Programs that
// listen at the old one are not told.
func (h *Host) Move() {
	h.lab.mu.Lock()
	h.moves++
	to := h.lab.addr(byte(100 + 20*h.moves + int(h.Addr.As4()[3])%20))
	h.lab.mu.Unlock()
	h.lab.ip("-n", h.ns, "addr", "flush", "dev", "eth0")
	h.lab.ip("-n", h.ns, "addr", "add", to.String()+"/24", "dev", "eth0")
	h.lab.ip("-n", h.ns, "route", "replace", "default", "via", h.lab.addr(254).String())
}

// Lose takes one family's addresses on the LAN from the host, "-4" or "-6", as a network does that stops to route them.
func (h *Host) Lose(family string) {
	h.lab.ip(family, "-n", h.ns, "addr", "flush", "dev", "eth0", "scope", "global")
}

// Regain gives them back.
func (h *Host) Regain(family string) {
	if family == "-6" {
		h.lab.ip("-n", h.ns, "addr", "add", h.Addr6.String()+"/64", "dev", "eth0", "nodad")
		return
	}
	h.lab.ip("-n", h.ns, "addr", "add", h.Addr.String()+"/24", "dev", "eth0")
	h.lab.ip("-n", h.ns, "route", "replace", "default", "via", h.lab.addr(254).String())
}

// Start runs a program on the host until the test ends or Kill is called. The name heads its log.
func (h *Host) Start(name string, env []string, argv ...string) (*Proc, error) {
	cmd := h.command(context.Background(), env, argv)
	h.lab.mu.Lock()
	n := len(h.lab.procs)
	h.lab.mu.Unlock()
	p, err := startProc(h, name, filepath.Join(h.lab.logs, fmt.Sprintf("%s-%s-%d.log", h.Name, name, n)), cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", name, h.Name, err)
	}
	h.lab.mu.Lock()
	h.lab.procs = append(h.lab.procs, p)
	h.lab.mu.Unlock()
	return p, nil
}

// Run runs a program on the host to its end and gives what it wrote to its standard output. An exit code other than 0
// is an *exec.ExitError whose text carries the standard error.
func (h *Host) Run(ctx context.Context, argv ...string) ([]byte, error) {
	out, err := h.command(ctx, nil, argv).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%s on %s: %w: %s", filepath.Base(argv[0]), h.Name, err, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}

func (h *Host) command(ctx context.Context, env, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.ns}, argv...)...) // #nosec G204 -- what the tests themselves start
	cmd.Dir = h.Dir
	cmd.Env = append(os.Environ(), append([]string{"HOME=" + h.Dir}, env...)...)
	return cmd
}

// Dial connects to a literal address as a program on the host would, its loopback included.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var conn net.Conn
	err := h.inside(func() (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// inside runs do on a thread that is in the host's network namespace. A socket stays in the namespace it was made in.
func (h *Host) inside(do func() error) error { return insideOf(h.ns, do) }

func insideOf(ns string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			home, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return err
			}
			defer home.Close()
			there, err := os.Open(filepath.Join("/run/netns", ns))
			if err != nil {
				return err
			}
			defer there.Close()
			if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter %s: %w", ns, err)
			}
			err = do()
			if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
				return errors.Join(err, back) // the thread stays locked and ends with this goroutine
			}
			runtime.UnlockOSThread()
			return err
		}()
	}()
	return <-done
}
