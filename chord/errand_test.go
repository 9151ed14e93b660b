package chord

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// choices runs a test once for every way of choosing in it.
type choices struct {
	taken, of []int // what was chosen, and of how many
	at        int   // choices made in this run
}

// choose returns one of 0 … n−1, another one in another run.
func (c *choices) choose(n int) int {
	if c.at == len(c.taken) {
		c.taken, c.of = append(c.taken, 0), append(c.of, n)
	}
	c.at++
	return c.taken[c.at-1]
}

// next prepares the next run; false when all have been.
func (c *choices) next() bool {
	c.at = 0
	for i := len(c.taken) - 1; i >= 0; i-- {
		if c.taken[i]++; c.taken[i] < c.of[i] {
			return true
		}
		c.taken, c.of = c.taken[:i], c.of[:i]
	}
	return false
}

// trip runs an errand to its end. The answers come in the order that choose
// gives, time passing between them or not.
type trip struct {
	t       *testing.T
	op      errand
	now     time.Time
	flying  []onTrip
	asked   []ID
	waits   int // moments at which time may pass although there are answers
	choose  func(n int) int
	answers func(e Effect) wire.Message // nil: never
}

type onTrip struct {
	Effect
	msg wire.Message
	at  time.Time
}

func (r *trip) run() {
	r.now = time.Unix(1_000_000, 0)
	start := r.now
	r.step(Tick{})
	for steps := 0; !r.op.ended(); steps++ {
		if steps > 200 || r.now.Sub(start) > 15*time.Second {
			r.t.Fatalf("not at its end after %d steps, %v", steps, r.now.Sub(start))
		}
		if !r.arrive() {
			r.pass()
		}
	}
	if more := r.op.Step(r.now, Tick{}); len(more) > 0 {
		r.t.Fatal("an errand at its end asks on")
	}
}

// arrive lets one of the answers come, or none.
func (r *trip) arrive() bool {
	var able []int
	for i := range r.flying {
		if r.flying[i].msg != nil {
			able = append(able, i)
		}
	}
	n := len(able)
	if n == 0 {
		return false
	}
	if r.waits > 0 {
		n++
	}
	pick := r.choose(n)
	if pick == len(able) {
		r.waits--
		return false
	}
	f := r.flying[able[pick]]
	r.flying = slices.Delete(r.flying, able[pick], able[pick]+1)
	r.now = r.now.Add(time.Millisecond)
	r.step(Result{Call: f.ID, Msg: f.msg, RTT: r.now.Sub(f.at)})
	return true
}

// pass lets time pass until something is due.
func (r *trip) pass() {
	at := r.op.Deadline()
	if at.IsZero() {
		r.t.Fatal("waits for nothing")
	}
	due := -1
	for i, f := range r.flying {
		if end := f.at.Add(f.Timeout); end.Before(at) {
			at, due = end, i
		}
	}
	if at.After(r.now) {
		r.now = at
	}
	if due < 0 {
		r.step(Tick{})
		if !r.op.ended() && !r.op.Deadline().After(r.now) {
			r.t.Fatalf("still due at %v", r.now)
		}
		return
	}
	id := r.flying[due].ID
	r.flying = slices.Delete(r.flying, due, due+1)
	r.step(Result{Call: id, Err: errLost})
}

func (r *trip) step(ev Event) {
	for _, e := range r.op.Step(r.now, ev) {
		if e.Kind != Send || e.Timeout <= 0 || e.Msg == nil {
			r.t.Fatalf("effect %+v", e)
		}
		r.asked = append(r.asked, e.To.ID)
		r.flying = append(r.flying, onTrip{e, r.answers(e), r.now})
	}
}

// small returns the view of the first of n nodes that know each other, each of
// another owner, and their IDs.
func smallView(n int) (*View, []ID) {
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = ID{byte(10 + 20*i), 1}
	}
	return viewOf(ids[0], ids), ids
}

// TestFetchInEveryOrder: four nodes follow a position, each of which has the
// record, has nothing or is dead. Whatever comes first and whoever is late, a
// record that one of them has is found, and nothing is called absent that the
// responsible node has not.
func TestFetchInEveryOrder(t *testing.T) {
	const has, empty = 0, 1 // 2 is dead
	v, ids := smallView(5)
	pos := ID{ids[0][0] + 1} // ids[1] is responsible; the asking node comes last
	rec := share(t, "bob", 1, 1).rec
	runs := 0
	for states := range 81 {
		state := map[ID]int{ids[0]: empty}
		for i, k := 1, states; i < 5; i, k = i+1, k/3 {
			state[ids[i]] = k % 3
		}
		for c := (&choices{}); ; {
			f := NewFetching(Vantage{View: v}, pos, ID{9}, nil)
			r := trip{t: t, op: f, choose: c.choose, waits: 3, answers: func(e Effect) wire.Message {
				i := slices.Index(ids, e.To.ID)
				pred, succ := vpeer(ids[(i+4)%5], 1), vpeer(ids[(i+1)%5], 1)
				switch state[e.To.ID] {
				case has:
					return &wire.Fetched{Records: []record.Record{rec}, Pred: &pred, Succ0: &succ}
				case empty:
					return &wire.Fetched{Pred: &pred, Succ0: &succ}
				}
				return nil
			}}
			r.run()
			a, _, err := f.Result()
			if err := checkFetch(a, err, state, ids, r.asked); err != nil {
				t.Fatalf("states %d, choices %v: %v", states, c.taken, err)
			}
			if runs++; !c.next() {
				break
			}
		}
	}
	t.Logf("%d runs", runs)
}

func checkFetch(a Answer, err error, state map[ID]int, ids, asked []ID) error {
	switch {
	case err != nil:
		return fmt.Errorf("error %w although the asking node answers itself", err)
	case a.Responsible != (a.Holder.ID == ids[1]):
		return errors.New("the wrong one is taken for responsible")
	case len(a.Records) > 0 && state[a.Holder.ID] != 0:
		return errors.New("a record from one that has none")
	case len(a.Records) == 0 && state[ids[1]] == 0:
		return errors.New("the responsible node's record was not found")
	case len(a.Records) == 0 && state[ids[1]] == 2 && slices.ContainsFunc(asked, func(id ID) bool { return state[id] == 0 }):
		return errors.New("nothing, although one that was asked has it")
	case len(asked) > fetchAsks:
		return fmt.Errorf("%d asked", len(asked))
	}
	return nil
}

// TestStoreInEveryOrder: each of five nodes takes a record, refuses it or is
// dead. The store ends on the second that has taken it, or when everybody has
// been tried.
func TestStoreInEveryOrder(t *testing.T) {
	const takes, refuses = 0, 1 // 2 is dead
	v, ids := smallView(5)
	pos := ID{ids[0][0] + 1}
	rec := share(t, "bob", 1, 1).rec
	runs := 0
	for states := range 243 {
		state := map[ID]int{}
		able := 0
		for i, k := 0, states; i < 5; i, k = i+1, k/3 {
			if state[ids[i]] = k % 3; k%3 == takes {
				able++
			}
		}
		for c := (&choices{}); ; {
			s := NewStoring(Vantage{View: v}, pos, rec)
			good := 0
			r := trip{t: t, op: s, choose: c.choose, waits: 1, answers: func(e Effect) wire.Message {
				if _, ok := e.Msg.(*wire.Store); !ok {
					i := slices.Index(ids, e.To.ID)
					return &wire.Found{Done: true, Peers: []wire.Peer{vpeer(ids[(i+1)%5], 1)}}
				}
				switch state[e.To.ID] {
				case takes:
					return &wire.Stored{Outcome: uint8(record.OutcomeStored), Seq: 1}
				case refuses:
					return wire.Errorf(wire.CodeForbidden, "not here")
				}
				return nil
			}}
			r.run()
			holders, _, err := s.Result()
			for _, h := range holders {
				if h.Err == nil {
					good++
				}
			}
			if want := min(copies, able); good != want || (err == nil) != (want > 0) {
				t.Fatalf("states %d, choices %v: %d holders of %d, %v", states, c.taken, good, able, err)
			}
			if runs++; !c.next() {
				break
			}
		}
	}
	t.Logf("%d runs", runs)
}

// TestSeekInEveryOrder: a look-up in a ring of twelve, two members of which are
// dead, finds the responsible node whatever the order of the answers.
func TestSeekInEveryOrder(t *testing.T) {
	m := newModel(12)
	ids := make([]ID, 0, 12)
	for i := range m.ring {
		ids = append(ids, m.ring[i].Self)
	}
	const most = 2000 // of one pair of dead members
	runs := 0
	for a := 1; a < 11; a++ {
		m.dead = map[ID]bool{ids[a]: true, ids[a+1]: true}
		v := viewOf(ids[0], ids)
		v.Complete = false
		for v.members.len() > 3 { // it knows little
			v.members.remove(v.members.at(3).id())
		}
		target := ids[10]
		target[1]++ // of ids[11]
		for c := (&choices{}); ; {
			runs++
			s := NewSeeking(Vantage{View: v}, target)
			r := trip{t: t, op: s, choose: c.choose, waits: 2, answers: func(e Effect) wire.Message { return m.ask(e.To.ID, e.Msg) }}
			r.run()
			route, _, err := s.Result()
			if err != nil || route.Responsible.ID != ids[11] {
				t.Fatalf("%s and the next one dead, choices %v: %s, %v", ids[a].Short(), c.taken, route.Responsible.ID.Short(), err)
			}
			if !c.next() || runs == a*most {
				break
			}
		}
	}
	t.Logf("%d runs", runs)
}

// strange is an answer that nobody in his right mind would give.
func (r *reader) strange(e Effect) wire.Message {
	switch r.next() % 8 {
	case 0:
		return &wire.Fetched{Pred: r.maybe(), Succ0: r.maybe()}
	case 1:
		return &wire.Fetched{Records: make([]record.Record, r.next()%8), Pred: r.maybe(), Succ0: r.maybe()}
	case 2:
		return &wire.Stored{Outcome: r.next(), Seq: uint64(r.next())}
	case 3:
		return &wire.Error{Code: wire.CodeForbidden}
	case 4:
		return nil
	}
	msg, _ := r.answer(e.To)
	return msg
}

// FuzzErrands: everybody who is asked may answer anything, in any order, or
// not at all. Every errand ends in its time with a bounded number of calls, and
// believes nobody but the one asked of itself.
func FuzzErrands(f *testing.F) {
	for seed := range byte(12) {
		in := make([]byte, 300)
		for i := range in {
			in[i] = byte(i*i)*seed + byte(i>>2)*5 + seed
		}
		f.Add(in)
	}
	rec := share(f, "bob", 1, 1).rec
	f.Fuzz(func(t *testing.T, input []byte) {
		r := &reader{input}
		v, _ := smallView(4 + int(r.next())%8)
		kind := r.next() % 3
		v.Small, v.Complete = r.next()&1 == 0, r.next()&1 == 0
		target := r.peer().ID
		at := Vantage{View: v}
		op := []errand{NewSeeking(at, target), NewFetching(at, target, ID{9}, nil), NewStoring(at, target, rec)}[kind]
		drive := trip{t: t, op: op, waits: 6, answers: r.strange, choose: func(n int) int { return int(r.next()) % n }}
		drive.run()
		if most := 2*searchQueries + 2*storeTries; len(drive.asked) > most {
			t.Fatalf("%d calls", len(drive.asked))
		}
		if f, ok := op.(*Fetching); ok {
			if a, _, err := f.Result(); err == nil && !slices.Contains(drive.asked, a.Holder.ID) {
				t.Fatal("an answer of somebody who was not asked")
			}
		}
	})
}
