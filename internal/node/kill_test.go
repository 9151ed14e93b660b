package node_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// TestKillThirty: 30 % of the nodes die at once. Names stay resolvable as the
// replica model predicts, and within a minute holders and owners alone have put
// back all that can be.
func TestKillThirty(t *testing.T) { killThirty(t, 31, 30) }

// killed is the share of the nodes that die at once.
const killed = 0.3

func killThirty(t *testing.T, seed uint64, n int) {
	inVirtualTime(t, seed, n, func(t *testing.T, w *vring) {
		<-time.After(time.Minute) // at rest
		nodes, people, places := w.live(), w.everybody(), w.places()
		model := replicaModel{k: int(w.trust.Charter().K), places: places, nodes: nodes}
		mean, low := model.predict(w.rng, 1000)

		dead := map[identity.NodeID]bool{}
		for _, i := range w.rng.Perm(len(nodes))[:int(killed*float64(len(nodes)))] {
			dead[nodes[i].self.ID] = true
			nodes[i].stop()
		}
		exact := model.survivors(dead)
		lost := model.lost(dead)
		rest := w.live()
		found := w.resolved(people, rest)
		count, wrong := 0, 0
		for _, p := range people {
			if found[p] {
				count++
			} else if exact[p] {
				wrong++
			}
		}
		t.Logf("%d of %d nodes killed: %d of %d names found at once; predicted %.2f on average, at least %d in 99.9 %% of cases, exactly %d with these dead",
			len(dead), n, count, len(people), mean, low, len(exact))
		if count < low || wrong > 0 {
			t.Errorf("%d names found, predicted at least %d; %d not found whose records live", count, low, wrong)
		}
		took := w.await("everything repaired", time.Minute, func() error { return w.placed(lost) })
		t.Logf("all repaired after %v; %d places are lost for good, of people whose nodes are among the dead", took, len(lost))
		for p, ok := range w.resolved(people, rest) {
			if exact[p] && !ok {
				t.Errorf("%s is not found after the repair", p.aor)
			}
		}
	})
}

// replicaModel predicts who is found after deaths: a place survives with the
// responsible node or the next one; a name is found with k of its shares and a
// registration.
type replicaModel struct {
	k      int
	places []place
	nodes  []*vnode
}

// survivors returns who is found when these nodes are dead.
func (m *replicaModel) survivors(dead map[identity.NodeID]bool) map[*person]bool {
	shares, registrations := map[*person]int{}, map[*person]int{}
	for _, p := range m.places {
		if h := holders(m.nodes, p.pos); dead[h[0].self.ID] && dead[h[1].self.ID] {
			continue
		}
		switch p.body.Kind {
		case record.KindShare:
			shares[p.owner]++
		case record.KindRegistration:
			registrations[p.owner]++
		}
	}
	found := map[*person]bool{}
	for p, n := range shares {
		if n >= m.k && registrations[p] > 0 {
			found[p] = true
		}
	}
	return found
}

// lost returns the places that nobody can fill again: both holders and the
// owner are dead, and the record has no other place where one lives.
func (m *replicaModel) lost(dead map[identity.NodeID]bool) map[identity.NodeID]bool {
	alive := map[string]bool{} // records that somebody living holds
	key := func(p *place) string { return p.owner.aor.String() + string(p.rec.Signed) }
	for i := range m.places {
		p := &m.places[i]
		h := holders(m.nodes, p.pos)
		if !dead[h[0].self.ID] || !dead[h[1].self.ID] || !dead[p.owner.at.ID] {
			alive[key(p)] = true
		}
	}
	lost := map[identity.NodeID]bool{}
	for i := range m.places {
		if p := &m.places[i]; !alive[key(p)] {
			lost[p.pos] = true
		}
	}
	return lost
}

// predict draws sets of dead nodes, and returns how many names are found on
// average and in all but one of a thousand cases.
func (m *replicaModel) predict(rng *rand.Rand, draws int) (mean float64, low int) {
	counts := make([]int, draws)
	for i := range counts {
		dead := map[identity.NodeID]bool{}
		for _, k := range rng.Perm(len(m.nodes))[:int(killed*float64(len(m.nodes)))] {
			dead[m.nodes[k].self.ID] = true
		}
		counts[i] = len(m.survivors(dead))
		mean += float64(counts[i]) / float64(draws)
	}
	slices.Sort(counts)
	return mean, counts[draws/1000]
}
