package simnet

import (
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// task is something that a node does for its user, beside its machine.
type task struct {
	node    int32
	nodeGen uint32
	serial  uint32 // no two tasks have the same
	run     runner // nil: the place is free
}

// runner is a task's own part. Its methods are called while the node runs.
type runner interface {
	// answer takes in what the member id said; msg is nil when it said nothing.
	answer(s *Sim, n *node, id chord.ID, msg wire.Message, rtt time.Duration)
	// timer is called at the time that was set.
	timer(s *Sim, n *node)
	// died is called instead when the node is no more.
	died(s *Sim)
}

// begin gives a task of a node a place. The caller starts it.
func (s *Sim) begin(n *node, r runner) int32 {
	ref := s.tasks.take()
	s.stats.serial++
	*s.tasks.at(ref) = task{node: n.num, nodeGen: n.gen, serial: s.stats.serial, run: r}
	return ref
}

func (s *Sim) setTaskTimer(ref int32, d time.Duration) {
	s.after(d, event{kind: evTask, ref: ref, gen: s.tasks.at(ref).serial})
}

func (s *Sim) taskTimer(e event) {
	t := *s.tasks.at(e.ref)
	if t.run == nil || t.serial != e.gen {
		return
	}
	n := s.nodes[t.node]
	if n.gen != t.nodeGen {
		s.tasks.put(e.ref)
		t.run.died(s)
		return
	}
	t.run.timer(s, n)
}

// taskAnswer hands the end of a call to the task that made it, and tells the
// machine how it went, as chord.Node does.
func (s *Sim) taskAnswer(n *node, c *call, rtt time.Duration) {
	if s.cfg.RoutingOnly {
		// The machine is not to know.
	} else if c.answer == nil {
		s.step(n, chord.Suspect{ID: c.peer})
	} else if s.rng.IntN(8) == 0 {
		s.step(n, chord.Heard{ID: c.peer, RTT: rtt})
	}
	t := s.tasks.at(c.task)
	if t.run == nil || t.serial != uint32(c.id) {
		return
	}
	if _, refused := c.answer.(*wire.Error); refused {
		c.answer = nil
	}
	t.run.answer(s, n, c.peer, c.answer, rtt)
}
