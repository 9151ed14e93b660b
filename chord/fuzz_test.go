package chord

import (
	"errors"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// reader turns fuzz input into choices; it gives zeros when it is used up.
type reader struct{ b []byte }

func (r *reader) next() byte {
	if len(r.b) == 0 {
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// peer is one of many, some of them real members' and the node's own.
func (r *reader) peer() wire.Peer {
	id := ID{r.next(), 1}
	if id[0]&7 == 0 {
		id[15] = r.next()
	}
	p := vpeer(id, id[0])
	if id[0]&31 == 1 {
		p.Addrs = nil
	}
	return p
}

func (r *reader) peers() []wire.Peer {
	out := make([]wire.Peer, r.next()%12)
	for i := range out {
		out[i] = r.peer()
	}
	return out
}

func (r *reader) maybe() *wire.Peer {
	if r.next()&1 == 0 {
		return nil
	}
	p := r.peer()
	return &p
}

func (r *reader) request(from wire.Peer) wire.Message {
	self := from
	if r.next() == 0 {
		self = r.peer()
	}
	switch r.next() % 6 {
	case 0:
		return &wire.GetState{}
	case 1:
		return &wire.Find{Target: r.peer().ID}
	case 2:
		return &wire.Join{Self: self}
	case 3:
		return &wire.Notify{Self: self}
	case 4:
		return &wire.Leave{Self: self, Pred: r.maybe(), Succ: r.peers()}
	}
	return &wire.Ping{}
}

func (r *reader) answer(to wire.Peer) (wire.Message, error) {
	switch r.next() % 8 {
	case 0:
		return nil, errors.New("no answer")
	case 1:
		return &wire.Error{Code: wire.CodeUnavailable}, nil
	case 2:
		return &wire.Found{Done: r.next()&1 == 0, Peers: r.peers()}, nil
	case 3:
		return &wire.Joined{Accepted: r.next()&1 == 0, Pred: r.maybe(), Succ: r.peers(), Closer: r.peers()}, nil
	case 4:
		return &wire.Ack{}, nil
	}
	return &wire.State{Self: to, Pred: r.maybe(), Succ: r.peers()}, nil
}

// FuzzMachine: every other node is an attacker. They send any request in any
// order, answer any call with anything or not at all, and choose when; IDs are
// verified, so none can speak for another. Whatever they do: no panic, one
// reply to each request, a list in order without the node itself, everything
// bounded, no busy loop, and only messages that can travel.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte{1, 9, 1, 2, 3, 40, 1, 3, 3, 80, 1, 4, 3, 120, 1, 0, 2, 5, 9, 9, 9, 9, 9, 9, 9, 9})
	for seed := range byte(8) {
		long := make([]byte, 600)
		for i := range long {
			long[i] = byte(i*i)*seed + byte(i>>2)*7 + seed
		}
		f.Add(long)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		r := &reader{input}
		m, err := NewMachine(MachineConfig{Self: vpeer(ID{100, 1}, 1), Successors: 2 + int(r.next())%7, Members: 32, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		a := &attack{t: t, r: r, m: m, now: time.Unix(1_000_000, 0), calls: map[uint64]wire.Peer{}}
		if r.next()&1 == 0 {
			a.do(Create{Known: r.peers()})
		} else {
			a.do(Join{Seeds: r.peers()})
		}
		for len(r.b) > 0 {
			a.act()
		}
		for range 64 { // ticks at one moment end what is due at that moment
			if at := m.Deadline(); at.IsZero() || at.After(a.now) {
				return
			}
			a.do(Tick{})
		}
		t.Fatalf("still due: %v before %v", m.Deadline(), a.now)
	})
}

// attack is one machine and everybody else.
type attack struct {
	t     *testing.T
	r     *reader
	m     *Machine
	now   time.Time
	calls map[uint64]wire.Peer // under way
	order []uint64
	token uint64
}

// act lets the attackers do one thing of their choice.
func (a *attack) act() {
	switch a.r.next() % 6 {
	case 0:
		a.now = a.now.Add(time.Duration(a.r.next()) * 20 * time.Millisecond)
		a.do(Tick{})
	case 1, 2:
		a.token++
		from := a.r.peer()
		a.do(Request{Token: a.token, From: from, Msg: a.r.request(from)})
	case 3, 4:
		if len(a.order) == 0 {
			return
		}
		k := int(a.r.next()) % len(a.order)
		id := a.order[k]
		a.order = append(a.order[:k], a.order[k+1:]...)
		msg, err := a.r.answer(a.calls[id])
		a.do(Result{Call: id, Msg: msg, Err: err, RTT: time.Duration(a.r.next()) * time.Millisecond})
	case 5:
		if p := a.r.peer(); p.ID[0]&1 == 0 {
			a.do(Suspect{ID: p.ID})
		} else {
			a.do(Heard{ID: p.ID, RTT: time.Duration(a.r.next()) * time.Millisecond})
		}
	}
}

func (a *attack) do(ev Event) {
	replies := 0
	for _, e := range a.m.Step(a.now, ev) {
		if e.Msg != nil {
			if _, err := wire.Encode(e.Msg); err != nil {
				a.t.Fatalf("%T: %v", ev, err)
			}
		}
		switch e.Kind {
		case Send:
			a.calls[e.ID] = e.To
			a.order = append(a.order, e.ID)
		case Reply:
			replies++
		}
	}
	if _, ok := ev.(Request); ok != (replies == 1) {
		a.t.Fatalf("%T: %d replies", ev, replies)
	}
	checkBounds(a.t, a.m)
}

func checkBounds(t *testing.T, m *Machine) {
	t.Helper()
	ring := m.Ring()
	if err := ring.CheckLocal(); err != nil {
		t.Fatal(err)
	}
	pins := zave.MaxSuccessors + 1 + len(m.explore.fingers)
	for what, b := range map[string][2]int{
		"members":   {m.table.len(), m.table.max + pins},
		"usable":    {m.table.order.len(), m.table.len()},
		"aside":     {len(m.table.aside), m.table.len()},
		"rumours":   {len(m.table.rumours), maxRumours},
		"vouched":   {len(m.table.vouched), m.table.maxVouched()},
		"dead":      {len(m.dead.byID), maxGraves},
		"calls":     {len(m.calls), maxCalls + 32},
		"probes":    {len(m.probing), maxProbes},
		"refuted":   {len(m.refuted.byID), maxRefuted},
		"fingers":   {len(m.explore.fingers), idBits},
		"seeds":     {len(m.join.seeds), joinQueue},
		"queue":     {len(m.join.queue), joinQueue},
		"asked":     {len(m.join.asked), joinAsks},
		"joining":   {len(m.join.others), joinQueue},
		"view":      {m.View().Members(), m.table.len()},
		"list":      {ring.Succ.Len(), int(ring.R)},
		"successor": {len(m.View().Succ), int(ring.R)},
	} {
		if b[0] > b[1] {
			t.Fatalf("%d %s, at most %d", b[0], what, b[1])
		}
	}
}
