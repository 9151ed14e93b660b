package node

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A node is a member of the ring only when others can call it. It asks nodes
// of two other owners to dial it back, all other owners' where there are
// fewer; while they do not succeed it uses the ring as a client.

// The bounds of asking to be dialled back.
const (
	vouchersWanted  = 2 // of different owners
	dialBackAsks    = 6 // owners asked in one round
	dialBackPadding = 2400
	dialBackTime    = 6 * time.Second
)

// Voucher says who has dialled this node back.
type Voucher struct {
	Node  identity.NodeID
	Owner identity.OwnerTag
	Addr  netip.AddrPort // where it was reached
	At    time.Time      // overlay time
}

// verdict is what a round of dial-backs came to.
type verdict struct {
	by      []Voucher
	silent  int  // owners that did not get through
	refused int  // owners that will not try now
	others  bool // there are nodes of other owners
	apart   bool // so many members have no address family in common with this node that it is to be a client; see yields
}

// reachable: enough have got through, or all there are. Those that do not
// answer at all do not count.
func (v *verdict) reachable() bool {
	switch {
	case v.apart: // members have to reach one another
		return false
	case len(v.by) >= vouchersWanted:
		return true
	case len(v.by) > 0:
		return v.silent+v.refused == 0
	}
	return !v.others
}

// unreachable: nobody got through, and somebody tried.
func (v *verdict) unreachable() bool { return !v.reachable() && v.silent > 0 }

// proving is one round of dial-backs.
type proving struct {
	n       *Node
	at      []netip.AddrPort // nil = where this node says that it is
	queue   []wire.Peer      // one of each owner, to be asked
	owners  map[identity.OwnerTag]bool
	answers chan dialBackAnswer
	known   []wire.Peer // those that this node knows itself, and whom answers have named
	flying  int
	asked   int
	verdict verdict
}

type dialBackAnswer struct {
	peer wire.Peer
	msg  *wire.Dialed
	err  error
}

// prove asks the given nodes, and others that they name, to dial this one back.
func (n *Node) prove(ctx context.Context, start []wire.Peer) verdict {
	return n.proveAt(ctx, start, nil)
}

// proveAt has it dialled at the given addresses; nil stands for all that it
// publishes.
func (n *Node) proveAt(ctx context.Context, start []wire.Peer, at []netip.AddrPort) verdict {
	ctx, cancel := context.WithTimeout(ctx, dialBackTime)
	defer cancel()
	p := &proving{
		n: n, at: at, owners: map[identity.OwnerTag]bool{n.owner: true},
		answers: make(chan dialBackAnswer, dialBackAsks), // nobody waits for a late one
	}
	if ring := n.Ring(); ring != nil {
		p.known = ring.Known() // whose addresses are all there; of a seed there is the one that was dialled
	}
	p.verdict.apart = n.yields(p.known)
	p.enqueue(start)
	for {
		for len(p.queue) > 0 && p.asked < dialBackAsks && p.flying+len(p.verdict.by) < vouchersWanted {
			p.ask(ctx)
		}
		if p.flying == 0 || len(p.verdict.by) >= vouchersWanted {
			return p.verdict
		}
		p.take(<-p.answers)
	}
}

func (p *proving) enqueue(peers []wire.Peer) {
	for _, peer := range peers {
		if !p.owners[peer.Owner] && len(peer.Addrs) > 0 && !p.n.apart(peer) {
			p.owners[peer.Owner] = true
			p.verdict.others = true
			p.queue = append(p.queue, peer)
		}
	}
}

// hear takes in whom an answer names. A newcomer knows few members itself; of those
// out of its reach an answer counts for one, so that it cannot make up many.
func (p *proving) hear(others []wire.Peer) {
	heard := false
	for _, o := range others {
		if apart := p.n.apart(o); !apart || !heard {
			p.known = append(p.known, o)
			heard = heard || apart
		}
	}
	p.verdict.apart = p.n.yields(p.known)
}

func (p *proving) ask(ctx context.Context) {
	peer := p.queue[0]
	p.queue = p.queue[1:]
	p.asked++
	p.flying++
	go func() { // ends with ctx
		msg, err := p.n.askDialBack(ctx, peer, p.at)
		p.answers <- dialBackAnswer{peer, msg, err}
	}()
}

func (p *proving) take(a dialBackAnswer) {
	p.flying--
	if a.err != nil {
		p.n.cfg.Log.Debug().Err(a.err).Stringer("node", a.peer.ID).Msg("not dialled back")
		if _, ok := errors.AsType[*link.RemoteError](a.err); ok {
			p.verdict.refused++
		}
		return
	}
	p.hear(a.msg.Others)
	p.enqueue(a.msg.Others)
	if len(a.msg.Reached) == 0 {
		p.verdict.silent++
		return
	}
	p.verdict.by = append(p.verdict.by, Voucher{a.peer.ID, a.peer.Owner, a.msg.Reached[0], p.n.time.Now()})
}

// askDialBack asks one node to dial the given addresses, or those that this node
// publishes. Of these, the one by which this host reaches it stands first: that
// one it will take for ours.
func (n *Node) askDialBack(ctx context.Context, peer wire.Peer, addrs []netip.AddrPort) (*wire.Dialed, error) {
	conn, err := n.link.Connect(ctx, peer)
	if err != nil {
		return nil, err
	}
	if addrs == nil {
		addrs = slices.Clone(n.Self().Addrs)
		if i := slices.Index(addrs, conn.LocalAddr()); i > 0 {
			addrs[0], addrs[i] = addrs[i], addrs[0]
		}
	}
	msg := &wire.DialBack{Addrs: addrs[:min(len(addrs), wire.MaxDialBack)], Padding: make([]byte, dialBackPadding)}
	answer, err := conn.Call(ctx, msg)
	if err != nil {
		return nil, err
	}
	dialed, ok := answer.(*wire.Dialed)
	if !ok {
		return nil, link.ErrProtocol
	}
	for _, a := range dialed.Reached {
		if !slices.Contains(msg.Addrs, a) {
			return nil, errors.New("it names an address that it was not asked to dial")
		}
	}
	return dialed, nil
}
