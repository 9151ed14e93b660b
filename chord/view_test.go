package chord

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// viewOf returns the view of a node that knows exactly these members.
func viewOf(self ID, ids []ID) *View {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, ID.Compare)
	v := &View{Self: vpeer(self, self[0]), Phase: PhaseJoined, Settled: true, Complete: true}
	i := slices.Index(ids, self)
	for k := range ids {
		if ids[k] != self {
			v.members.insert(contact{who: &Member{Peer: vpeer(ids[k], ids[k][0])}, flags: verified})
		}
	}
	v.Pred = vpeer(ids[(i+len(ids)-1)%len(ids)], 0)
	for k := 1; k < len(ids) && k <= 8; k++ {
		id := ids[(i+k)%len(ids)]
		v.Succ = append(v.Succ, vpeer(id, id[0]))
	}
	v.Small = len(ids) <= 8
	v.reckon()
	return v
}

// TestViewAgainstModel: who is responsible, who follows and how far off a node
// is, against a walk round a sorted slice.
func TestViewAgainstModel(t *testing.T) {
	const seed = 14
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 14))
	for range 2000 {
		n := 1 + rng.IntN(20)
		ids := make([]ID, 0, n)
		for range n {
			if id := (ID{byte(rng.Uint32())}); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		slices.SortFunc(ids, ID.Compare)
		self := ids[rng.IntN(len(ids))]
		v := viewOf(self, ids)
		pos := ID{byte(rng.Uint32())}
		i, _ := slices.BinarySearchFunc(ids, pos, ID.Compare)
		var round []ID
		for k := range ids {
			round = append(round, ids[(i+k)%len(ids)])
		}
		if got := v.Owner(pos).ID; got != round[0] {
			t.Fatalf("%v: owner of %s is %s", ids, pos.Short(), got.Short())
		}
		if got := v.Responsible(pos); got != (round[0] == self) {
			t.Fatalf("%v: %s responsible for %s: %v", ids, self.Short(), pos.Short(), got)
		}
		rank := slices.Index(round, self)
		if got := v.members.rank(pos, self); got != rank {
			t.Fatalf("%v: %s is %d after %s, not %d", ids, self.Short(), rank, pos.Short(), got)
		}
		if got := v.InRange(pos); got != (len(ids) <= 8 || rank <= replicaReach) {
			t.Fatalf("%v: %s, %d after %s, in range: %v", ids, self.Short(), rank, pos.Short(), got)
		}
		chain := v.chain(pos, storeTries)
		if len(chain) != min(len(ids), storeTries) {
			t.Fatalf("%v: chain of %d", ids, len(chain))
		}
		for k, p := range chain {
			if p.ID != round[k] {
				t.Fatalf("%v: chain %d of %s is %s, not %s", ids, k, pos.Short(), p.ID.Short(), round[k].Short())
			}
		}
	}
}

// TestReplicaIsAnotherOwners: the copy goes to the first successor of another
// owner; if there is none, to the first successor.
func TestReplicaIsAnotherOwners(t *testing.T) {
	peers := func(owners ...byte) (out []wire.Peer) {
		for i, o := range owners {
			out = append(out, vpeer(ID{byte(i + 1)}, o))
		}
		return out
	}
	for _, c := range []struct {
		owners []byte
		want   []byte // IDs in the order in which they are asked
	}{
		{[]byte{1}, []byte{1}},
		{[]byte{1, 2, 3}, []byte{1, 2, 3}},
		{[]byte{1, 1, 3}, []byte{1, 3, 2}},
		{[]byte{1, 1, 1, 2, 3}, []byte{1, 4, 2, 3, 5}},
		{[]byte{1, 1, 1}, []byte{1, 2, 3}},
	} {
		var got []byte
		for _, p := range holdersFirst(peers(c.owners...)) {
			got = append(got, p.ID[0])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("owners %v: asked in the order %v, want %v", c.owners, got, c.want)
		}
	}
}
