package chord

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func randomID(rng *rand.Rand) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:], rng.Uint64())
	return id
}

// inOrder returns the IDs of a list.
func inOrder(t *testing.T, m *members) (out []ID) {
	for _, s := range m.slots {
		if s.first != s.chunk.c[0].id() {
			t.Fatal("a chunk with another first ID")
		}
		for i := range s.chunk.n {
			out = append(out, s.chunk.c[i].id())
		}
	}
	return out
}

// TestMembersAgainstModel: the list behaves like a sorted slice, and a snapshot
// keeps what it showed whatever happens to the list.
func TestMembersAgainstModel(t *testing.T) {
	const seed = 21
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 21))
	var m members
	var model []ID
	type shot struct {
		list members
		ids  []ID
	}
	var shots []shot
	for step := range 8000 {
		i := rng.IntN(len(model) + 1)
		grow := step < 2500 || step > 3500
		switch {
		case rng.IntN(100) == 0:
			shots = append(shots, shot{m.snapshot(), slices.Clone(model)})
		case i < len(model) && rng.IntN(6) == 0 == grow:
			if !m.remove(model[i]) {
				t.Fatalf("%s is not there", model[i].Short())
			}
			model = slices.Delete(model, i, i+1)
		case i < len(model) && rng.IntN(4) == 0:
			m.edit(model[i]).heard++
		default:
			id := randomID(rng)
			m.insert(contact{who: &Member{Peer: vpeer(id, 1)}})
			k, _ := slices.BinarySearchFunc(model, id, ID.Compare)
			model = slices.Insert(model, k, id)
		}
		if step%50 == 0 && !slices.Equal(inOrder(t, &m), model) {
			t.Fatalf("step %d: the list is not the model", step)
		}
		if len(model) == 0 {
			continue
		}
		pos := randomID(rng)
		k, _ := slices.BinarySearchFunc(model, pos, ID.Compare)
		p := m.search(pos)
		if m.index(p) != k || m.find(pos) != nil || m.len() != len(model) {
			t.Fatalf("step %d: place %d, not %d", step, m.index(p), k)
		}
		if next := m.get(m.wrap(p)); next.id() != model[k%len(model)] || m.get(m.prev(p)).id() != model[(k+len(model)-1)%len(model)] {
			t.Fatalf("step %d: wrong neighbours", step)
		}
		if m.at(i%len(model)).id() != model[i%len(model)] {
			t.Fatalf("step %d: wrong at %d", step, i)
		}
	}
	for _, s := range shots {
		if !slices.Equal(inOrder(t, &s.list), s.ids) {
			t.Fatal("a snapshot has changed")
		}
	}
	t.Logf("%d snapshots; %d members in %d chunks at the end", len(shots), m.len(), len(m.slots))
	if len(shots) == 0 || len(m.slots) < 6 {
		t.Error("too little happened")
	}
}

// TestContactSize: a table of 8,192 members takes little memory beside the
// members themselves, which are shared.
func TestContactSize(t *testing.T) {
	if size := unsafe.Sizeof(contact{}); size > 24 {
		t.Errorf("a contact takes %d bytes", size)
	}
	rng := rand.New(rand.NewPCG(22, 22))
	var m members
	for range MaxMembers {
		m.insert(contact{who: &Member{Peer: vpeer(randomID(rng), 1)}})
	}
	per := float64(len(m.slots)) * float64(unsafe.Sizeof(chunk{})+unsafe.Sizeof(slot{})) / MaxMembers
	t.Logf("%d members in %d chunks: %.1f bytes each", MaxMembers, len(m.slots), per)
	if per > 32 {
		t.Errorf("%.1f bytes a member", per)
	}
}

// BenchmarkTableInsert puts a member into a full table and takes it out again;
// it allocates nothing.
func BenchmarkTableInsert(b *testing.B) {
	rng := rand.New(rand.NewPCG(23, 23))
	t := newTable(MaxMembers+1, rng, func(ID) bool { return false })
	for range MaxMembers {
		t.learn(&Member{Peer: vpeer(randomID(rng), 1)})
	}
	who := make([]*Member, 64)
	for i := range who {
		who[i] = &Member{Peer: vpeer(randomID(rng), 1)}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w := who[i&63]
		t.learn(w)
		t.remove(w.ID)
		i++
	}
}

// BenchmarkView takes a snapshot after each change of a full table: the chunk
// that changes is copied.
func BenchmarkView(b *testing.B) {
	_, m := benchMachine(b, 8000)
	rng := rand.New(rand.NewPCG(24, 24))
	who := &Member{Peer: vpeer(randomID(rng), 1)}
	b.ReportAllocs()
	for b.Loop() {
		m.table.learn(who)
		m.table.remove(who.ID)
		if m.View().Members() < 8000 {
			b.Fatal("too few")
		}
	}
}
