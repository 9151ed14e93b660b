package chord

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestCompareIsBounded: a question about more members than an honest one is about
// makes a node hash nothing; it is answered as if everything differed.
func TestCompareIsBounded(t *testing.T) {
	for _, c := range []struct {
		members int
		want    bool // that members are sent although the digests agree
	}{{compareMost - 8, false}, {compareMost + 8, true}} {
		l := &ledger{owners: map[ID]identity.OwnerTag{}}
		y := &notary{self: ID{1}, overlay: "lan.example", shared: l}
		m, err := NewMachine(MachineConfig{Self: vpeer(ID{1}, 1), Seed: 1, Verifier: y, Signer: y})
		if err != nil {
			t.Fatal(err)
		}
		var known []*Member
		for i := range c.members {
			var id ID
			binary.BigEndian.PutUint64(id[:], uint64(i+2)<<40)
			known = append(known, NewMember(&wire.Descriptor{ID: id, Seq: int64(i + 1), Lifetime: 600}, identity.OwnerTag{2}))
		}
		var succ [zave.MaxSuccessors]ID
		for k := range succ {
			succ[k] = known[k].ID
		}
		place := zave.State{Self: ID{1}, R: zave.MaxSuccessors, Pred: known[len(known)-1].ID, Succ: zave.MakeList(succ[:]...)}
		m.Settle(time.Unix(1_000_000, 0), place, known, true)
		m.news.self = nil
		from, to := ID{}, ID{0, 0xff}
		ask := &wire.GetMembers{From: from, To: to, Most: 20, Digests: digits(from, to, compareDigits, m.within(from, to))}
		answer, ok := m.serveMembers(ask).(*wire.Members)
		if !ok || len(answer.Descs) > 0 != c.want {
			t.Errorf("%d members: %d are sent", c.members, len(answer.Descs))
		}
	}
}
