//go:build e2e && linux

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/e2e/internal/phone"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// converse begins a call between two people and returns when each hears the other.
func converse(t testing.TB, a, b *person) {
	t.Helper()
	ready(t, a.phone, b.phone)
	t.Cleanup(func() {
		if t.Failed() { // do not let one failure keep the phones busy for the next call
			_, _ = a.phone.Hangup(context.Background()), b.phone.Hangup(context.Background())
		}
	})
	must(t, a.phone.Dial(within(t, answering), a.uri(b.user)))
	must(t, a.phone.WaitEstablished(within(t, answering)))
	must(t, b.phone.WaitEstablished(within(t, answering)))
	must(t, a.phone.WaitHeard(within(t, answering), talking))
	must(t, b.phone.WaitHeard(within(t, answering), talking))
}

// part ends that call and checks that each has heard the other to the end.
func part(t testing.TB, a, b *person) {
	t.Helper()
	must(t, a.phone.Hangup(within(t, closing)))
	must(t, a.phone.WaitClosed(within(t, closing)))
	must(t, b.phone.WaitClosed(within(t, closing)))
	proveHeard(t, a.phone, b.hz)
	proveHeard(t, b.phone, a.hz)
}

// received is how many packets have come for a person's phone in the one call that goes on.
func (p *person) received() uint64 {
	p.t.Helper()
	s, err := p.status(within(p.t, starting))
	must(p.t, err)
	if len(s.Live) != 1 || s.Live[0].Media == nil {
		p.t.Fatalf("%s's calls: %+v", p.user, s.Live)
	}
	return s.Live[0].Media.Received.Packets
}

// goesOn waits until half a second more of sound has come to each.
func goesOn(t testing.TB, what string, people ...*person) {
	t.Helper()
	before := map[*person]uint64{}
	for _, p := range people {
		before[p] = p.received()
	}
	for _, p := range people {
		p.wait(fmt.Sprintf("%s hears the other: %s", p.user, what), func(s admin.Status) bool {
			return len(s.Live) == 1 && s.Live[0].Media.Received.Packets > before[p]+25
		})
	}
}

// records reads a person's file of calls; every line of it must be whole.
func (p *person) records() (out []admin.CallRecord) {
	p.t.Helper()
	f, err := os.Open(filepath.Join(p.state, "calls.jsonl"))
	must(p.t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var r admin.CallRecord
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			p.t.Fatalf("%s's file of calls: %v: %s", p.user, err, s.Text())
		}
		out = append(out, r)
	}
	return out
}

// recorded waits until the last record holds.
func (p *person) recorded(what string, holds func(admin.CallRecord) bool) {
	p.t.Helper()
	var all []admin.CallRecord
	p.wait(what, func(admin.Status) bool {
		if _, err := os.Stat(filepath.Join(p.state, "calls.jsonl")); err != nil {
			return false
		}
		all = p.records()
		return len(all) > 0 && holds(all[len(all)-1])
	})
}

// TestTroubleInMidCall: while two talk, the bootstrap server is killed and comes back, strangers flood the ports that
// media and link use and call the phone in somebody's name, and a disk fills up. The call goes on, the phone does not ring,
// and what is wrong is said or counted.
func TestTroubleInMidCall(t *testing.T) {
	t.Parallel()
	o := newOfficeOf(t, "require-protected",
		spec{user: "alice", kind: "linphonec", hz: callerHz, loopback: true},
		spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true, disk: "2m"},
	)
	alice, bob := o.people["alice"], o.people["bob"]
	converse(t, alice, bob)

	o.server.kill()
	goesOn(t, "the bootstrap server is dead", alice, bob)
	o.server.start()
	o.server.wait("the bootstrap server is back", func(s admin.Status) bool { return s.Phase == "joined" })
	goesOn(t, "the bootstrap server is back", alice, bob)

	stop := flood(t, o, bob)
	bob.wait("the flood arrives", func(s admin.Status) bool { return s.Refusals["media/media_stranger"] > 1000 })
	goesOn(t, "the ports are flooded", alice, bob)
	stop()
	proveUnheard(t, o, bob)

	full := filepath.Join(bob.state, "full")
	fill(t, full)
	goesOn(t, "the disk is full", alice, bob)
	part(t, alice, bob)
	s := bob.wait("it says that a call was not written down", func(s admin.Status) bool {
		return strings.Contains(strings.Join(s.Warnings, "\n"), "not written down")
	})
	t.Logf("bob's adapter warns: %v", s.Warnings)
	must(t, os.Remove(full))
	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob")})
	bob.recorded("the next call is written down", func(r admin.CallRecord) bool { return strings.HasPrefix(r.Reason, "hung up") })
}

// flood sends, from bob's own host and from another one, what looks like media to the ports at which his adapter takes his
// phone's, and rubbish to the port at which it takes other adapters', until stop is called: a hundred times what the phone sends.
func flood(t testing.TB, o *office, bob *person) (stop func()) {
	t.Helper()
	stranger := o.lab.Host("stranger")
	var conns []net.Conn
	dial := func(dial func(context.Context, string, string) (net.Conn, error), to string) {
		conn, err := dial(t.Context(), "udp", to)
		must(t, err)
		conns = append(conns, conn)
	}
	for _, port := range []string{"40100", "40101"} {
		dial(bob.host.Dial, net.JoinHostPort("127.0.0.1", port))
		dial(stranger.Dial, net.JoinHostPort(bob.host.Addr.String(), port))
	}
	dial(stranger.Dial, net.JoinHostPort(bob.host.Addr.String(), fmt.Sprint(ringPort)))
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		packet := make([]byte, 172) // G.711, 20 ms
		packet[0] = 0x80
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := byte(0); ; n++ {
			packet[3], packet[40] = n, n
			for _, conn := range conns {
				_, _ = conn.Write(packet) // where nothing listens, the error comes with the next one
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		work.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// proveUnheard has another host call a phone in the name of the person whom it talks to, at the phone itself and at its
// adapter: nothing listens there, so that the phone has been called once, by its adapter.
func proveUnheard(t testing.TB, o *office, bob *person) {
	t.Helper()
	mallory := o.lab.Host("mallory")
	for _, port := range []string{"5060", "5062"} {
		at := net.JoinHostPort(bob.host.Addr.String(), port)
		if conn, err := mallory.Dial(t.Context(), "tcp", at); err == nil {
			_ = conn.Close()
			t.Errorf("somebody answers at %s over TCP", at)
		}
		conn, err := mallory.Dial(t.Context(), "udp", at)
		must(t, err)
		_, err = fmt.Fprintf(conn, "INVITE sip:bob@%[1]s SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bKspoof;rport\r\nFrom: <sip:alice@127.0.0.1>;tag=1\r\nTo: <sip:bob@127.0.0.1>\r\n"+
			"Call-ID: spoof\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@%[2]s>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n", at, conn.LocalAddr())
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(answering)))
		if n, err := conn.Read(make([]byte, 1500)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%d bytes come from %s, %v; it must be closed", n, at, err)
		}
		_ = conn.Close()
	}
	rang := 0
	for _, m := range bob.phone.Trace() {
		if m.Method == "INVITE" && m.Status == 0 && !m.Sent {
			rang++
		}
	}
	if rang != 1 {
		t.Errorf("%s has been called %d times", bob.phone.Name(), rang)
	}
}

// TestAdapterDiesInMidCall kills a called person's adapter in the middle of one call, and a caller's in the middle of
// another. The other side is hung up within 15 s and told why; so is the phone whose adapter died, as soon as that one
// runs again; and all four files of calls say how the calls ended.
func TestAdapterDiesInMidCall(t *testing.T) {
	t.Parallel()
	o := newOfficeOf(t, "require-protected",
		spec{user: "alice", kind: "baresip", hz: callerHz, loopback: true},
		spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true},
		spec{user: "carol", kind: "linphonec", hz: callerHz, loopback: true},
		spec{user: "dave", kind: "linphonec", hz: calledHz, loopback: true},
	)
	alice, bob, carol, dave := o.people["alice"], o.people["bob"], o.people["carol"], o.people["dave"]
	converse(t, alice, bob)
	converse(t, carol, dave)
	killed := time.Now()
	bob.kill()
	carol.kill()
	for _, p := range []*person{alice, dave} {
		must(t, p.phone.WaitClosed(within(t, 2*answering)))
		if took := time.Since(killed); took > 15*time.Second {
			t.Errorf("%s is hung up %v after the other's adapter died", p.phone.Name(), took)
		}
		proveHungUp(t, p, "fallen silent", "lost")
		p.wait("no call goes on", func(s admin.Status) bool { return len(s.Live) == 0 })
	}
	for _, p := range []*person{bob, carol} {
		p.start()
		must(t, p.phone.WaitClosed(within(t, starting)))
		proveHungUp(t, p, "interrupted")
	}
	o.settled(5)
	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob")})
	proveCall(t, call{from: carol.phone, to: dave.phone, uri: carol.uri("dave"), calledHangsUp: true})
}

// TestAdapterStaysDead: an adapter is killed in mid-call and does not come back. The other side's phone is hung up by its
// own adapter; the one beside the dead adapter hears nothing any more, and hangs up by itself where it is set to.
func TestAdapterStaysDead(t *testing.T) {
	t.Parallel()
	const silence = 4
	o := newOfficeOf(t, "require-protected",
		spec{user: "alice", kind: "baresip", hz: callerHz, loopback: true},
		spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true, silence: silence},
		spec{user: "carol", kind: "linphonec", hz: callerHz, loopback: true, silence: silence},
		spec{user: "dave", kind: "linphonec", hz: calledHz, loopback: true},
	)
	alice, bob, carol, dave := o.people["alice"], o.people["bob"], o.people["carol"], o.people["dave"]
	converse(t, alice, bob)
	converse(t, carol, dave)
	bob.kill()
	carol.kill()
	for _, p := range []*person{alice, dave} {
		must(t, p.phone.WaitClosed(within(t, 2*answering)))
		proveHungUp(t, p, "fallen silent", "lost")
	}
	ctx := within(t, 2*answering)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, p := range []*person{bob, carol} {
		for !gaveUp(p.phone) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("%s talks to nobody", p.phone.Name())
			}
		}
	}
}

// gaveUp tells whether a phone has sent a BYE.
func gaveUp(p phone.Phone) bool {
	for _, m := range p.Trace() {
		if m.Method == "BYE" && m.Status == 0 && m.Sent {
			return true
		}
	}
	return false
}

// proveHungUp checks that a person's own adapter has hung the phone up, and that the file of calls has the same reason.
func proveHungUp(t testing.TB, p *person, reasons ...string) {
	t.Helper()
	holds := func(text string) bool {
		for _, r := range reasons {
			if strings.Contains(text, r) {
				return true
			}
		}
		return false
	}
	said := ""
	for _, m := range p.phone.Trace() {
		if m.Method == "BYE" && m.Status == 0 && !m.Sent {
			said = m.Header("Reason")
		}
	}
	if !holds(said) {
		t.Errorf("%s is hung up with the reason %q, not %q", p.phone.Name(), said, reasons)
	}
	p.recorded("the call's end is written down", func(r admin.CallRecord) bool {
		return holds(r.Reason) && r.Path == "protected" && r.Status == 200 && r.Key != ""
	})
}
