package chord

import (
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestBadReplies: a member answers what a node asks it with what is forged, stale,
// of the future, of another overlay, out of range, too much, or something else.
// Nothing of it changes what the node knows of others, and all of it is counted.
func TestBadReplies(t *testing.T) {
	l := newLab(t, 55)
	l.notaries()
	const n = 24
	l.grow(n, 50*time.Millisecond)
	l.run(2 * time.Minute)
	ids := l.sorted()
	asker, liar, victim, far := ids[3], ids[9], ids[10], ids[20]
	m, now := l.nodes[asker], l.now.UnixMilli()
	sign := func(overlay string, d wire.Descriptor) wire.Descriptor {
		d, _ = (&notary{self: liar, overlay: overlay, shared: l.ledger}).SignDescriptor(d)
		return d
	}
	genuine := *l.nodes[victim].news.self.Desc
	newer := genuine
	newer.Seq, newer.Addrs = genuine.Seq+1000, vpeer(liar, 1).Addrs
	forged := sign("lan.example", newer)
	forged.Signature[3] ^= 1
	future := newer
	future.Seq = now + 3600*1000
	whole := &wire.GetMembers{From: asker, To: asker, Most: 8}
	members := func(descs ...wire.Descriptor) wire.Message { return &wire.Members{Descs: descs} }
	honest := l.nodes[liar].state()
	backwards := *honest
	backwards.Succ = slices.Clone(honest.Succ)
	slices.Reverse(backwards.Succ)
	for _, c := range []struct {
		name, reason string
		kind         callKind
		ask, lie     wire.Message
	}{
		{"a forged descriptor", RefusedForged, callMembers, whole, members(forged)},
		{"one of another overlay", RefusedForged, callMembers, whole, members(sign("other.example", newer))},
		{"one without its node's signature", RefusedForged, callMembers, whole, members(newer)},
		{"a stale one", RefusedStale, callMembers, whole, members(sign("lan.example", wire.Descriptor{ID: l.id(), Seq: now - 24*3600*1000, Lifetime: 60}))},
		{"one of the future", RefusedFuture, callMembers, whole, members(sign("lan.example", future))},
		{"one out of the range", RefusedOutOfRange, callMembers, &wire.GetMembers{From: ids[4], To: ids[6], Most: 8}, members(sign("lan.example", newer))},
		{"more than was asked for", RefusedOutOfRange, callMembers, &wire.GetMembers{From: asker, To: asker, Most: 1}, members(genuine, sign("lan.example", newer))},
		{"something else", RefusedUnexpected, callProbe, &wire.GetState{}, &wire.Pong{}},
		{"another's state", RefusedUnexpected, callProbe, &wire.GetState{}, l.nodes[far].state()},
		{"a list in no order", RefusedUnexpected, callProbe, &wire.GetState{}, &backwards},
	} {
		before, ring := l.refused[c.reason], m.Ring()
		m.lastID++
		m.calls.add(m.lastID, &call{kind: c.kind, try: 2, peer: vpeer(liar, 1), msg: c.ask, deadline: l.now.Add(time.Minute)})
		l.step(asker, m, Result{Call: m.lastID, Msg: c.lie, RTT: time.Millisecond})
		if l.refused[c.reason] == before {
			t.Errorf("%s: not counted as %s: %v", c.name, c.reason, l.refused)
		}
		if known := m.table.get(victim); known == nil || known.who.seq() != genuine.Seq || !slices.Equal(known.who.Addrs, genuine.Addrs) {
			t.Errorf("%s: what is known of the victim has changed", c.name)
		}
		if m.Ring() != ring {
			t.Errorf("%s: the neighbours have changed", c.name)
		}
	}
	l.run(30 * time.Second)
	if _, least, dead := l.known(); least < n-1 || dead > 0 || l.ring().Ideal() != nil {
		t.Errorf("afterwards somebody knows %d of %d, %.2f dead; %v", least, n-1, dead, l.ring().Ideal())
	}
}
