package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// How a node gets into the ring, and back into it after a restart: through
// the peers that an enrolment named, the members it knew last, and the
// bootstrap servers, all asked side by side. Where nobody answers for
// aloneAfter it makes a ring of its own, which merges with the others' when
// they meet: after a power cut nobody must be there first.
const (
	contactTimeout = 3 * time.Second        // for asking around once
	joinTimeout    = 4 * time.Second        // for one attempt to be let in
	joinRetry      = 500 * time.Millisecond // between attempts, until joined
	aloneAfter     = 3 * time.Second
	tooLong        = 15 * time.Second
	meetAt         = 3               // members with the lowest IDs that all ask
	tendEvery      = 5 * time.Second // look at addresses, neighbours, time
	saveEvery      = time.Minute
	relearnEvery   = time.Hour // ask for the time again
)

// Seed names bootstrap servers, host:port, to join through.
func (n *Node) Seed(servers []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers = slices.Clone(servers)
}

// SeedPeers names members to join through, and keeps them for a restart that
// comes before this node has seen the ring.
func (n *Node) SeedPeers(peers []wire.Peer) {
	n.mu.Lock()
	n.peers = slices.Clone(peers)
	n.mu.Unlock()
	if len(n.loadKnown()) == 0 {
		n.keepKnown(peers)
	}
}

// stayJoined joins the ring and looks after this node's membership until ctx
// ends.
func (n *Node) stayJoined(ctx context.Context) error {
	n.trustOwnClock(false)
	if !n.join(ctx) {
		return nil
	}
	n.settle(ctx)
	n.settleTime(ctx)
	n.tendAttachments(ctx)
	n.saveKnown()
	close(n.joined)
	n.cfg.Log.Info().Stringer("node", n.id).Int("members", n.Ring().Status().Members).Bool("client", n.isClient()).Msg("joined the ring")
	var role sync.WaitGroup
	defer role.Wait()
	role.Go(func() { n.keepRole(ctx) })
	role.Go(func() { n.keepAttached(ctx) })
	role.Go(func() { n.keepMoving(ctx) })
	role.Go(func() { n.keepObserved(ctx) })
	role.Go(func() { n.keepPunching(ctx) })
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	near, saved, learnt := n.neighbours(), time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n.refreshAddrs()
		if !n.time.Synced() || time.Since(learnt) >= relearnEvery {
			n.askMembers(ctx)
			n.trustOwnClock(true)
			learnt = time.Now()
		}
		if now := n.neighbours(); !slices.Equal(now, near) {
			near = now
			n.saveKnown()
		}
		if time.Since(saved) < saveEvery {
			continue
		}
		saved = time.Now()
		n.saveKnown()
		n.reunite(ctx)
		if err := n.time.Save(); err != nil {
			n.cfg.Log.Warn().Err(err).Msg("the overlay's time cannot be saved: make room on the disk of the state folder")
		}
	}
}

// trustOwnClock lets the issuer, from whom the others learn the time, take its
// own clock for right; in need also one that it knows to be wrong.
func (n *Node) trustOwnClock(need bool) {
	if !n.cfg.Alone || n.time.Synced() {
		return
	}
	doubtful := n.time.Doubtful(n.began())
	if doubtful && !need {
		return
	}
	if doubtful {
		n.cfg.Log.Warn().Msg("this machine's clock is wrong and nobody is there to tell the time: the overlay's time goes on from where it stood; set the clock")
	}
	n.time.Learn([]identity.TimeSample{{Owner: n.owner, Issuer: true}}, false)
}

// settleTimeout bounds the wait for a place on the ring that has settled.
const settleTimeout = 3 * time.Second

// settle waits until the node may speak for its part of the circle: only then
// do look-ups through it and records at it make sense.
func (n *Node) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		changed := n.Ring().Changed()
		if v := n.Ring().View(); v.Settled || v.Attending() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// settleTime asks the ring for the time where nobody has told it yet.
func (n *Node) settleTime(ctx context.Context) {
	if !n.time.Synced() && n.others() > 0 {
		n.askMembers(ctx)
	}
	n.trustOwnClock(true)
}

// join tries until the node is a member or ctx ends. Where nobody answers it
// makes a ring of its own after aloneAfter; where others do who are joining,
// too, they find together who makes it, and only when that takes far too long
// this node does.
func (n *Node) join(ctx context.Context) bool {
	ring := n.Ring()
	began, heard := time.Now(), time.Now()
	for {
		seeds, reach := n.contact(ctx)
		if len(seeds) > 0 {
			heard = time.Now()
			err := n.enter(ctx, seeds, reach)
			if err == nil {
				return true
			}
			n.cfg.Log.Debug().Err(err).Int("seeds", len(seeds)).Msg("not let in yet")
		}
		if ctx.Err() != nil {
			return false
		}
		known := n.candidates()
		alone := len(seeds) == 0 && time.Since(heard) > aloneAfter || time.Since(began) > tooLong
		if n.cfg.Role != RoleClient && (n.cfg.Alone && len(known) == 0 || alone) {
			ring.Create(known...)
			n.stand(standing{unproven: true})
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(joinRetry):
		}
	}
}

// meetingPoint adds to those that answered the known members with the lowest
// Node-IDs. After a power cut everybody is joining and nobody is there to join:
// who has the lowest ID of those that it hears of makes the ring, and that is
// one node, not many, where all ask the same few.
func (n *Node) meetingPoint(seeds []wire.Peer) []wire.Peer {
	lowest := n.candidates()
	slices.SortFunc(lowest, func(a, b wire.Peer) int { return a.ID.Compare(b.ID) })
	for _, p := range lowest[:min(len(lowest), meetAt)] {
		if !slices.ContainsFunc(seeds, func(s wire.Peer) bool { return s.ID == p.ID }) {
			seeds = append(seeds, p)
		}
	}
	return seeds
}

// reunite looks after a node that is alone although it has known others: it
// lets the ring hear of them again, whose probing then merges the rings.
func (n *Node) reunite(ctx context.Context) {
	if n.isClient() || n.others() > 0 {
		return
	}
	if peers, _ := n.contact(ctx); len(peers) > 0 {
		n.Ring().Create(peers...)
	}
}

// neighbours are this node's predecessor and successors.
func (n *Node) neighbours() []identity.NodeID {
	st := n.Ring().Status()
	ids := []identity.NodeID{st.Pred.ID}
	for _, p := range st.Succ {
		ids = append(ids, p.ID)
	}
	return ids
}

// CutOff tells that this node reaches nobody although it knows of others: what
// it does not find may exist all the same.
func (n *Node) CutOff() bool {
	ring := n.Ring()
	if ring == nil || n.others() > 0 {
		return false
	}
	n.mu.Lock()
	named := len(n.servers) + len(n.peers)
	n.mu.Unlock()
	return named > 0 || len(n.loadKnown()) > 0
}

// refreshAddrs tells the ring when this host's addresses have changed.
func (n *Node) refreshAddrs() {
	n.moving.Lock()
	defer n.moving.Unlock()
	r := n.rooms.Load()
	now := n.advertised()
	if len(now) == 0 || slices.Equal(now, r.self.Addrs) {
		return
	}
	moved := *r
	moved.self.Addrs = now
	n.rooms.Store(&moved)
	r.ring.SetAddrs(moved.self)
	n.moved()
	n.cfg.Log.Info().Msg("this host's addresses have changed; the ring is told")
}
