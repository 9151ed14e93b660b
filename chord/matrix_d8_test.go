package chord

import (
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// D8: a member brings valid records, its own and others' that it has read, to
// every node there is, by Store and by StoreMany and again and again. Nobody keeps
// what lies outside its range, and a round of repair later only those two hold a
// record that should.
func TestMatrixD8OverReplication(t *testing.T) {
	bubble(t, 88, func(t *testing.T, w *virtual) {
		w.ring(40)
		w.await(5*time.Second, w.ideal)
		pause(t.Context(), 10*time.Second)
		nodes := w.live()
		attacker := nodes[7]
		net := wireOf{w, attacker.self}
		recs := w.fill(20)
		tried, refused, beyond := 0, 0, 0
		for range 3 {
			for _, n := range nodes {
				if n == attacker {
					continue
				}
				for k, s := range recs {
					var ask wire.Message = &wire.Store{Position: s.pos, Record: s.rec}
					if k%2 == 1 {
						ask = &wire.StoreMany{Items: []wire.Placed{{Position: s.pos, Record: s.rec}}}
					}
					tried++
					switch a, err := net.Call(t.Context(), n.self, ask); a := a.(type) {
					case *wire.Error:
						refused++
					case *wire.StoredMany:
						if a.Outcomes[0] == 0 {
							refused++
						}
					default:
						if err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
		for _, s := range recs {
			i := slices.IndexFunc(nodes, func(n *vnode) bool { return n.self.ID == oracle(nodes, s.pos) })
			for k := replicaReach + 1; k < len(nodes); k++ {
				beyond += keeps(t, nodes[(i+k)%len(nodes)], s)
			}
		}
		if refused == 0 || beyond > 0 {
			t.Errorf("%d of %d stores refused; %d copies outside the range", refused, tried, beyond)
		}
		extra := 0
		pause(t.Context(), 2*time.Minute)
		for _, s := range recs {
			held := 0
			for _, n := range nodes {
				held += keeps(t, n, s)
			}
			extra += held - copies
		}
		t.Logf("matrix: D8 copies outside the range: %d after %d stores, %d refused; %d beyond the two holders of %d records", beyond, tried, refused, extra, len(recs))
	})
}

// keeps is 1 where a node keeps a record, else 0.
func keeps(t *testing.T, n *vnode, s stored) int {
	t.Helper()
	b, err := s.rec.Body()
	if err != nil {
		t.Fatal(err)
	}
	return min(1, len(n.store.Get(s.res, &b.Part)))
}
