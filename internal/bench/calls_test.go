package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// people is how many adapters the LAN has; with the bootstrap server that
// makes 32 nodes.
const people = 31

// lan is a LAN in which everybody has a phone.
type lan struct {
	*testnet.LAN
	names   []string
	callers []*caller
	turn    int
}

func newLAN(b *testing.B, change func(*adapter.Config)) *lan {
	b.Helper()
	l := &lan{LAN: testnet.New(b, nil)}
	for i := range people {
		name := fmt.Sprintf("p%02d", i)
		m := l.Add(name, change)
		m.Phone(440)
		l.names = append(l.names, name)
		l.callers = append(l.callers, newCaller(b, name, m.SIP()))
	}
	for i := range people {
		l.Members[l.names[i]].Joined()
	}
	testnet.Eventually(b, "every node knows all", func() bool {
		for _, m := range l.Members {
			if m.It.Node().Ring().Status().Members != people+1 {
				return false
			}
		}
		return true
	})
	return l
}

// next takes the next pair, so that no caller exceeds the calls per callee
// that adapters allow.
func (l *lan) next() (*caller, string) {
	from := l.turn % people
	to := (from + 1 + l.turn/people%(people-1)) % people
	l.turn++
	return l.callers[from], l.names[to]
}

// connect opens every link there may be.
func (l *lan) connect(b *testing.B) {
	for range 2 * people {
		c, to := l.next()
		if _, err := c.invite(to); err != nil {
			b.Fatal(err)
		}
	}
	for _, from := range l.Members {
		for _, to := range l.Members {
			if from == to {
				continue
			}
			if _, err := from.It.Node().Link().Connect(b.Context(), to.It.Node().Self()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func (l *lan) run(b *testing.B, before func()) {
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		c, to := l.next()
		if before != nil {
			before()
		}
		d, err := c.invite(to)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, d)
	}
	report(b, took)
}

func uncached(c *adapter.Config) { c.CacheFor = -1 }

// BenchmarkColdCall: nothing cached, links up; both sides rebuild the other's
// key from k of n shares for every call.
func BenchmarkColdCall(b *testing.B) {
	l := newLAN(b, uncached)
	l.connect(b)
	l.run(b, nil)
}

// BenchmarkColdLinks: nothing cached, and every link of every node is closed
// before every call.
func BenchmarkColdLinks(b *testing.B) {
	l := newLAN(b, uncached)
	l.run(b, func() {
		for _, m := range l.Members {
			m.It.Node().Link().Drop(func(*link.Conn) bool { return true })
		}
	})
}

// BenchmarkWarmCall: resolutions cached; INVITE and REDIRECT are exchanged and
// verified anew for every call.
func BenchmarkWarmCall(b *testing.B) {
	l := newLAN(b, nil)
	for range people * (people - 1) { // everybody has called everybody
		c, to := l.next()
		if _, err := c.invite(to); err != nil {
			b.Fatal(err)
		}
	}
	l.run(b, nil)
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
