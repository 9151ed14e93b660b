package directory

import (
	"context"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Fetcher reads what lies at a position, as Ring does.
type Fetcher interface {
	Fetch(ctx context.Context, pos, resource identity.NodeID, part *uint64) (Answer, error)
}

// Hiding is what one resolution is to be asked with.
type Hiding struct {
	Positions []identity.NodeID // where what it asks for lies: not to be asked through who is there
	Through   identity.NodeID   // the member to ask through first; zero = one drawn at random
}

// hiddenKinds are the kinds of records that a resolution may ask for.
func hiddenKinds() []record.Kind {
	return []record.Kind{record.KindShare, record.KindRegistration, record.KindAccount}
}

// askingLocked returns what a resolution asks with: openly, the ring. One that has
// begun to ask goes on the same way.
func (d *Directory) askingLocked(name identity.AOR, opt Options, kinds ...record.Kind) Fetcher {
	switch {
	case d.cfg.Hidden == nil:
		return d.cfg.Ring
	case opt.by != nil:
		return opt.by
	}
	h := Hiding{Through: opt.Through}
	if h.Through == (identity.NodeID{}) && !opt.Stranger { // the name's own node, where one is known
		h.Through = d.lastNodeLocked(name)
	}
	charter := d.Trust().Charter()
	for _, kind := range kinds {
		m, resource := record.Replicas(kind, charter), record.Resource(name, kind)
		for i := range m {
			h.Positions = append(h.Positions, record.Position(resource, i, m))
		}
	}
	return d.cfg.Hidden(h)
}

// lastNodeLocked returns the node of a device that the name had when it was looked
// up last, and that has been reached as far as is known; zero for none. Who is
// about to be called may well see that somebody looks somebody up.
func (d *Directory) lastNodeLocked(name identity.AOR) identity.NodeID {
	e, ok := d.cache.get(name)
	if !ok || e.res == nil || e.until.IsZero() || len(e.res.Devices) == 0 {
		return identity.NodeID{}
	}
	return e.res.Devices[0].Node
}

// sureNumbers is how many records of a number are read at least.
func (d *Directory) sureNumbers() int {
	if d.cfg.Hidden != nil {
		return 1
	}
	return 2
}
