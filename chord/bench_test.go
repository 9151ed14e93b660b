package chord

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// benchMachine returns a member that knows n others.
func benchMachine(b testing.TB, n int) (*lab, *Machine) {
	b.Helper()
	m, err := NewMachine(MachineConfig{Self: vpeer(ID{1}, 1), Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Unix(1_000_000, 0)
	m.Step(now, Create{})
	l := &lab{now: now}
	for i := range n {
		id := ID{byte(i >> 8), byte(i), 1}
		m.table.firsthand(vpeer(id, byte(i)), now)
		if i < 8 {
			m.Step(now, Request{Token: uint64(i), From: vpeer(id, byte(i)), Msg: &wire.Notify{Self: vpeer(id, byte(i))}})
		}
	}
	return l, m
}

func BenchmarkNextHop(b *testing.B) {
	_, m := benchMachine(b, 8000)
	v := m.View()
	target := ID{77, 7}
	var buf [searchParallel]*contact
	b.ReportAllocs()
	for b.Loop() {
		if len(v.members.before(v.Self.ID, target, searchParallel, buf[:0])) == 0 {
			b.Fatal("nobody")
		}
		target[1]++
	}
}

// The answer to a request is a message of its own, with a slice of peers: that is
// what the steps below allocate.
func BenchmarkStepFind(b *testing.B) {
	l, m := benchMachine(b, 8000)
	req := Request{From: vpeer(ID{9, 9}, 9), Msg: &wire.Find{Target: ID{77, 7}}}
	b.ReportAllocs()
	for b.Loop() {
		m.Step(l.now, req)
	}
}

func BenchmarkStepGetState(b *testing.B) {
	l, m := benchMachine(b, 64)
	req := Request{From: vpeer(ID{0, 3, 1}, 3), Msg: &wire.GetState{}}
	b.ReportAllocs()
	for b.Loop() {
		m.Step(l.now, req)
	}
}

// BenchmarkTable is a full table of 8,000: a member that is there shows a sign
// of life, and one takes another's place, as it joins in one's stead. A member
// that is new is copied, address and all, and a chunk of the order once in a
// while splits: that is what it allocates.
func BenchmarkTable(b *testing.B) {
	const n = 8000
	b.Run("again", func(b *testing.B) {
		l, m := benchMachine(b, n)
		p := vpeer(ID{9, 9, 1}, 9)
		b.ReportAllocs()
		for b.Loop() {
			m.table.firsthand(p, l.now)
		}
	})
	b.Run("insert", func(b *testing.B) {
		l, m := benchMachine(b, n)
		p, old := vpeer(ID{9, 9, 2}, 9), ID{}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m.table.remove(old)
			old = p.ID
			p.ID = ID{byte(i * 7), byte(i * 13), byte(i), byte(i >> 8), 2}
			m.table.firsthand(p, l.now)
		}
	})
}

// The next hop is chosen, and a known member's sign of life noted, with every
// message.
func TestHotPathsDoNotAllocate(t *testing.T) {
	l, m := benchMachine(t, 2000)
	v := m.View()
	var buf [searchParallel]*contact
	target := ID{1, 7}
	p := vpeer(ID{3, 9, 1}, 9)
	m.table.firsthand(p, l.now) // View's chunks are shared: the first change copies one
	for name, f := range map[string]func(){
		"next hop": func() { v.members.before(v.Self.ID, target, searchParallel, buf[:0]) },
		"owner":    func() { v.Owner(target) },
		"find":     func() { v.members.find(p.ID) },
		"again":    func() { m.table.firsthand(p, l.now) },
	} {
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
