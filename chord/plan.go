package chord

import (
	"slices"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// push is a record that should be at another node, too.
type push struct {
	to     wire.Peer
	pos    ID
	record *record.Record
	slot   slotKey
	orphan bool // this node is out of its range: once it is elsewhere, it goes
}

// slotKey names a version of a record.
type slotKey struct {
	res  ID
	kind record.Kind
	part uint64
	seq  uint64
}

// plan returns where the records that a node holds have to be pushed, seen from
// v:
//
//   - what lies in the node's own interval, to its first successor of another
//     owner;
//   - what it keeps as a replica, to the responsible node;
//   - in a round of repair (all), what lies in its own interval also to the
//     responsible nodes of the record's other places, so that a place all of
//     whose holders died is filled again;
//   - what is out of its range, to every place of the record;
//   - of a node that leaves, what it keeps to the two that keep it from then on.
//
// A node whose table is a sample of the ring does not know who is responsible for
// places far away. It looks after the nearest; the owners look up the others.
//
// What is among sent is left out. The plan is made in out's memory.
func plan(v *View, records []*record.Record, c identity.Charter, all bool, sent *sent, out []push) []push {
	p := planner{v: v, replica: v.replica(), sent: sent, out: out}
	for _, r := range records {
		w, err := r.Where(c)
		if err != nil || len(w.Places) == 0 {
			continue
		}
		p.r, p.first = r, len(p.out)
		p.slot = slotKey{w.Resource, w.Body.Kind, w.Body.Part, w.Body.Seq}
		p.record(w.Places, all)
	}
	return p.out
}

type planner struct {
	v       *View
	replica *wire.Peer
	sent    *sent
	r       *record.Record // under way
	slot    slotKey
	first   int // of its pushes
	out     []push
}

func (p *planner) record(places []ID, all bool) {
	inRange := false
	for i, pos := range places {
		switch {
		case p.v.gone && p.v.reaches(pos):
			inRange = true
			for _, to := range p.v.holders(pos) {
				p.push(to, pos, false)
			}
		case p.v.Responsible(pos):
			inRange = true
			if p.replica != nil {
				p.push(*p.replica, pos, false)
			}
			for k := 1; all && !p.v.Thin && k < len(places); k++ {
				other := places[(i+k)%len(places)]
				p.push(p.v.Owner(other), other, false)
			}
		case p.v.InRange(pos):
			inRange = true
			p.push(p.v.Owner(pos), pos, false)
		}
	}
	if inRange {
		return
	}
	if p.v.Thin {
		places = places[nearest(places, p.v.Self.ID):][:1]
	}
	for _, pos := range places {
		p.push(p.v.Owner(pos), pos, !p.v.gone) // who leaves may come back with what it has
	}
}

// nearest returns which of some places lies the least way before id.
func nearest(places []ID, id ID) (at int) {
	for i := range places {
		if places[i].Distance(id).Compare(places[at].Distance(id)) < 0 {
			at = i
		}
	}
	return at
}

func (p *planner) push(to wire.Peer, pos ID, orphan bool) {
	same := func(q push) bool { return q.to.ID == to.ID }
	if to.ID == p.v.Self.ID || slices.ContainsFunc(p.out[p.first:], same) {
		return
	}
	if !p.sent.has(to.ID, p.slot) {
		p.out = append(p.out, push{to: to, pos: pos, record: p.r, slot: p.slot, orphan: orphan})
	}
}

// replica returns the node that keeps a copy of what this one is responsible
// for: its first successor of another owner.
func (v *View) replica() *wire.Peer {
	for i := range v.Succ {
		if v.Succ[i].Owner != v.Self.Owner {
			return &v.Succ[i]
		}
	}
	if len(v.Succ) == 0 {
		return nil
	}
	return &v.Succ[0]
}

// holders returns the node responsible for pos and its first successor of
// another owner, as far as this node can tell from its table.
func (v *View) holders(pos ID) []wire.Peer {
	chain := v.chain(pos, storeTries+1)
	if v.gone {
		chain = slices.DeleteFunc(chain, func(p wire.Peer) bool { return p.ID == v.Self.ID })
	}
	if len(chain) == 0 {
		return nil
	}
	return holdersFirst(chain)[:min(copies, len(chain))]
}

// Holders returns the nodes that should keep what lies at pos, the responsible
// one first, as far as this node can tell from its table. It may be one of them.
func (v *View) Holders(pos ID) []wire.Peer { return v.holders(pos) }

// leaving returns what the node's view would be for everybody else without it,
// as the base of a plan that hands everything over.
func (v *View) leaving() *View {
	w := *v
	w.gone = true
	return &w
}
