package node_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// D10: an enrolled stranger asks every holder of one name for its records ten
// thousand times over real links, as fast as it can, while others resolve that name
// afresh. Each node serves one asker so many requests a second and no more.
func TestMatrixD10FloodOfOneKey(t *testing.T) {
	o := newOverlay(t)
	var peers []*peer
	var nodes []*node.Node
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		peers = append(peers, o.start(name, nil, peers[:min(len(peers), 1)]...))
		nodes = append(nodes, peers[len(peers)-1].Node)
	}
	eventually(t, "one ideal ring", func() bool { return ideal(nodes) == nil })
	alice := o.enrol("alice", peers[0].Self())
	publishAll(t, []*person{alice}, func(*person) *node.Node { return peers[3].Node })

	const requests, resolutions = 10_000, 60
	mallory := o.liar("mallory")
	ask := &wire.Fetch{Position: record.Position(record.Resource(alice.aor, record.KindRegistration), 0, 4), Resource: record.Resource(alice.aor, record.KindRegistration)}
	var sent, served atomic.Int64
	var work sync.WaitGroup
	for k := range 12 {
		work.Go(func() {
			for i := k; i < requests; i += 12 {
				sent.Add(1)
				if _, err := mallory.Call(limited(t), peers[i%len(peers)].Self(), ask); err == nil {
					served.Add(1)
				}
			}
		})
	}
	found := 0
	for i := range resolutions {
		if err := alice.resolves(limited(t), peers[i%len(peers)].Node); err == nil {
			found++
		} else {
			t.Log(err)
		}
	}
	work.Wait()
	limitedBy := 0
	for _, p := range peers {
		limitedBy += p.refused.of("link/request_rate")
	}
	if 100*found < 99*resolutions {
		t.Errorf("%d of %d resolutions under the flood", found, resolutions)
	}
	if sent.Load() != requests || limitedBy == 0 {
		t.Errorf("%d requests sent, %d refused for their rate", sent.Load(), limitedBy)
	}
	t.Logf("matrix: D10 %d requests for one key as fast as they go: %d of %d honest look-ups found; %d served, %d refused for their rate", requests, found, resolutions, served.Load(), limitedBy)
}
