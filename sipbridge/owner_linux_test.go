package sipbridge

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// as runs f on a thread of its own that is another user's for good: the
// sockets f opens are that user's. Only root can become somebody else, so for
// anybody else the other user is the test's own.
func as(t *testing.T, uid uint32, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			id := uintptr(uid)
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, id, id, id); errno != 0 {
				done <- errno
				return
			}
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// users are two users of the host beside root and the adapter's own.
const alicesUID, mallorysUID = 61_001, 61_002

// phoneOf is a phone on a socket of that user.
func (r *rig) phoneOf(t *testing.T, uid uint32, network, name string) (p *phone) {
	t.Helper()
	as(t, uid, func() { p = r.phone(t, network, name) })
	return p
}

// The kernel names the user behind each kind of socket, by either way of
// asking, and nobody for one that is gone.
func TestSocketUsers(t *testing.T) {
	r := start(t, &hub{}, func(c *Config) { c.Listen = []string{"127.0.0.1:0", "[::1]:0"} })
	for name, ask := range map[string]func(carry.Flow) (uint32, error){"question": askKernel, "tables": readTables} {
		for _, e := range r.Addrs() {
			for _, shape := range []string{"connected", "bound", "wild"} {
				if e.Network == "tcp" && shape != "connected" {
					continue
				}
				c, f := flowFrom(t, e, shape)
				uid, err := ask(f)
				if err != nil || uid != userHere() {
					t.Errorf("%s, %s %s %s: user %d %v", name, e.Network, e.Addr, shape, uid, err)
				}
				c.Close()
				if uid, err := ask(f); err == nil {
					t.Errorf("%s, %s %s %s: closed, and user %d", name, e.Network, e.Addr, shape, uid)
				}
			}
		}
	}
}

// userHere is who a socket of phoneOf(alicesUID) belongs to.
func userHere() uint32 {
	if os.Geteuid() == 0 {
		return alicesUID
	}
	return uint32(os.Geteuid())
}

// flowFrom opens a socket of alice's towards one of ours, and describes it as
// the front sees it.
func flowFrom(t *testing.T, e Addr, shape string) (c net.Conn, f carry.Flow) {
	t.Helper()
	f = carry.Flow{Transport: e.Network, Local: e.Addr}
	as(t, alicesUID, func() {
		var err error
		switch shape {
		case "connected":
			c, err = net.Dial(e.Network, e.Addr.String())
		case "bound":
			c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(e.Addr.Addr(), 0)))
		default: // of both families, as many phones have it
			c, err = net.ListenUDP("udp", &net.UDPAddr{})
		}
		if err != nil {
			t.Error(err)
		}
	})
	if c == nil {
		t.FailNow()
	}
	switch a := c.LocalAddr().(type) {
	case *net.UDPAddr:
		f.Remote = netip.AddrPortFrom(e.Addr.Addr(), a.AddrPort().Port())
	case *net.TCPAddr:
		f.Remote = netip.AddrPortFrom(e.Addr.Addr(), a.AddrPort().Port())
	}
	return c, f
}

// A name belongs to the user of the host who registered it first. Another
// user's phone neither registers it, nor unregisters it, nor calls or writes
// in it; its owner's other phones do, and so does whoever has its password.
func TestMatrixF3SecondUser(t *testing.T) {
	h := &hub{call: bob, self: 1} // root owns the test's process; the adapter has a user of its own
	r := start(t, h, func(c *Config) { c.Digest = map[string]string{"bob": "build"} })
	tried := 0
	for _, network := range []string{"udp", "tcp"} {
		alice := r.phoneOf(t, alicesUID, network, "alice")
		if m := alice.ask(alice.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>")); m.Status != 200 {
			t.Fatalf("%s", m)
		}
		attacks := 0
		mallory := r.phoneOf(t, mallorysUID, network, "alice")
		mallory.n = 1000 // newer than anything of alice's
		for _, msg := range []string{
			mallory.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>"),
			mallory.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: *", "Expires: 0"),
			mallory.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: <sip:alice-x@"+alice.addr()+">"),
			mallory.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: <sip:alice-x@"+alice.addr()+">;expires=0"),
			mallory.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact:"),
			mallory.request("INVITE", "bob"), mallory.request("MESSAGE", "bob", "Body: hi"),
		} {
			attacks, tried = attacks+1, tried+1
			if m := mallory.ask(msg); os.Geteuid() == 0 && (m.Status != 403 || !strings.Contains(m.field("Warning"), "another user")) {
				t.Errorf("%s: %s\n%s", network, strings.SplitN(msg, "\r\n", 2)[0], m)
			}
		}
		if os.Geteuid() == 0 {
			live := r.Bindings(aor("alice"))
			if len(live) == 0 || r.refused.of(RefusedOwner) < attacks {
				t.Errorf("%d phones, %d attacks counted of %d", len(live), r.refused.of(RefusedOwner), attacks)
			}
			for _, v := range live {
				if !strings.Contains(v.Contact, "alice-x@127.0.0.1:") || strings.Contains(v.Contact, mallory.addr()) || v.Owner != "61001" {
					t.Errorf("%+v", v)
				}
			}
		}
		second := r.phoneOf(t, alicesUID, network, "alice")
		second.n = 2000
		if m := second.ask(second.request("INVITE", "bob")); m.Status != 302 {
			t.Errorf("alice's other phone: %s", m)
		}
		if m := second.ask(second.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: *", "Expires: 0")); m.Status != 200 {
			t.Errorf("alice's other phone: %s", m)
		}
	}
	if n := len(r.Bindings(aor("alice"))); n != 0 {
		t.Errorf("%d phones are left", n)
	}
	t.Logf("matrix: F3 another user of the host uses alice's name: 0 of %d (%d refused for their owner)", tried, r.refused.of(RefusedOwner))
}

// A password moves a name from one user of the host to another; without one,
// what was refused, or failed, gives nobody a name.
func TestMatrixF3PasswordMovesName(t *testing.T) {
	var works atomic.Bool
	h := &hub{call: bob, self: 1, register: func(context.Context, Registration) error {
		if works.Load() {
			return nil
		}
		return errors.New("no")
	}}
	r := start(t, h, func(c *Config) { c.Digest = map[string]string{"bob": "build"} })
	first := r.phoneOf(t, alicesUID, "udp", "bob")
	lines := []string{"To: <sip:bob@lan.example>"}
	if m := first.ask(first.request("REGISTER", "sip:lan.example", append(lines, "Contact: *", "Expires: 0")...)); m.Status != 200 || r.owners.name(aor("bob")) != "" {
		t.Errorf("taking nothing back made an owner: %s", m)
	}
	if m := first.ask(first.request("REGISTER", "sip:lan.example", lines...)); m.Status != 500 || r.owners.name(aor("bob")) != "" {
		t.Errorf("a failure made an owner: %s", m)
	}
	works.Store(true)
	if m := first.ask(first.request("REGISTER", "sip:lan.example", lines...)); m.Status != 200 {
		t.Errorf("%s", m)
	}
	second := r.phoneOf(t, mallorysUID, "udp", "bob")
	second.n = 100
	challenge := second.ask(second.request("REGISTER", "sip:lan.example", lines...))
	if os.Geteuid() != 0 {
		return // there is one user only, who needs no password
	}
	if challenge.Status != 401 {
		t.Fatalf("%s", challenge)
	}
	c := challenges(challenge)[0]
	if m := second.ask(second.request("REGISTER", "sip:lan.example", append(lines, answer(c, "REGISTER", "sip:lan.example", "bob", "wrong", 1))...)); m.Status != 401 {
		t.Errorf("%s", m)
	}
	if m := second.ask(second.request("REGISTER", "sip:lan.example", append(lines, answer(c, "REGISTER", "sip:lan.example", "bob", "build", 1))...)); m.Status != 200 {
		t.Errorf("%s", m)
	}
	if m := first.ask(first.request("INVITE", "alice")); m.Status != 401 {
		t.Errorf("the former owner: %s", m)
	}
	if m := second.ask(second.request("INVITE", "alice")); m.Status != 302 {
		t.Errorf("the new owner: %s", m)
	}
	t.Logf("matrix: F3 a name taken without its password: 0 of 3")
}

// The owner outlives a restart together with the phones.
func TestOwnerIsRestored(t *testing.T) {
	r := start(t, &hub{call: bob, self: 1}, nil)
	p := r.phoneOf(t, alicesUID, "udp", "alice")
	if m := p.ask(p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>")); m.Status != 200 {
		t.Fatalf("%s", m)
	}
	next := start(t, &hub{call: bob}, nil)
	next.Restore(aor("alice"), r.Bindings(aor("alice")))
	if got, want := next.owners.name(aor("alice")), r.owners.name(aor("alice")); got != want || got == "" {
		t.Errorf("owner %q, was %q", got, want)
	}
}

// With LocalDigest every phone of the host needs its password, whoever owns
// its socket, and a front whose names have none does not start.
func TestMatrixF3LocalDigest(t *testing.T) {
	r := start(t, &hub{call: bob}, func(c *Config) { c.LocalDigest, c.Digest = true, map[string]string{"alice": "wonder"} })
	for _, network := range []string{"udp", "tcp"} {
		p := r.phone(t, network, "alice")
		for _, m := range []*reply{
			p.ask(p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>")), p.ask(p.request("INVITE", "bob")), p.ask(p.request("MESSAGE", "bob")),
			p.ask(p.request("REGISTER", "sip:lan.example", "To: <sip:nobody@lan.example>")),
		} {
			if m.Status != 401 {
				t.Errorf("%s: %s", network, m)
			}
		}
		asked := challenges(p.ask(p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>")))
		if len(asked) == 0 {
			t.Fatalf("%s: no password is asked for", network)
		}
		c := asked[0]
		if m := p.ask(p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", answer(c, "REGISTER", "sip:lan.example", "alice", "wonder", 1))); m.Status != 200 {
			t.Errorf("%s: %s", network, m)
		}
	}
	if _, err := New(Config{Overlay: "lan.example", Directory: &hub{}, Listen: []string{"127.0.0.1:0"}, LocalDigest: true, Accounts: []string{"alice"}}); !errors.Is(err, ErrConfig) {
		t.Errorf("a front that no phone can use: %v", err)
	}
	t.Logf("matrix: F3 requests served without the password where it is required: 0 of 8")
}
