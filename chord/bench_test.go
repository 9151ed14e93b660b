package chord

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// benchMachine returns a member that knows n others.
func benchMachine(b *testing.B, n int) (*lab, *Machine) {
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
