package chord

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// settled puts machines for the given members into the lab, with their places on
// the ring of all. Each knows its neighbours and the members that knows tells.
func (l *lab) settled(all []*Member, change func(who *Member, cfg *MachineConfig), knows func(who *Member) []*Member) {
	slices.SortFunc(all, func(a, b *Member) int { return a.ID.Compare(b.ID) })
	n := len(all)
	for i, who := range all {
		l.change = func(cfg *MachineConfig) { change(who, cfg) }
		m := l.add(who.ID)
		var succ [zave.MaxSuccessors]ID
		known := slices.Clone(knows(who))
		for k := range succ {
			succ[k] = all[(i+1+k)%n].ID
			known = append(known, all[(i+1+k)%n])
		}
		pred := all[(i+n-1)%n]
		m.Settle(l.now, zave.State{Self: who.ID, R: zave.MaxSuccessors, Pred: pred.ID, Succ: zave.MakeList(succ[:]...)}, append(known, pred), false)
		l.timer(who.ID, m)
	}
}

// certified is a member with a valid descriptor.
func (l *lab) certified(owner identity.OwnerTag, at netip.Addr) *Member {
	id := l.id()
	l.ledger.owners[id] = owner
	d, _ := (&notary{self: id, overlay: "lan.example", shared: l.ledger}).SignDescriptor(wire.Descriptor{
		ID: id, Seq: l.now.UnixMilli(), Lifetime: 12 * 3600, Addrs: []netip.AddrPort{netip.AddrPortFrom(at, 5062)},
	})
	return NewMember(&d, owner)
}

func tagOf(n uint64) (tag identity.OwnerTag) {
	binary.BigEndian.PutUint64(tag[:], n)
	return tag
}

// sybils is a ring of 120 honest members, each in a network of its own, and of so
// many that one host runs, three for each of its certified people. They send their
// descriptors to every fourth honest member. It returns the largest share of an
// honest table that they have.
func sybils(t *testing.T, bad int, defended bool, attackerAt func(i int) netip.Addr) (worst float64, sent int) {
	l := newLab(t, 71)
	l.notaries()
	const honest = 120
	var good, all []*Member
	isBad := map[ID]bool{}
	for i := range honest {
		good = append(good, l.certified(tagOf(uint64(i)), netip.AddrFrom4([4]byte{20, byte(i), 1, 1})))
	}
	all = append(all, good...)
	var descs []wire.Descriptor
	for i := range bad {
		who := l.certified(tagOf(uint64(1000+i/MaxOfOwner)), attackerAt(i))
		isBad[who.ID] = true
		descs = append(descs, *who.Desc)
		all = append(all, who)
	}
	l.settled(all, func(who *Member, cfg *MachineConfig) {
		cfg.Self = who.Peer
		if isBad[who.ID] { // they answer, and look after nothing else
			cfg.Timing = Timing{Every: time.Minute, Fast: time.Minute, Slow: time.Minute}
		}
	}, func(who *Member) []*Member {
		if isBad[who.ID] {
			return nil
		}
		return good
	})
	for _, who := range good {
		l.nodes[who.ID].table.diversity.off = !defended
	}
	for round := range 40 {
		part := descs[round*bad/40 : (round+1)*bad/40]
		for k := 0; k < honest; k += 4 {
			who := good[k]
			l.hand(l.nodes[who.ID], descs[(round+k)%bad].ID, all2(who.ID, part))
			sent += len(part)
		}
		l.run(150 * time.Millisecond)
	}
	l.run(5 * time.Second)
	for _, who := range good {
		peers := l.nodes[who.ID].View().Peers()
		count := 0
		for _, p := range peers {
			if isBad[p.ID] {
				count++
			}
		}
		if len(peers)-count < honest-1 {
			t.Errorf("%s knows only %d honest members", who.ID.Short(), len(peers)-count)
		}
		worst = max(worst, float64(count)/float64(len(peers)))
	}
	if defended && l.refused[RefusedNetworkFull] == 0 {
		t.Errorf("nothing was refused: %v", l.refused)
	}
	return worst, sent
}

func all2(self ID, descs []wire.Descriptor) *wire.Gossip {
	return &wire.Gossip{Groups: []wire.News{{From: self, Until: succOf(self), Descs: descs}}}
}

// B2: who has a thousand certified identities in one network has a small part of
// every table, and without the bounds most of it.
func TestMatrixB2OneNetwork(t *testing.T) {
	host := func(int) netip.Addr { return netip.MustParseAddr("198.51.100.7") }
	share, sent := sybils(t, 1000, true, host)
	t.Logf("matrix: B2 a thousand identities of one host: %.1f %% of the worst honest table after %d descriptors", 100*share, sent)
	if share > 0.1 {
		t.Errorf("%.3f of a table", share)
	}
	bare, _ := sybils(t, 400, false, host) // fewer are enough
	t.Logf("without the bounds: %.1f %% with 400 of them", 100*bare)
	if bare < 0.5 {
		t.Errorf("without the bounds they have only %.3f of a table", bare)
	}
}

func TestWhatCountsAsOneNetwork(t *testing.T) {
	d := diversity{exempt: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	for addr, want := range map[string]string{
		"198.51.100.7": "198.51.100.0/24", "::ffff:198.51.100.9": "198.51.100.0/24", "2001:db8:1:1::7": "2001:db8:1::/48",
		"192.168.1.2": "", "10.1.1.1": "", "127.0.0.1": "", "169.254.1.1": "", "100.64.3.4": "", "fd00::1": "", "fe80::1": "", "::1": "",
		"203.0.113.5": "",
	} {
		p, ok := d.network(netip.MustParseAddr(addr))
		if ok != (want != "") || ok && p.String() != want {
			t.Errorf("%s: %v %v, not %q", addr, p, ok, want)
		}
	}
}
