package simnet

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/ringdir"
)

// task is something that a node does for its user, beside its machine: one of
// the product's errands, on the ring or of the directory.
type task struct {
	node    int32
	nodeGen uint32
	serial  uint32 // no two tasks have the same
	timerAt int64  // when the next evTask comes; 0 = none is set
	run     runner // nil: the place is free
}

// runner is a task's own part. step and deadline are called while the node
// runs.
type runner interface {
	// step takes in an answer to one of its calls, or that time has passed, and
	// reports whether the task is over.
	step(s *shard, n *node, ref int32, ev chord.Event) (over bool)
	deadline() time.Time
	// died is called instead when the node is no more.
	died(s *shard)
}

// begin gives a task of a node a place, and its first step.
func (s *shard) begin(n *node, r runner) {
	ref := s.tasks.take()
	s.stats.serial++
	*s.tasks.at(ref) = task{node: n.num, nodeGen: n.gen, serial: s.stats.serial, run: r}
	s.taskStep(n, ref, chord.Tick{})
}

func (s *shard) taskStep(n *node, ref int32, ev chord.Event) {
	serial := s.tasks.at(ref).serial
	if over := s.tasks.at(ref).run.step(s, n, ref, ev); over {
		s.tasks.put(ref)
		return
	}
	t := s.tasks.at(ref)
	at := t.run.deadline()
	if t.serial != serial || at.IsZero() {
		return
	}
	due := max(int64(at.Sub(s.start)), s.now)
	if t.timerAt != 0 && t.timerAt <= due {
		return
	}
	t.timerAt = due
	s.push(s.nodes[t.node], event{at: due, kind: evTask, ref: ref, gen: serial})
}

func (s *shard) taskTimer(e event) {
	t := s.tasks.at(e.ref)
	if t.run == nil || t.serial != e.gen || t.timerAt != e.at {
		return
	}
	t.timerAt = 0
	if n := s.nodes[t.node]; n.gen == t.nodeGen {
		s.taskStep(n, e.ref, chord.Tick{})
		return
	}
	r := t.run
	s.tasks.put(e.ref)
	r.died(s)
}

// aftermath tells a node's machine how a call went that it has not made itself.
func (s *shard) aftermath(n *node, c *call, r chord.Result) {
	if !s.cfg.RoutingOnly && c.to != n.num {
		if ev := n.viewOf().Aftermath(c.peer, r, n.rng.Uint32()); ev != nil {
			s.step(n, ev)
		}
	}
}

// taskAnswer hands the end of a call to the task that made it.
func (s *shard) taskAnswer(n *node, c *call, r chord.Result) {
	if t := s.tasks.at(c.task); t.run != nil && t.serial == c.serial {
		s.taskStep(n, c.task, r)
	}
}

func (s *shard) vantage(n *node) chord.Vantage {
	return chord.Vantage{View: n.viewOf(), Refused: s.stats.refuse}
}

// ringErrand is a look-up, a fetch or a store.
type ringErrand interface {
	Step(now time.Time, ev chord.Event) []chord.Effect
	Deadline() time.Time
}

// onRing runs one of them.
type onRing struct {
	errand ringErrand
	over   func() bool
	then   func(s *shard, n *node) // at its end; the node runs
	gone   func(s *shard)          // when the node died first; nil = nothing
}

func (r *onRing) step(s *shard, n *node, ref int32, ev chord.Event) bool {
	for _, e := range r.errand.Step(s.at(s.now), ev) {
		s.send(n, e.To, e.Msg, e.Timeout, e.ID, ref)
	}
	if !r.over() {
		return false
	}
	r.then(s, n)
	return true
}

func (r *onRing) deadline() time.Time { return r.errand.Deadline() }

func (r *onRing) died(s *shard) {
	if r.gone != nil {
		r.gone(s)
	}
}

// dirErrand is a resolution, a publication or a repair.
type dirErrand interface {
	Step(now time.Time, ev directory.Event) []directory.Call
	Deadline() time.Time
	Examine(c directory.Call, recs []record.Record) directory.Findings
	Ended() bool
}

// inDirectory runs one of them.
type inDirectory struct {
	errand dirErrand
	after  func(s *shard, n *node) // each step
	gone   func(s *shard)          // when the node died first; nil = nothing
}

func (d *inDirectory) step(s *shard, n *node, ref int32, _ chord.Event) bool {
	d.event(s, n, ref, directory.Tick{})
	return d.errand.Ended()
}

// event is a step of the errand, whose calls become tasks of their own.
func (d *inDirectory) event(s *shard, n *node, ref int32, ev directory.Event) {
	calls := slices.Clone(d.errand.Step(s.at(s.now), ev))
	d.after(s, n)
	serial := s.tasks.at(ref).serial
	for _, c := range calls {
		began := s.now
		back := func(s *shard, n *node, ev directory.Event) {
			t := s.tasks.at(ref)
			if t.run == nil || t.serial != serial {
				return
			}
			d.event(s, n, ref, ev)
			s.taskStep(n, ref, chord.Tick{}) // its deadline may have changed, or it is over
		}
		if c.Store != nil {
			st := chord.NewStoring(s.vantage(n), c.Position, *c.Store)
			s.begin(n, &onRing{errand: st, over: func() bool { _, done, _ := st.Result(); return done }, then: func(s *shard, n *node) {
				said, _, err := st.Result()
				holders, err := ringdir.Stored(said, err)
				back(s, n, directory.Written{Call: c.ID, Holders: holders, Took: time.Duration(s.now - began), Err: err})
			}})
			continue
		}
		f := chord.NewFetching(s.vantage(n), c.Position, c.Resource, c.Part)
		s.begin(n, &onRing{errand: f, over: func() bool { _, done, _ := f.Result(); return done }, then: func(s *shard, n *node) {
			a, _, err := f.Result()
			ans := ringdir.Fetched(a)
			r := directory.Read{Call: c.ID, Holder: ans.Holder, Responsible: ans.Responsible, Took: time.Duration(s.now - began), Err: err}
			if err == nil {
				r.Found = d.errand.Examine(c, ans.Records)
			}
			back(s, n, r)
		}})
	}
}

func (d *inDirectory) deadline() time.Time { return d.errand.Deadline() }

func (d *inDirectory) died(s *shard) {
	if d.gone != nil {
		d.gone(s)
	}
}
