//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// prefix begins the name of every namespace and folder that a lab makes; the process number follows.
const prefix = "s2p"

// labs numbers the labs of this process.
var labs atomic.Uint32

// Lab is one LAN. Its methods fail the test when the machine does not do what they ask for.
type Lab struct {
	t    testing.TB
	id   string // "s2p-PID-N"
	plan Plan
	dir  string // short path: Unix sockets in it must stay below 108 bytes
	logs string

	mu    sync.Mutex
	hosts []*Host
	procs []*Proc
}

// Plan says which addresses a LAN has.
type Plan struct {
	Net  [3]byte // of its IPv4 addresses, of which .254 is the gateway; zero value = 10.0.0
	IPv6 bool    // beside these each host has fd00::N, N being the end of its IPv4 address
	Not4 bool    // of IPv4 the hosts have 127.0.0.1 and no more
}

// addr is the n-th IPv4 address of the LAN.
func (l *Lab) addr(n byte) netip.Addr {
	return netip.AddrFrom4([4]byte{l.plan.Net[0], l.plan.Net[1], l.plan.Net[2], n})
}

// addr6 is the n-th IPv6 address.
func addr6(n byte) netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfd, 15: n}) }

// New makes an empty LAN, 10.0.0.0/24, that is taken down, with everything that runs in it, when the test ends.
func New(t testing.TB) *Lab {
	t.Helper()
	return NewOn(t, Plan{})
}

// NewOn is New with addresses of one's choice.
func NewOn(t testing.TB, plan Plan) *Lab {
	t.Helper()
	if plan.Net == [3]byte{} {
		plan.Net = [3]byte{10, 0, 0}
	}
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run `make e2e`, which finds a way")
	}
	Require(t, "ip")
	sweepOnce()
	l := &Lab{t: t, plan: plan, id: fmt.Sprintf("%s-%d-%d", prefix, os.Getpid(), labs.Add(1)), logs: artifacts(t)}
	l.dir = filepath.Join(os.TempDir(), l.id)
	if err := os.Mkdir(l.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.ip("netns", "add", l.id+"-sw")
	l.ip("-n", l.id+"-sw", "link", "set", "lo", "up")
	l.ip("-n", l.id+"-sw", "link", "add", "br0", "type", "bridge")
	l.ip("-n", l.id+"-sw", "addr", "add", l.addr(254).String()+"/24", "dev", "br0")
	l.ip("-n", l.id+"-sw", "link", "set", "br0", "up")
	// The gateway takes every other address for its own and offers nothing there: a phone that asks a name server learns
	// at once that it is closed, instead of waiting.
	l.ip("-n", l.id+"-sw", "route", "add", "local", "default", "dev", "lo")
	l.ip("netns", "exec", l.id+"-sw", "sh", "-c", "cd /proc/sys/net/ipv4 && echo 1 >ip_forward && echo 0 >icmp_ratelimit")
	return l
}

// artifacts gives the folder for the logs: what -artifacts keeps where the flag is set, else one that goes with the test.
func artifacts(t testing.TB) string {
	if a, ok := t.(interface{ ArtifactDir() string }); ok {
		return a.ArtifactDir()
	}
	return t.TempDir()
}

// Host adds a host to the LAN, with the next free address from 10.0.0.1 on. The name is a short word.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.hosts) + 1
	if n > 253 {
		l.t.Fatal("a lab has at most 253 hosts")
	}
	h := &Host{
		Name: name,
		Addr: l.addr(byte(n)),
		Dir:  filepath.Join(l.dir, name),
		lab:  l,
		ns:   l.id + "-" + name,
		port: "p" + strconv.Itoa(n),
	}
	if err := os.Mkdir(h.Dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	l.ip("netns", "add", h.ns)
	l.hosts = append(l.hosts, h)
	l.ip("-n", h.ns, "link", "set", "lo", "up")
	l.ip("-n", l.id+"-sw", "link", "add", h.port, "type", "veth", "peer", "name", "eth0", "netns", h.ns)
	l.ip("-n", l.id+"-sw", "link", "set", h.port, "master", "br0", "up")
	l.ip("-n", h.ns, "addr", "add", h.Addr.String()+"/24", "dev", "eth0")
	l.ip("-n", h.ns, "link", "set", "eth0", "up")
	l.ip("-n", h.ns, "route", "add", "default", "via", l.addr(254).String())
	if l.plan.IPv6 {
		h.Addr6 = addr6(byte(n))
		l.ip("-n", h.ns, "addr", "add", h.Addr6.String()+"/64", "dev", "eth0", "nodad")
	}
	if l.plan.Not4 {
		h.Lose("-4")
	}
	return h
}

// Plan is what the LAN was made with.
func (l *Lab) Plan() Plan { return l.plan }

// Dir is the folder of files that the hosts share.
func (l *Lab) Dir() string { return l.dir }

// ip runs the ip command.
func (l *Lab) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
}

// crash is what a Go program writes when it breaks, or when the race detector finds something.
var crash = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE)`)

// close ends the processes, removes the namespaces, fails the test if one of them crashed and, after a failure, prints the end of each log.
func (l *Lab) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.procs {
		p.Kill()
	}
	for _, p := range l.procs {
		for _, line := range p.Log.From(0) {
			if crash.MatchString(line) {
				l.t.Errorf("%s on %s: %s", p.Name, p.host.Name, line)
			}
		}
	}
	if l.t.Failed() {
		for _, p := range l.procs {
			l.t.Logf("--- last lines of %s on %s (%s)\n%s", p.Name, p.host.Name, p.State(), strings.Join(p.Log.Tail(40), "\n"))
		}
	}
	for _, h := range l.hosts {
		removeNamespace(h.ns)
	}
	removeNamespace(l.id + "-sw")
	if err := os.RemoveAll(l.dir); err != nil {
		l.t.Errorf("remove the lab's files: %v", err)
	}
}
