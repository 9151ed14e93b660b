//go:build linux

package bench

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// pairOf are two people with phones in an overlay of their own.
type pairOf struct {
	caller, called *demo.Phone
	adapter        *testnet.Member
}

func newPair(b *testing.B, path string) pairOf {
	b.Helper()
	l := testnet.New(b, func(c *bootstrap.Config) { c.Charter.Paths = []string{path} })
	often := func(c *adapter.Config) { c.CallRate = 1_000_000 }
	alice, bob := l.Add("alice", often), l.Add("bob", often)
	return pairOf{alice.Phone(440), bob.Phone(1000), alice}
}

// setup makes a call and returns the time from INVITE to 200, the redirection
// included.
func (p pairOf) setup(b *testing.B) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), testnet.Deadline)
	defer cancel()
	out, err := p.caller.Call(ctx, "bob", time.Millisecond)
	if err != nil || out.Status != 200 {
		b.Fatalf("%v %+v", err, out)
	}
	select {
	case <-p.called.Answered():
	case <-ctx.Done():
		b.Fatal("the called phone sees no end of the call")
	}
	return out.Setup
}

// BenchmarkSetup compares the time from INVITE to 200 on the protected path
// with that on the direct one, call by call.
func BenchmarkSetup(b *testing.B) {
	direct, protected := newPair(b, "direct"), newPair(b, "protected")
	direct.setup(b)
	protected.setup(b)
	var tookDirect, tookProtected []time.Duration
	for b.Loop() {
		tookDirect = append(tookDirect, direct.setup(b))
		tookProtected = append(tookProtected, protected.setup(b))
	}
	slices.Sort(tookDirect)
	slices.Sort(tookProtected)
	b.ReportMetric(ms(percentile(tookDirect, 0.5)), "direct-p50-ms")
	b.ReportMetric(ms(percentile(tookProtected, 0.5)), "protected-p50-ms")
	var rtt time.Duration
	for _, p := range protected.adapter.It.Node().Link().Peers() {
		rtt = max(rtt, p.RTT)
	}
	b.ReportMetric(ms(rtt), "link-rtt-ms")
}
