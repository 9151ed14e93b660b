package chord

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// lab runs machines on a virtual network and clock without any goroutine, so
// that a seed gives the same run every time.
type lab struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Time
	nodes map[ID]*Machine
	due   map[*Machine]time.Time // of the timer that is set
	queue events
	serial,
	token uint64
	replies map[uint64]wire.Message
	trace   uint64
	steps   int
	stopped bool                                               // nobody dies any more
	apart   map[ID]bool                                        // what these send is not counted
	cut     func(a, b ID) bool                                 // these do not reach each other; nil = all do
	answers func(by ID, req, answer wire.Message) wire.Message // what a liar says instead; nil = nobody lies
	wait    time.Duration                                      // more latency one way

	ledger  *ledger // nil = nobody has a descriptor
	change  func(*MachineConfig)
	bytes   map[wire.Type]float64
	count   map[wire.Type]int
	refused map[string]int
}

// delivery is an event on its way to a node.
type delivery struct {
	at     time.Time
	serial uint64
	run    func()
}

type events []delivery

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].serial < q[j].serial
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(delivery)) }
func (q *events) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

func newLab(t *testing.T, seed uint64) *lab {
	t.Logf("seed %d", seed)
	return &lab{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1_000_000, 0),
		nodes: map[ID]*Machine{}, due: map[*Machine]time.Time{}, replies: map[uint64]wire.Message{},
	}
}

func (l *lab) id() ID {
	var id ID
	binary.BigEndian.PutUint64(id[:], l.rng.Uint64())
	return id
}

func (l *lab) after(d time.Duration, run func()) {
	l.serial++
	heap.Push(&l.queue, delivery{l.now.Add(d), l.serial, run})
}

func (l *lab) latency() time.Duration {
	return l.wait + time.Millisecond + time.Duration(l.rng.Int64N(int64(4*time.Millisecond)))
}

func (l *lab) add(id ID) *Machine {
	cfg := MachineConfig{Self: vpeer(id, id[0]), Seed: binary.BigEndian.Uint64(id[:])}
	if l.ledger != nil {
		cfg.Self.Owner = identity.OwnerTag(id[:8])
		l.ledger.owners[id] = cfg.Self.Owner
		n := &notary{self: id, overlay: "lan.example", shared: l.ledger}
		cfg.Verifier, cfg.Signer = n, n
		cfg.Refused = func(reason string) { l.refused[reason]++ }
	}
	if l.change != nil {
		l.change(&cfg)
	}
	m, err := NewMachine(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.nodes[id] = m
	return m
}

// timer ticks a machine when it wants to.
func (l *lab) timer(id ID, m *Machine) {
	at := m.Deadline()
	if at.IsZero() || !l.due[m].IsZero() && !at.Before(l.due[m]) {
		return
	}
	l.due[m] = at
	l.after(max(at.Sub(l.now), time.Millisecond), func() {
		if l.nodes[id] == m && l.due[m].Equal(at) {
			delete(l.due, m)
			l.step(id, m, Tick{})
		}
	})
}

func (l *lab) step(id ID, m *Machine, ev Event) {
	before := m.Ring()
	effects := m.Step(l.now, ev)
	l.steps++
	l.timer(id, m)
	if ring := m.Ring(); ring != before {
		if err := ring.CheckLocal(); err != nil {
			l.t.Fatalf("%T: %v", ev, err)
		}
		h := fnv.New64a()
		_, _ = fmt.Fprint(h, l.trace, l.now.UnixNano(), ring)
		l.trace = h.Sum64()
	}
	for _, e := range effects {
		switch e.Kind {
		case Send:
			l.send(id, m, e)
		case Reply:
			l.replies[e.ID] = e.Msg
		case Barred: // a well-behaved node waits
			l.after(e.Timeout, func() {
				if l.nodes[id] == m {
					l.step(id, m, Join{Seeds: []wire.Peer{vpeer(l.someone().Ring().Self, 1)}})
				}
			})
		case JoinFailed: // its seed has gone meanwhile
			l.after(100*time.Millisecond, func() {
				if l.nodes[id] == m {
					l.step(id, m, Join{Seeds: []wire.Peer{vpeer(l.someone().Ring().Self, 1)}})
				}
			})
		}
	}
}

// send carries a call to its target and the answer back. A target that is not
// there never answers.
func (l *lab) send(from ID, m *Machine, e Effect) {
	start, done := l.now, false
	l.sent(from, e.Msg)
	finish := func(r Result) {
		if !done && l.nodes[from] == m {
			done = true
			r.Call, r.RTT = e.ID, l.now.Sub(start)
			l.step(from, m, r)
		}
	}
	l.after(l.latency(), func() {
		target := l.nodes[e.To.ID]
		if target == nil || l.cut != nil && l.cut(from, e.To.ID) {
			return
		}
		l.token++
		token := l.token
		l.step(e.To.ID, target, Request{Token: token, From: m.cfg.Self, Msg: e.Msg})
		answer := l.replies[token]
		delete(l.replies, token)
		if l.answers != nil {
			answer = l.answers(e.To.ID, e.Msg, answer)
		}
		l.sent(e.To.ID, answer)
		l.after(l.latency(), func() { finish(Result{Msg: answer}) })
	})
	l.after(e.Timeout, func() { finish(Result{Err: errLost}) })
}

// sent counts a message and what it costs on the wire.
func (l *lab) sent(by ID, m wire.Message) {
	if l.bytes == nil || l.apart[by] {
		return
	}
	b, err := wire.Encode(m)
	if err != nil {
		l.t.Fatalf("%s does not travel: %v", m.Type(), err)
	}
	l.bytes[m.Type()] += cost(len(b))
	l.count[m.Type()]++
}

// run lets virtual time pass.
func (l *lab) run(d time.Duration) {
	end := l.now.Add(d)
	for len(l.queue) > 0 && !l.queue[0].at.After(end) {
		next := heap.Pop(&l.queue).(delivery)
		l.now = next.at
		next.run()
	}
	l.now = end
}

// ring returns the states of the members.
func (l *lab) ring() zave.Ring {
	var states []zave.State
	for _, m := range l.nodes {
		if m.Phase() == PhaseJoined {
			states = append(states, m.Ring())
		}
	}
	return zave.NewRing(states...)
}

func (l *lab) someone() *Machine {
	ring := l.ring()
	return l.nodes[ring[l.rng.IntN(len(ring))].Self]
}

// churn runs a ring in which nodes come and go, each staying for about 40 s.
func churn(t *testing.T, seed uint64, n int, changes int) *lab {
	l := newLab(t, seed)
	first := l.id()
	l.step(first, l.add(first), Create{})
	for range n - 1 {
		l.join()
		l.run(time.Duration(l.rng.Int64N(int64(100 * time.Millisecond))))
	}
	for range changes {
		if l.rng.IntN(2) == 0 || len(l.ring()) < n/2 {
			l.join()
		} else {
			m := l.someone()
			if l.rng.IntN(2) == 0 {
				l.step(m.Ring().Self, m, Leave{})
			}
			delete(l.nodes, m.Ring().Self)
		}
		l.run(time.Duration(l.rng.Int64N(int64(40 * time.Second / time.Duration(n)))))
	}
	return l
}

func (l *lab) join() ID {
	id, seed := l.id(), l.someone()
	l.step(id, l.add(id), Join{Seeds: []wire.Peer{vpeer(seed.Ring().Self, 1)}})
	return id
}

// TestMachineChurn: machines under steady churn keep lists that are in order
// all the time, and are an ideal ring soon after it ends.
func TestMachineChurn(t *testing.T) {
	for seed := range uint64(2) {
		n := 12 + 38*int(seed)
		l := churn(t, seed, n, 24)
		waited := 0
		for ; l.ring().Ideal() != nil || len(l.ring()) != len(l.nodes); waited++ {
			if waited == 300 {
				t.Fatalf("after 30 s: %v", l.ring().Ideal())
			}
			l.run(100 * time.Millisecond)
		}
		t.Logf("about %d members, 24 changes in %d steps: ideal %.1f s after the last", n, l.steps, float64(waited)/10)
	}
}

// TestMachineIsDeterministic: the same seed gives the same run, to the last
// change of any ring state.
func TestMachineIsDeterministic(t *testing.T) {
	a, b := churn(t, 5, 12, 8), churn(t, 5, 12, 8)
	if a.trace != b.trace || a.steps != b.steps {
		t.Errorf("%d steps %x, and again %d steps %x", a.steps, a.trace, b.steps, b.trace)
	}
}
