package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A client's side of its attachments. It keeps up to record.MaxVia of them, to
// nodes of different owners where there are, and renews them so often that a
// dead peer is noticed long before its lease ends.

// The bounds of looking for a peer.
const (
	attachTries = 6           // members asked in one round
	attachAgain = time.Minute // before one that refused or failed is asked again
	attachFails = 2           // renewals in a row that fail, after which a peer counts as dead
)

// Attachment is a peer that a client is attached to.
type Attachment struct {
	Peer  wire.Peer
	Since time.Time // overlay time
}

// held is an attachment with what is known of its health.
type held struct {
	Attachment
	via   record.Via
	fails int
}

// holding are a client's attachments. One goroutine changes them.
type holding struct {
	mu     sync.Mutex
	peers  []held
	avoid  map[identity.NodeID]time.Time // until when
	change chan struct{}                 // has a token when the registration has to name others
}

func newHolding() *holding {
	return &holding{avoid: map[identity.NodeID]time.Time{}, change: make(chan struct{}, 1)}
}

func (h *holding) changed() {
	select {
	case h.change <- struct{}{}:
	default:
	}
}

func (h *holding) all() []held {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.peers)
}

func (h *holding) set(peers []held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	same := func(a, b held) bool { return a.Peer.ID == b.Peer.ID && slices.Equal(a.via.Addrs, b.via.Addrs) }
	if !slices.EqualFunc(h.peers, peers, same) {
		h.changed()
	}
	h.peers = peers
}

// Attachments returns the peers that this node is attached to as a client.
func (n *Node) Attachments() (out []Attachment) {
	for _, h := range n.holding.all() {
		out = append(out, h.Attachment)
	}
	return out
}

// Via is what a registration says of this node: the peers that pass sealed
// packets on to it, none for a member.
func (n *Node) Via() (out []record.Via) {
	for _, h := range n.holding.all() {
		out = append(out, h.via)
	}
	return out
}

// Moved has a token when what registrations say about this node has changed.
func (n *Node) Moved() <-chan struct{} { return n.holding.change }

// Clients returns how many clients this node passes sealed packets on to.
func (n *Node) Clients() int { return n.clients.count() }

// keepAttached looks after a client's attachments until ctx ends.
func (n *Node) keepAttached(ctx context.Context) {
	tick := time.NewTicker(n.cfg.Reach.Lease)
	defer tick.Stop()
	for {
		n.tendAttachments(ctx)
		select {
		case <-ctx.Done():
			n.detach()
			return
		case <-tick.C:
		}
	}
}

// tendAttachments renews what there is and fills free places.
func (n *Node) tendAttachments(ctx context.Context) {
	if !n.isClient() {
		n.detach()
		return
	}
	peers := n.renew(ctx, n.holding.all())
	for _, p := range n.attachable(peers) {
		if len(peers) >= record.MaxVia || ctx.Err() != nil {
			break
		}
		via, err := n.attachTo(ctx, p)
		if err != nil {
			n.holding.avoid[p.ID] = time.Now().Add(attachAgain)
			n.cfg.Log.Debug().Err(err).Stringer("node", p.ID).Msg("not attached")
			continue
		}
		peers = append(peers, held{Attachment: Attachment{p, n.time.Now()}, via: via})
	}
	n.hold(peers)
}

// hold keeps the attachments, and takes sealed packets from these peers alone.
func (n *Node) hold(peers []held) {
	ids := make([]identity.NodeID, len(peers))
	for i, p := range peers {
		ids[i] = p.Peer.ID
	}
	n.link.AttachedTo(ids)
	n.holding.set(peers)
}

// renew asks all peers again, side by side, and returns those that are left.
func (n *Node) renew(ctx context.Context, peers []held) []held {
	var work sync.WaitGroup
	for i := range peers {
		work.Go(func() {
			p := &peers[i]
			via, err := n.attachTo(ctx, p.Peer)
			if remote, ok := errors.AsType[*link.RemoteError](err); ok && remote.Code != wire.CodeTooMany {
				p.fails = attachFails // it is no member any more
			}
			if err != nil {
				p.fails++
				return
			}
			p.via, p.fails = via, 0
		})
	}
	work.Wait()
	return slices.DeleteFunc(peers, func(p held) bool {
		if p.fails < attachFails {
			return false
		}
		n.holding.avoid[p.Peer.ID] = time.Now().Add(attachAgain)
		return true
	})
}

// Reach connects to a device's node, directly or through one of the peers that
// it is attached to. Errors: link.Connect's.
func (n *Node) Reach(ctx context.Context, d directory.Device) (*link.Conn, error) {
	conn, err := n.link.ConnectVia(ctx, wire.Peer{ID: d.Node, Addrs: d.Addrs}, viaOf(d))
	if err == nil && conn.Relayed() {
		n.punches.now()
	}
	return conn, err
}

// ReachAgain is Reach in place of a connection on which nothing comes any more.
func (n *Node) ReachAgain(ctx context.Context, old *link.Conn, d directory.Device) (*link.Conn, error) {
	return n.link.Replace(ctx, old, wire.Peer{ID: d.Node, Addrs: d.Addrs}, viaOf(d))
}

func viaOf(d directory.Device) (via []wire.Peer) {
	for _, v := range d.Via {
		via = append(via, wire.Peer{ID: v.Node, Addrs: v.Addrs})
	}
	return via
}

// attachable returns members to be attached to, those first whose owners are
// not among the peers yet.
func (n *Node) attachable(peers []held) []wire.Peer {
	now := time.Now()
	owners := map[identity.OwnerTag]bool{n.owner: true}
	taken := map[identity.NodeID]bool{n.id: true}
	for _, p := range peers {
		owners[p.Peer.Owner], taken[p.Peer.ID] = true, true
	}
	for id, until := range n.holding.avoid {
		if until.After(now) {
			taken[id] = true
		} else {
			delete(n.holding.avoid, id)
		}
	}
	known := n.Ring().View().Peers()
	rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	var first, second []wire.Peer
	for _, p := range known {
		switch {
		case taken[p.ID] || len(p.Addrs) == 0 || n.apart(p):
		case !owners[p.Owner]:
			owners[p.Owner] = true
			first = append(first, p)
		default:
			second = append(second, p)
		}
	}
	all := append(first, second...)
	return all[:min(len(all), attachTries)]
}

// attachTo attaches this node to a member or renews that.
func (n *Node) attachTo(ctx context.Context, p wire.Peer) (record.Via, error) {
	ctx, cancel := context.WithTimeout(ctx, max(n.cfg.Reach.Lease*3/4, time.Second/2))
	defer cancel()
	answer, err := n.link.Call(ctx, p, &wire.Attach{For: uint16(leaseMost / time.Second)})
	if err != nil {
		return record.Via{}, err
	}
	m, ok := answer.(*wire.Attached)
	if !ok || m.For == 0 {
		return record.Via{}, link.ErrProtocol
	}
	via := record.Via{Node: p.ID, Addrs: usableAddrs(m.Addrs)}
	if len(via.Addrs) == 0 {
		return record.Via{}, link.ErrProtocol
	}
	return via, nil
}

// usableAddrs are those that a registration may name.
func usableAddrs(addrs []netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range addrs {
		if !a.Addr().IsMulticast() && len(out) < record.MaxViaAddrs {
			out = append(out, a)
		}
	}
	return out
}

// detach gives the places back.
func (n *Node) detach() {
	peers := n.holding.all()
	if len(peers) == 0 {
		return
	}
	n.hold(nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	var work sync.WaitGroup
	for _, p := range peers {
		work.Go(func() { _, _ = n.link.Call(ctx, p.Peer, &wire.Attach{}) })
	}
	work.Wait()
}
