package chord

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// louder offers a table members of a ring that is far larger than the table: the
// bad ones, a tenth of all, so many times as often as the others, and each of
// them calls by itself now and then. It returns the bad ones' share of the table.
func louder(t *testing.T, tab *table, times int) (share float64, offers int) {
	t.Helper()
	const members, bad = 1000, 100
	rng := rand.New(rand.NewPCG(5, 33))
	who := make([]*Member, members)
	for i := range who {
		who[i] = &Member{Peer: somebody(rng)}
	}
	now := time.Unix(1e9, 0)
	for round := range 20 * times { // all that are honest come round once in so many rounds
		for i := range who {
			switch {
			case i < bad:
				tab.learn(who[i])
				offers++
				if round%50 == i%50 {
					tab.firsthand(who[i].Peer, now)
				}
			case round%times == i%times:
				tab.learn(who[i])
			}
		}
		now = now.Add(time.Second)
	}
	is := map[ID]bool{}
	for _, m := range who[:bad] {
		is[m.ID] = true
	}
	n := 0
	for i := range tab.order.len() {
		if is[tab.order.at(i).id()] {
			n++
		}
	}
	if tab.order.len() < tab.max*3/4 {
		t.Errorf("only %d in a table of %d", tab.order.len(), tab.max)
	}
	return float64(n) / float64(tab.order.len()), offers
}

// C3: who is offered ten times as often as others, and calls besides, has no
// larger part of a table that cannot hold the ring; without ranks he has.
func TestMatrixC3LoudMembers(t *testing.T) {
	const times, tables = 10, 3
	var got, without float64
	offered := 0
	for seed := range uint64(tables) {
		fresh := func() *table {
			return newTable(200, rand.New(rand.NewPCG(seed, 34)), func(ID) bool { return false })
		}
		share, offers := louder(t, fresh(), times)
		random := fresh()
		random.unranked = true
		got, offered = got+share/tables, offered+offers
		share, _ = louder(t, random, times)
		without += share / tables
	}
	t.Logf("matrix: C3 a tenth of 1,000 members, offered %d times as often: %.1f %% of %d tables of 200 (seeds 0 on), %.1f %% without ranks; %d offers", times, 100*got, tables, 100*without, offered)
	if got > 0.15 || without < 0.2 || offered == 0 {
		t.Errorf("%.3f of the tables, %.3f without ranks", got, without)
	}
}

// TestGhostsGiveWay: ghosts that members name as neighbours, and that were
// neighbours for a moment, leave no trace in a full table.
func TestGhostsGiveWay(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	near := map[ID]bool{}
	tab := newTable(64, rng, func(id ID) bool { return near[id] })
	tab.signed = true
	for range 48 {
		tab.learn(&Member{Peer: somebody(rng)})
	}
	for range 400 {
		ghost := somebody(rng)
		near[ghost.ID] = true
		tab.hearsay(ghost, randomID(rng))
		tab.list(ghost.ID, true)
		for range 20 { // others come and go
			tab.hearsay(somebody(rng), randomID(rng))
		}
		delete(near, ghost.ID)
		tab.list(ghost.ID, false)
	}
	if tab.order.len() < 48 || len(tab.aside) > 64/rumourShare {
		t.Errorf("%d members are left of 48, %d ghosts have a place", tab.order.len(), len(tab.aside))
	}
}

// somebody is a node of a person of its own.
func somebody(rng *rand.Rand) wire.Peer {
	p := vpeer(randomID(rng), 1)
	p.Owner = identity.OwnerTag(p.ID[:8])
	return p
}
