package chord

import (
	"slices"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// keeperRoundState is one round of a Keeper under way.
type keeperRoundState struct {
	all, leaving bool
	lines        []*line // not begun yet
	flying       int     // lines under way
	held         int     // records that the node holds
	failed       int     // pushes
	stands       standing
}

// standing is all that decides where a node's records have to be, other than in a
// round of repair. While it stays, nothing is new.
type standing struct {
	known          bool
	small, settled bool
	revision       uint64
	pred, replica  ID
	before         [replicaReach + 1]ID // members
}

// stands returns where the node stands; never the same twice where the records do
// not tell whether they have changed.
func (k *Keeper) stands(v *View) (s standing) {
	held, ok := k.cfg.Records.(changes)
	if !ok {
		k.lastID++
		return standing{known: true, revision: k.lastID}
	}
	s = standing{known: true, small: v.Small, settled: v.Settled, revision: held.Revision(), pred: v.Pred.ID}
	if p := v.replica(); p != nil {
		s.replica = p.ID
	}
	var buf [len(s.before)]*contact
	for i, c := range v.members.before(v.Self.ID, v.Self.ID, len(buf), buf[:0]) {
		s.before[i] = c.id()
	}
	return s
}

// line is what is pushed to one node in one round. What the node may well hold
// is offered to it first.
type line struct {
	to       wire.Peer
	pushes   []push    // to be sent
	offers   []push    // to be offered
	batch    []push    // under way
	handover bool      // the last message is not full; it may be empty
	asks     bool      // the first message asks the node for what belongs here
	under    wire.Type // what is under way: Offer or StoreMany
}

// begin begins a round: of everything (all), or of what has not been pushed
// yet.
func (k *Keeper) begin(all bool) {
	v := k.at.View
	k.round = &keeperRoundState{all: all}
	if !v.joined() {
		return
	}
	newPred := k.forget(v, all)
	var pushes []push
	if now := k.stands(v); all || newPred || now != k.planned {
		records := k.news(now, all || newPred)
		pushes = k.fitting(plan(v, records, k.cfg.Charter, all, &k.sent, k.plans[:0]))
		if len(pushes) < keeperRound {
			k.round.stands = now
		}
	}
	if newPred {
		l := k.line(v.Pred)
		l.handover = true
	}
	for _, p := range k.toAsk(v) {
		k.line(p).asks = true
	}
	for _, p := range pushes {
		l := k.line(p.to)
		l.pushes = append(l.pushes, p)
	}
	if cap(pushes) <= keeperSpare {
		clear(pushes)
		k.plans = pushes[:0]
	}
	for _, l := range k.round.lines {
		if all || len(l.pushes) > offerFrom {
			l.offers, l.pushes = l.pushes, nil
		}
	}
}

// changes is what Records may offer: that they tell what has come of late.
type changes interface {
	Revision() uint64                       // rises with every change
	Since(revision uint64) []*record.Record // of all time where it is 0; not to be changed
}

// news returns the records that a round is about: where nothing has changed since
// the last one but what the node holds, those that have come since.
func (k *Keeper) news(now standing, all bool) []*record.Record {
	before := k.planned
	before.revision = now.revision
	if c, ok := k.cfg.Records.(changes); ok && !all && k.planned.revision > 0 && before == now {
		k.round.held = k.counted
		return c.Since(k.planned.revision)
	}
	records := k.everything()
	k.counted, k.round.held = len(records), len(records)
	return records
}

func (k *Keeper) everything() []*record.Record {
	if c, ok := k.cfg.Records.(changes); ok {
		return c.Since(0)
	}
	all := k.cfg.Records.All()
	out := make([]*record.Record, len(all))
	for i := range all {
		out[i] = &all[i]
	}
	return out
}

// offerFrom is how many records are sent to a node, in a round of what is new,
// without asking whether it lacks them. Even one that has just become the
// predecessor may have been there before, with what it holds on its disk.
const offerFrom = 2

// beginLeaving begins the round in which everything is pushed to where it
// belongs once this node is gone.
func (k *Keeper) beginLeaving() {
	k.round = &keeperRoundState{leaving: true}
	if v := k.at.View; v.Phase == PhaseJoined {
		for _, p := range plan(v.leaving(), k.everything(), k.cfg.Charter, false, nil, nil) {
			l := k.line(p.to)
			l.pushes = append(l.pushes, p)
		}
	}
}

// line returns the line to a node, a new one if there is none yet.
func (k *Keeper) line(to wire.Peer) *line {
	i := slices.IndexFunc(k.round.lines, func(l *line) bool { return l.to.ID == to.ID })
	if i < 0 {
		k.round.lines = append(k.round.lines, &line{to: to})
		i = len(k.round.lines) - 1
	}
	return k.round.lines[i]
}

// toAsk returns the neighbours that a node which has joined lately has not
// asked for its records yet. A successor that sees a new predecessor hands over
// by itself, and a predecessor pushes to a new replica; those that have not
// noticed that the node has been away do so when they are asked.
func (k *Keeper) toAsk(v *View) (ask []wire.Peer) {
	if !k.now.Before(k.askUntil) {
		return nil
	}
	add := func(p wire.Peer) {
		if !k.asked[p.ID] && p.ID != v.Self.ID && !slices.ContainsFunc(ask, func(q wire.Peer) bool { return q.ID == p.ID }) {
			ask = append(ask, p)
		}
	}
	for _, s := range v.Succ {
		add(s)
		if s.Owner != v.Self.Owner {
			break
		}
	}
	var buf [replicaReach]*contact
	preds := v.members.before(v.Self.ID, v.Self.ID, len(buf), buf[:0])
	for i, c := range preds {
		if i > 0 && c.peer().Owner != preds[i-1].peer().Owner {
			break
		}
		add(c.peer())
	}
	return ask
}

// forget drops the memory of what was pushed to nodes that are no neighbours
// any more: should they come back, they may have lost it. It reports whether the
// predecessor is another than the one to which everything was handed over. A
// node that still waits for its own handover has nothing to hand over yet.
func (k *Keeper) forget(v *View, all bool) (newPred bool) {
	if newPred = !k.waits(k.now) && v.Pred.ID != v.Self.ID && v.Pred.ID != k.pred; newPred {
		k.pred = v.Pred.ID
	}
	if all {
		k.sent.clear()
		return newPred
	}
	near := func(id ID) bool {
		return id == v.Pred.ID || slices.ContainsFunc(v.Succ, func(p wire.Peer) bool { return p.ID == id })
	}
	k.sent.keep(near)
	return newPred
}

// fitting returns the pushes of one round; the rest has its turn in another.
func (k *Keeper) fitting(out []push) []push {
	if len(out) > keeperRound {
		k.cfg.Rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		out = out[:keeperRound]
	}
	return out
}

// next sends the next message of a line; false when it has none.
func (k *Keeper) next(l *line) bool {
	switch {
	case l.asks || len(l.offers) > 0:
		l.batch = nil
		if !l.asks {
			l.batch = l.offers[:min(len(l.offers), wire.MaxOffers)]
			l.offers = l.offers[len(l.batch):]
		}
		offer := &wire.Offer{}
		for _, p := range l.batch {
			offer.Items = append(offer.Items, wire.Offered{
				Position: p.pos, Resource: p.slot.res, Part: p.slot.part, Seq: p.slot.seq, Digest: digestOf(p.record),
			})
		}
		k.send(l, offer)
	case len(l.pushes) > 0 || l.handover:
		l.batch = l.pushes[:min(len(l.pushes), wire.MaxItems)]
		l.pushes = l.pushes[len(l.batch):]
		l.handover = l.handover && len(l.batch) == wire.MaxItems
		req := &wire.StoreMany{}
		for _, p := range l.batch {
			req.Items = append(req.Items, wire.Placed{Position: p.pos, Record: *p.record})
		}
		k.send(l, req)
	default:
		return false
	}
	return true
}

func (k *Keeper) send(l *line, msg wire.Message) {
	to, timeout := k.at.View.reach(l.to)
	k.lastID++
	k.flying[k.lastID] = l
	l.under = msg.Type()
	k.emit(Effect{Kind: Send, ID: k.lastID, To: to, Msg: msg, Timeout: timeout + k.at.Patience})
}

// digestOf returns what names a record's bytes in an Offer.
func digestOf(r *record.Record) (d [wire.OfferDigest]byte) {
	sum := r.Digest()
	copy(d[:], sum[:])
	return d
}

// answered takes in what became of one message of a line. A line that fails
// ends.
func (k *Keeper) answered(r Result) {
	l := k.flying[r.Call]
	if l == nil {
		return
	}
	delete(k.flying, r.Call)
	ok := false
	switch msg := r.Msg.(type) {
	case *wire.StoredMany:
		if ok = l.under == wire.TypeStoreMany && len(msg.Outcomes) == len(l.batch); ok {
			k.stored(l, msg.Outcomes)
		}
	case *wire.Wanted:
		if ok = l.under == wire.TypeOffer && len(msg.Answers) == len(l.batch); ok {
			k.wanted(l, msg.Answers)
		}
	}
	if ok && k.next(l) {
		return
	}
	k.round.flying--
	if !ok {
		k.round.failed += max(len(l.batch)+len(l.pushes)+len(l.offers), 1)
		if l.to.ID == k.pred {
			k.pred = ID{} // it gets everything in another round
		}
	}
}

// stored takes in the outcomes of a batch.
func (k *Keeper) stored(l *line, outcomes []byte) {
	for i, p := range l.batch {
		k.pushed(p, record.Outcome(outcomes[i]))
	}
}

// wanted takes in the answers to an offer.
func (k *Keeper) wanted(l *line, answers []byte) {
	if l.asks {
		l.asks = false
		k.asked[l.to.ID] = true
	}
	for i, p := range l.batch {
		switch answers[i] {
		case wire.WantedYes:
			l.pushes = append(l.pushes, p)
		case wire.WantedSame:
			k.pushed(p, record.OutcomeSame)
		case wire.WantedStale:
			k.pushed(p, record.OutcomeStale)
		default:
			k.pushed(p, outcomeElsewhere)
		}
	}
}

// pushed takes in what became of one push. An orphan that is now where it
// belongs, or that a newer one has replaced there, is dropped here.
func (k *Keeper) pushed(p push, o record.Outcome) {
	if o == outcomeElsewhere || o == outcomeLater {
		k.round.failed++ // one of the two tables is out of date, or the other has had enough for now
		return
	}
	k.sent.add(p.to.ID, p.slot)
	if p.orphan && (o.Held() || o == record.OutcomeStale) && k.at.View.Phase == PhaseJoined {
		k.cfg.Records.Drop(p.slot.res, p.slot.kind, p.slot.part)
	}
}
