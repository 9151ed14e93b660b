package adapter_test

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// farApart is the round trip between the two adapters in
// TestProtectedTakesFewMoreRoundTrips: so long that nothing else counts.
const farApart = 100 * time.Millisecond

// setupRoundTrips is how many round trips of the link lie between INVITE and 200,
// the redirection included, everything that can be known before being known:
// those of the quickest call, for a busy machine only adds. It calls until one
// takes no more than most, for a while.
func setupRoundTrips(t *testing.T, path string, most float64) float64 {
	l := testnet.New(t, func(c *bootstrap.Config) { c.Charter.Paths = []string{path} })
	var way testnet.Slow
	slow := func(c *adapter.Config) { c.Socket, c.CallRate = way.Socket, 100 }
	alice, bob := l.Add("alice", slow).Phone(toneA), l.Add("bob", slow).Phone(toneB)
	least := time.Hour
	for i := 0; i < 2 || i < 50 && float64(least) > most*float64(farApart); i++ {
		out, err := alice.Call(limited(), "bob", time.Millisecond)
		if err != nil || out.Status != 200 {
			t.Fatalf("%s: %v, %+v", path, err, out)
		}
		select {
		case <-bob.Answered():
		case <-limited().Done():
			t.Fatal("bob's phone sees no end of the call")
		}
		if i == 0 { // they know each other now
			way.Set(farApart / 2)
			continue
		}
		least = min(least, out.Setup)
	}
	way.Set(0)
	return float64(least) / float64(farApart)
}

// From INVITE to 200 a protected call takes at most two round trips of the link
// more than a direct one. Counted over a link so slow that they are all that
// takes time.
func TestProtectedTakesFewMoreRoundTrips(t *testing.T) {
	t.Parallel()
	direct, protected := setupRoundTrips(t, "direct", 1.3), setupRoundTrips(t, "protected", 3.3)
	t.Logf("INVITE to 200 takes %.2f round trips on the direct path, %.2f on the protected one", direct, protected)
	if direct < 0.9 {
		t.Errorf("a direct call takes %.2f round trips: the link is not slow", direct)
	}
	if protected > 3.3 { // a direct one takes one: the signed exchange
		t.Errorf("a protected call takes %.2f round trips", protected)
	}
}
