//go:build linux

package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path"
	"runtime/pprof"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// callProfile profiles the measured calls alone; -cpuprofile has the making of
// the LAN in it too.
var callProfile = flag.String("callprofile", "", "write a CPU profile of the calls to `FILE.NAME`, NAME being the kind of call")

// people is how many adapters the LAN has; with the bootstrap server that
// makes 32 nodes.
const people = 31

// lan is a LAN in which everybody has a phone.
type lan struct {
	*testnet.LAN
	b       *testing.B
	ref     *reference
	members []*testnet.Member
	callers []*caller
	turn    int
}

func newLAN(b *testing.B) *lan {
	b.Helper()
	l := &lan{LAN: testnet.New(b, nil), b: b}
	var phones []*demo.Phone
	for i := range people {
		name := fmt.Sprintf("p%02d", i)
		m := l.Add(name, nil)
		l.members = append(l.members, m)
		l.callers = append(l.callers, newCaller(b, name, m.SIP()))
		phones = append(phones, m.Unregistered(name, 440))
	}
	b.Cleanup(l.stop)
	l.register(phones)
	testnet.Eventually(b, "the ring comes to rest", func() bool {
		for _, m := range l.members {
			if v := m.It.Node().Ring().View(); !v.Ideal || !v.Complete {
				return false
			}
		}
		return true
	})
	l.ref = newReference(b)
	return l
}

// register enrols and registers everybody, a few at a time.
func (l *lan) register(phones []*demo.Phone) {
	ctx, cancel := context.WithTimeout(l.b.Context(), people*testnet.Deadline)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(4)
	for _, p := range phones {
		g.Go(func() error { return p.Register(ctx) })
	}
	if err := g.Wait(); err != nil {
		l.b.Fatal(err)
	}
	for _, m := range l.members {
		m.Joined()
	}
}

// stop ends all adapters at once: one after the other would be a minute of
// handing records over to those that go next.
func (l *lan) stop() {
	var wg sync.WaitGroup
	for _, m := range l.members {
		wg.Go(func() { m.Stop(l.b) })
	}
	wg.Wait()
}

// pair is who calls whom.
type pair struct{ from, to int }

// next takes the next pair, so that no caller exceeds the calls per callee
// that adapters allow.
func (l *lan) next() pair {
	from := l.turn % people
	to := (from + 1 + l.turn/people%(people-1)) % people
	l.turn++
	return pair{from, to}
}

func (l *lan) invite(p pair) (time.Duration, error) {
	return l.callers[p.from].invite(l.members[p.to].Name)
}

// connect opens every link there may be.
func (l *lan) connect(b *testing.B) {
	for _, from := range l.members {
		for _, to := range l.members {
			if from == to {
				continue
			}
			if _, err := from.It.Node().Link().Connect(b.Context(), to.It.Node().Self()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// disconnect closes every link of both adapters.
func (l *lan) disconnect(p pair) {
	for _, who := range []int{p.from, p.to} {
		l.members[who].It.Node().Link().Drop(func(*link.Conn) bool { return true })
	}
}

// forget makes both sides of a call know nothing of each other.
func (l *lan) forget(b *testing.B, p pair) {
	for _, side := range []struct{ who, of int }{{p.from, p.to}, {p.to, p.from}} {
		n := l.members[side.who].It.Node()
		forgetAll(b, n)
		aor, err := identity.NewAOR(l.members[side.of].Name, n.Trust().Overlay())
		if err != nil {
			b.Fatal(err)
		}
		n.Directory().Invalidate(aor)
	}
}

// forgetAll makes a node forget every certificate, delegation and record whose
// signature it has checked. Only the issuing certificate, which every link
// shows and which stands behind every record, stays checked.
func forgetAll(b *testing.B, n *node.Node) {
	trust, err := identity.NewTrust(n.Trust().RootCertificate(), n.Trust().Charter())
	if err != nil {
		b.Fatal(err)
	}
	stored := n.Store().All()
	if len(stored) == 0 {
		b.Fatal("the node stores nothing")
	}
	chain := stored[0].Chain.Certificates
	if _, err := trust.VerifyIssuer(chain[len(chain)-1], time.Time{}); err != nil {
		b.Fatal(err)
	}
	n.Directory().SetTrust(trust)
}

// measure times b.N calls, and beside each of them the reference.
func (l *lan) measure(b *testing.B, before func(pair), reference func() time.Duration) {
	calls, refs := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
	var used time.Duration
	defer profile(b)()
	for b.Loop() {
		p := l.next()
		refs = append(refs, reference())
		if before != nil {
			before(p)
		}
		start := cpuTime(b)
		d, err := l.invite(p)
		if err != nil {
			b.Fatal(err)
		}
		used += cpuTime(b) - start
		calls = append(calls, d)
	}
	report(b, calls)
	b.ReportMetric(ms(median(refs)), "ref-p50-ms")
	b.ReportMetric(ms(used)/float64(len(calls)), "cpu-ms/call")
}

func profile(b *testing.B) (stop func()) {
	if *callProfile == "" {
		return func() {}
	}
	f, err := os.Create(*callProfile + "." + path.Base(b.Name()))
	if err != nil {
		b.Fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		b.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}
}

// cpuTime is what this process has used, in user and system mode.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCalls is INVITE → 302 between any two of 31 adapters on loopback,
// with the bootstrap server 32 nodes.
//
//	cold        nothing cached, links up; each side rebuilds the other's key
//	            from k of n shares for every call
//	cold-links  the same, and every link of both adapters is closed before
//	warm        resolutions cached; INVITE and REDIRECT are exchanged and
//	            verified anew
//
// The reference beside them: eight bare QUIC requests at once, as many as one
// resolution makes; for cold-links a handshake and a request; for warm one
// request.
func BenchmarkCalls(b *testing.B) {
	l := newLAN(b)
	b.Run("cold", func(b *testing.B) {
		l.connect(b)
		l.measure(b, func(p pair) { l.forget(b, p) }, func() time.Duration { return l.ref.ask(b, 8) })
	})
	b.Run("cold-links", func(b *testing.B) {
		l.measure(b, func(p pair) {
			l.forget(b, p)
			l.disconnect(p)
		}, func() time.Duration { return l.ref.handshake(b) })
	})
	b.Run("warm", func(b *testing.B) {
		l.connect(b)
		for range people * (people - 1) { // everybody has called everybody
			if _, err := l.invite(l.next()); err != nil {
				b.Fatal(err)
			}
		}
		l.measure(b, nil, func() time.Duration { return l.ref.ask(b, 1) })
	})
}

// BenchmarkFirstCall: empty state folders → bootstrap server, two adapters,
// two registrations → the first verified 302.
func BenchmarkFirstCall(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		l := testnet.New(b, nil)
		alice, bob := l.Add("alice", nil), l.Add("bob", nil)
		alice.Phone(440)
		bob.Phone(1000)
		if _, err := newCaller(b, "alice", alice.SIP()).invite("bob"); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	report(b, took)
}
