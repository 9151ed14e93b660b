package chord

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// storeTime bounds one store, two look-ups included.
const storeTime = 2*lookupTime + 4*time.Second

// copies is how many nodes keep what lies at a position: the responsible one
// and its first successor of another owner.
const copies = 2

// storeTries is how many nodes are tried for that.
const storeTries = 6

// Holder is a node's answer to a record that was to be stored.
type Holder struct {
	Peer        wire.Peer
	Outcome     record.Outcome // 0 when Err is set
	Seq         uint64         // of the record that the node holds now
	Responsible bool           // the position lies in the node's own interval, as far as is known
	RTT         time.Duration  // 0 when the node is this one
	Err         error
}

// Storing is one store as a step function: a look-up unless the ring is small,
// then the responsible node and its first successor of another owner, and
// another for each that fails or takes long. One that wants the record later is
// asked again then. It ends when two have answered. Its
// effects are of kind Send; one to the node itself is a call too, answered by
// Keeper.Serve.
type Storing struct {
	calls
	req     *wire.Store
	seek    *Seeking // until it is known whom to ask
	again   bool     // the second look-up has been made
	want    int      // answers that are enough
	chain   []wire.Peer
	asked   int       // of chain
	first   ID        // of chain
	good    int       // nodes of chain that answered
	waiting []waiting // nodes of chain that want to be asked later
	late    time.Time // when another is asked
	end     time.Time
	holders []Holder
	err     error
	over    bool
}

// waiting is a node that has said when it takes a record.
type waiting struct {
	to wire.Peer
	at time.Time
}

// NewStoring returns a store of a record at pos. Its first step, with a Tick,
// begins it.
func NewStoring(at Vantage, pos ID, r record.Record) *Storing {
	at.Calm = true // a store goes to several positions, and a majority of them is enough
	s := &Storing{calls: calls{at: at}, req: &wire.Store{Position: pos, Record: r}}
	if !at.View.joined() || !at.View.Small {
		s.seek = NewSeeking(at, pos)
	}
	return s
}

// Step takes in what has happened and returns the calls to be made. The slice
// is valid until the next step.
func (s *Storing) Step(now time.Time, ev Event) []Effect {
	s.begin()
	if s.over {
		return nil
	}
	if s.end.IsZero() {
		s.end = now.Add(storeTime + 4*s.at.Patience)
		if s.seek == nil {
			s.start(now, s.at.View.chain(s.req.Position, storeTries))
			return s.out
		}
	}
	if s.seek != nil {
		s.find(now, ev)
		return s.out
	}
	switch ev := ev.(type) {
	case Result:
		if p, ok := s.landed(ev); ok {
			s.take(now, p, ev)
		}
	case GiveUp:
		s.giveUp(ev.Err)
	default:
		s.tick(now)
	}
	return s.out
}

// find is a step of the look-up.
func (s *Storing) find(now time.Time, ev Event) {
	s.out = append(s.out, s.seek.Step(now, ev)...)
	r, done, err := s.seek.Result()
	if !done {
		return
	}
	s.lastID = s.seek.lastID
	s.seek = nil
	switch {
	case err == nil && s.again:
		s.start(now, without(r.chain(), s.holders))
	case err == nil:
		s.start(now, r.chain())
	case s.again:
		s.finish()
	default:
		s.err, s.over = err, true
	}
}

func (s *Storing) start(now time.Time, chain []wire.Peer) {
	if !s.again {
		s.want = min(copies, len(chain))
	}
	s.chain, s.asked, s.good, s.flying, s.waiting = holdersFirst(chain), 0, 0, nil, nil
	wait := hedgeMost
	if len(s.chain) > 0 {
		s.first = s.chain[0].ID
		wait = s.at.View.hedge(s.first)
	}
	s.late = now.Add(wait)
	s.ask()
	s.ask()
	s.check(now)
}

func (s *Storing) ask() {
	if s.asked < len(s.chain) {
		s.asked++
		s.send(s.chain[s.asked-1], s.req)
	}
}

func (s *Storing) tick(now time.Time) {
	if !now.Before(s.end) {
		s.giveUp(context.DeadlineExceeded)
		return
	}
	for len(s.waiting) > 0 && !now.Before(s.waiting[0].at) {
		s.send(s.waiting[0].to, s.req)
		s.waiting = s.waiting[1:]
		s.late = later(s.late, now.Add(hedgeUnknown))
	}
	if len(s.flying) > 0 && !now.Before(s.late) {
		s.ask()
		s.late = now.Add(hedgeUnknown)
	}
}

// postpone has a node that asks for it asked again, as long after that as half
// the wait at most, which differs from store to store: who was told to wait
// together does not come back together. It reports whether there is time.
func (s *Storing) postpone(now time.Time, p wire.Peer, r Result) bool {
	e, ok := r.Msg.(*wire.Error)
	if !ok || e.Code != wire.CodeTooMany || e.Retry == 0 {
		return false
	}
	wait := time.Duration(e.Retry) * time.Millisecond
	salt := identity.HashID(string(s.at.View.Self.ID[:]), string(s.req.Position[:]), string(p.ID[:]))
	at := now.Add(wait + wait*time.Duration(salt[0])/512)
	if !at.Before(s.end) {
		return false
	}
	i, _ := slices.BinarySearchFunc(s.waiting, at, func(w waiting, at time.Time) int { return w.at.Compare(at) })
	s.waiting = slices.Insert(s.waiting, i, waiting{p, at})
	return true
}

// take notes an answer.
func (s *Storing) take(now time.Time, p wire.Peer, r Result) {
	if s.postpone(now, p, r) {
		return
	}
	h := Holder{Peer: p, Responsible: p.ID == s.first, RTT: r.RTT, Err: problem(r)}
	stored, ok := r.Msg.(*wire.Stored)
	switch {
	case h.Err != nil:
	case !ok:
		s.refuse(RefusedUnexpected)
		h.Err = fmt.Errorf("%w: %s in answer to Store", ErrNoHolder, r.Msg.Type())
	default:
		h.Outcome, h.Seq = record.Outcome(stored.Outcome), stored.Seq
	}
	s.holders = append(s.holders, h)
	if h.Err == nil {
		s.good++
	} else {
		s.ask()
	}
	s.check(now)
}

// check ends the store when two have answered, or else when nobody is left to
// answer and it has been asked once more who is there.
func (s *Storing) check(now time.Time) {
	switch {
	case s.good >= copies:
		s.finish()
	case len(s.flying)+len(s.waiting) > 0:
	case s.again || settled(s.holders) >= s.want:
		s.finish()
	default: // the ring has changed
		s.again = true
		s.seek = NewSeeking(s.at, s.req.Position)
		s.seek.lastID = s.lastID
		s.find(now, Tick{})
	}
}

func (s *Storing) giveUp(why error) {
	for _, w := range s.waiting {
		s.holders = append(s.holders, Holder{Peer: w.to, Responsible: w.to.ID == s.first, Err: why})
	}
	for _, f := range s.flying {
		s.holders = append(s.holders, Holder{Peer: f.to, Responsible: f.to.ID == s.first, Err: why})
	}
	s.finish()
}

func (s *Storing) finish() {
	if settled(s.holders) == 0 {
		s.err = fmt.Errorf("%w: position %s", ErrNoHolder, s.req.Position.Short())
	}
	s.over = true
	s.out = s.out[:0]
}

// Deadline returns when the store wants a Tick at the latest.
func (s *Storing) Deadline() time.Time {
	if s.seek != nil {
		return sooner(s.seek.Deadline(), s.end)
	}
	at := s.end
	if len(s.flying) > 0 {
		at = sooner(at, s.late)
	}
	if len(s.waiting) > 0 {
		at = sooner(at, s.waiting[0].at)
	}
	return at
}

// Result returns the outcome once done is true: what each node asked has said.
// Calls still under way may store another copy, which does no harm.
func (s *Storing) Result() (holders []Holder, done bool, err error) {
	return s.holders, s.over, s.err
}

func (s *Storing) ended() bool { return s.over }

// Store brings a record to the nodes that keep what lies at pos: the
// responsible one and its first successor of another owner. It returns what
// each one asked has said; a node that does not answer is passed by at once.
// The error is ErrNoHolder when none has said anything.
func (n *Node) Store(ctx context.Context, pos ID, r record.Record) ([]Holder, error) {
	s := NewStoring(n.vantage(), pos, r)
	n.drive(ctx, s)
	return s.holders, s.err
}

// holdersFirst moves the first successor of another owner to the second place
// and cuts the rest.
func holdersFirst(chain []wire.Peer) []wire.Peer {
	out := make([]wire.Peer, 0, storeTries)
	other := replicaOf(chain)
	for i, p := range chain {
		if i == 1 && other > 0 {
			out = append(out, chain[other])
		}
		if i != other || other == 0 {
			out = append(out, p)
		}
	}
	return out[:min(len(out), storeTries)]
}

// replicaOf returns the index of the first node of another owner than the
// first's; where all have one owner, that of the second node; 0 when there is
// only one.
func replicaOf(chain []wire.Peer) int {
	for i := 1; i < len(chain); i++ {
		if chain[i].Owner != chain[0].Owner {
			return i
		}
	}
	return min(1, max(0, len(chain)-1))
}

func without(chain []wire.Peer, holders []Holder) []wire.Peer {
	var out []wire.Peer
	for _, p := range chain {
		answered := false
		for _, h := range holders {
			answered = answered || h.Err == nil && h.Peer.ID == p.ID
		}
		if !answered {
			out = append(out, p)
		}
	}
	return out
}

// settled counts the nodes that hold the record or one that keeps it out.
func settled(holders []Holder) (count int) {
	for _, h := range holders {
		if h.Err == nil {
			count++
		}
	}
	return count
}
