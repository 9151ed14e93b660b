package chord

import (
	"maps"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// pending is a descriptor whose certificate is not known. It is used for nothing
// until its sender, who must have verified it, has given the certificate.
type pending struct {
	desc  wire.Descriptor
	from  ID
	item  item // how it is to be passed on; its id is zero where it is not
	at    time.Time
	asked bool
}

const (
	maxPending = 512
	sentMost   = 64 // of one sender, unasked: it cannot keep out what others send
	pendingFor = 10 * time.Second
)

// park keeps a descriptor until its certificate comes.
func (m *Machine) park(d *wire.Descriptor, from ID, n item) {
	unasked := func(p pending) bool { return p.from == from && p.item.id != (ID{}) }
	if len(m.news.pending) >= maxPending || n.id != (ID{}) && count(m.news.pending, unasked) >= sentMost {
		m.refuse(RefusedTooMuch)
		return
	}
	m.news.pending = append(m.news.pending, pending{desc: *d, from: from, item: n, at: m.now})
}

func count(list []pending, is func(pending) bool) (n int) {
	for i := range list {
		if is(list[i]) {
			n++
		}
	}
	return n
}

// askCertificates asks each sender for the certificates that its descriptors
// name.
func (m *Machine) askCertificates() {
	want := map[ID]*wire.GetCertificates{}
	for i := range m.news.pending {
		p := &m.news.pending[i]
		if p.asked {
			continue
		}
		ask := want[p.from]
		if ask == nil {
			ask = &wire.GetCertificates{}
			want[p.from] = ask
		}
		if len(ask.Hashes) < wire.MaxCertificates {
			p.asked = true
			if !slices.Contains(ask.Hashes, p.desc.Certificate) {
				ask.Hashes = append(ask.Hashes, p.desc.Certificate)
			}
		}
	}
	for _, id := range sortedKeys(want) {
		m.callPeer(callCertificates, id, want[id])
	}
	m.news.pending = slices.DeleteFunc(m.news.pending, func(p pending) bool {
		late := m.now.Sub(p.at) > pendingFor
		if late {
			m.refuse(RefusedNoCertificate)
		}
		return late
	})
}

// certified takes in certificates and looks again at what has waited for them.
func (m *Machine) certified(c *call, answer *wire.Certificates, how answer) {
	ask, ok := c.msg.(*wire.GetCertificates)
	if !ok {
		return
	}
	if how == answered {
		m.cfg.Verifier.Learn(answer)
	} else {
		m.suspected(c.peer.ID)
	}
	var ready []pending
	m.news.pending = slices.DeleteFunc(m.news.pending, func(p pending) bool {
		mine := p.asked && p.from == c.peer.ID && slices.Contains(ask.Hashes, p.desc.Certificate)
		if mine {
			ready = append(ready, p)
		}
		return mine
	})
	for i := range ready {
		p := &ready[i]
		who, verdict := m.cfg.Verifier.Verify(&p.desc)
		switch {
		case verdict == VerdictUnknown:
			m.refuse(RefusedNoCertificate)
		case verdict == VerdictForged:
			m.refuse(RefusedForged)
		case m.stale(&p.desc, m.table.get(p.desc.ID)):
			m.refuse(RefusedStale)
		default:
			isNew := m.accept(who)
			if p.item.id != (ID{}) {
				p.item.who = who
				m.pass(p.item, who.seq(), who.Desc.State == wire.NodeLeaving, isNew)
			}
		}
	}
}

// sortedKeys returns the keys in order, so that runs repeat.
func sortedKeys[V any](byID map[ID]V) []ID { return slices.SortedFunc(maps.Keys(byID), ID.Compare) }
