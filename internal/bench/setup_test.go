//go:build linux

package bench

import (
	"context"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// farApart is the round trip of the links in BenchmarkSetup.
const farApart = 100 * time.Millisecond

// pairOf are two people with phones in an overlay of their own.
type pairOf struct {
	caller, called *demo.Phone
	way            *testnet.Slow
}

func newPair(b *testing.B, path string) pairOf {
	b.Helper()
	l := testnet.New(b, func(c *bootstrap.Config) { c.Charter.Paths = []string{path} })
	way := new(testnet.Slow)
	often := func(c *adapter.Config) { c.CallRate, c.Socket = 1_000_000, way.Socket }
	alice, bob := l.Add("alice", often), l.Add("bob", often)
	return pairOf{alice.Phone(440), bob.Phone(1000), way}
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
// with that on the direct one, call by call: over links of loopback, and over
// links so long that the difference counts round trips.
func BenchmarkSetup(b *testing.B) {
	direct, protected := newPair(b, "direct"), newPair(b, "protected")
	direct.setup(b)
	protected.setup(b)
	var near, far [2][]time.Duration
	for b.Loop() {
		for i, p := range []pairOf{direct, protected} {
			near[i] = append(near[i], p.setup(b))
			p.way.Set(farApart / 2)
			far[i] = append(far[i], p.setup(b))
			p.way.Set(0)
		}
	}
	b.ReportMetric(ms(median(near[0])), "direct-p50-ms")
	b.ReportMetric(ms(median(near[1])), "protected-p50-ms")
	trips := func(took []time.Duration) float64 { return float64(median(took)) / float64(farApart) }
	b.ReportMetric(trips(far[0]), "direct-round-trips")
	b.ReportMetric(trips(far[1]), "protected-round-trips")
	b.ReportMetric(0, "ns/op")
}
