package chord

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of the keeper's work.
const (
	keeperSettle   = 20 * time.Millisecond  // after a change, before records move
	keeperRest     = 300 * time.Millisecond // between two rounds
	keeperRetry    = 2 * time.Second        // after a round in which pushes failed
	keeperParallel = 4                      // nodes that are pushed to at a time
	keeperRound    = 4096                   // pushes in one round
	keeperSent     = 16384                  // pushes remembered
	keeperPerItem  = 10 * time.Millisecond  // rounds of repair are this far apart per record held
)

// keeper moves records to where they belong: to new neighbours soon after the
// neighbourhood changed, and everything now and then.
type keeper struct {
	n     *Node
	kick  chan struct{}
	fresh atomic.Int64 // until then, Unix ns, what the node misses may be on its way to it

	mu    sync.Mutex
	pred  ID                   // to which everything was handed over
	asked ID                   // which was asked to hand over
	sent  map[sentKey]struct{} // pushes that were answered
}

type sentKey struct {
	to   ID
	slot slotKey
}

func newKeeper(n *Node) *keeper {
	return &keeper{n: n, kick: make(chan struct{}, 1), sent: make(map[sentKey]struct{})}
}

// wake says that the neighbourhood has changed.
func (k *keeper) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

func (k *keeper) run(ctx context.Context) {
	repair := time.NewTimer(k.untilRepair(0))
	defer repair.Stop()
	var retry <-chan time.Time
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-k.kick:
		case <-retry:
		case <-repair.C:
			all = true
		}
		if !pause(ctx, keeperSettle) {
			return
		}
		select {
		case <-k.kick: // of the changes that came meanwhile
		default:
		}
		held, failed := k.round(ctx, all)
		if all {
			repair.Reset(k.untilRepair(held))
		}
		retry = nil
		if failed > 0 || k.waits() {
			retry = time.After(keeperRetry)
		}
		if !pause(ctx, keeperRest) {
			return
		}
	}
}

// untilRepair spreads the rounds of repair, and makes them rarer for a node
// that holds much.
func (k *keeper) untilRepair(held int) time.Duration {
	d := max(k.n.cfg.RepairEvery, time.Duration(held)*keeperPerItem)
	return d/2 + rand.N(d)
}

// round pushes what has to be pushed, and returns how many records the node
// holds and how many pushes failed.
func (k *keeper) round(ctx context.Context, all bool) (held, failed int) {
	v := k.n.view.Load()
	if v.Phase != PhaseJoined || !v.Settled {
		return 0, 0
	}
	records := k.n.cfg.Records.All()
	newPred := k.forget(v, all)
	pushes := k.unsent(plan(v, records, k.n.cfg.Charter, all))
	if newPred {
		var toPred []push
		toPred, pushes = part(pushes, v.Pred.ID)
		if failed = k.pushTo(ctx, v.Pred, toPred, true); failed > 0 {
			k.mu.Lock()
			k.pred = ID{}
			k.mu.Unlock()
		}
	}
	failed += k.askHandover(ctx, v)
	return len(records), failed + k.push(ctx, pushes)
}

// askHandover asks the successor of a node that has just joined for what lies
// in the node's interval, by a StoreMany without items. A successor that sees a
// new predecessor hands over by itself; one that has not noticed that its
// predecessor has been away does so when it is asked.
func (k *keeper) askHandover(ctx context.Context, v *View) (failed int) {
	k.mu.Lock()
	skip := !k.waits() || len(v.Succ) == 0 || k.asked == v.Succ[0].ID
	k.mu.Unlock()
	if skip {
		return 0
	}
	if failed = k.pushTo(ctx, v.Succ[0], nil, true); failed == 0 {
		k.mu.Lock()
		k.asked = v.Succ[0].ID
		k.mu.Unlock()
	}
	return failed
}

// freshFor is how long a node that has joined waits for the handover from its
// successor before it counts as over.
const freshFor = 3 * time.Second

// joined says that the node has become responsible for what another has held.
func (k *keeper) joined() {
	k.mu.Lock()
	k.asked = ID{}
	k.mu.Unlock()
	k.fresh.Store(time.Now().Add(freshFor).UnixNano())
}

// handed says that a node has sent a StoreMany. To a node that waits for its
// handover, one from the successor that is not full is the end of it. To others,
// an empty one from the predecessor asks for one.
func (k *keeper) handed(v *View, from ID, items int) {
	if k.waits() {
		if items < wire.MaxItems && len(v.Succ) > 0 && v.Succ[0].ID == from {
			k.fresh.Store(0)
			k.wake() // now it can hand over in turn
		}
		return
	}
	if items > 0 || from != v.Pred.ID {
		return
	}
	k.mu.Lock()
	k.pred = ID{}
	for s := range k.sent {
		if s.to == from {
			delete(k.sent, s)
		}
	}
	k.mu.Unlock()
	k.wake()
}

// waits reports whether a handover is still to come, so that what the node
// does not hold may exist all the same.
func (k *keeper) waits() bool { return time.Now().UnixNano() < k.fresh.Load() }

// part splits the pushes to one node from the others.
func part(pushes []push, to ID) (these, others []push) {
	for _, p := range pushes {
		if p.to.ID == to {
			these = append(these, p)
		} else {
			others = append(others, p)
		}
	}
	return these, others
}

// handOver pushes everything to where it belongs once this node is gone.
func (k *keeper) handOver(ctx context.Context) {
	v := k.n.view.Load().leaving()
	k.push(ctx, plan(v, k.n.cfg.Records.All(), k.n.cfg.Charter, true))
}

// forget drops the memory of what was pushed to nodes that are no neighbours
// any more: should they come back, they may have lost it. It reports whether the
// predecessor is another than the one to which everything was handed over. A
// node that still waits for its own handover has nothing to hand over yet.
func (k *keeper) forget(v *View, all bool) (newPred bool) {
	waits := k.waits()
	k.mu.Lock()
	defer k.mu.Unlock()
	if newPred = !waits && v.Pred.ID != v.Self.ID && v.Pred.ID != k.pred; newPred {
		k.pred = v.Pred.ID
	}
	if all {
		clear(k.sent)
		return newPred
	}
	near := map[ID]bool{v.Pred.ID: true}
	for _, p := range v.Succ {
		near[p.ID] = true
	}
	for s := range k.sent {
		if !near[s.to] {
			delete(k.sent, s)
		}
	}
	return newPred
}

func (k *keeper) unsent(pushes []push) []push {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := pushes[:0]
	for _, p := range pushes {
		if _, done := k.sent[sentKey{p.to.ID, p.slot}]; !done {
			out = append(out, p)
		}
	}
	if len(out) > keeperRound { // the rest has its turn in another round
		rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		out = out[:keeperRound]
	}
	return out
}

// push sends the pushes, node by node, a few nodes at a time.
func (k *keeper) push(ctx context.Context, pushes []push) (failed int) {
	byNode := map[ID][]push{}
	var order []ID
	for _, p := range pushes {
		if byNode[p.to.ID] == nil {
			order = append(order, p.to.ID)
		}
		byNode[p.to.ID] = append(byNode[p.to.ID], p)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	room := make(chan struct{}, keeperParallel)
	for _, id := range order {
		room <- struct{}{}
		wg.Go(func() {
			lost := k.pushTo(ctx, byNode[id][0].to, byNode[id], false)
			mu.Lock()
			failed += lost
			mu.Unlock()
			<-room
		})
	}
	wg.Wait()
	return failed
}

// pushTo sends the pushes for one node, and returns how many failed. The last
// message of a handover is not full; it may be empty.
func (k *keeper) pushTo(ctx context.Context, to wire.Peer, pushes []push, handover bool) (failed int) {
	for {
		batch := pushes[:min(len(pushes), wire.MaxItems)]
		if len(batch) == 0 && !handover {
			return 0
		}
		req := &wire.StoreMany{}
		for _, p := range batch {
			req.Items = append(req.Items, wire.Placed{Position: p.pos, Record: p.record})
		}
		at, timeout := k.n.view.Load().reach(to)
		msg, _, err := k.n.ask(ctx, at, req, timeout+k.n.patience())
		answer, ok := msg.(*wire.StoredMany)
		if err != nil || !ok || len(answer.Outcomes) != len(batch) {
			return max(len(pushes), 1)
		}
		for i, p := range batch {
			k.pushed(p, record.Outcome(answer.Outcomes[i]))
		}
		pushes = pushes[len(batch):]
		if len(batch) < wire.MaxItems {
			return 0
		}
	}
}

// pushed takes in what became of one push. An orphan that is now where it
// belongs, or that a newer one has replaced there, is dropped here.
func (k *keeper) pushed(p push, o record.Outcome) {
	if o == outcomeElsewhere {
		return // our table is out of date; a later round will know better
	}
	k.mu.Lock()
	if len(k.sent) >= keeperSent {
		clear(k.sent)
	}
	k.sent[sentKey{p.to.ID, p.slot}] = struct{}{}
	k.mu.Unlock()
	if p.orphan && (o.Held() || o == record.OutcomeStale) && k.n.view.Load().Phase == PhaseJoined {
		k.n.cfg.Records.Drop(p.slot.res, p.slot.kind, p.slot.part)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
