package record_test

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
)

// A record seen for the first time, from people whose certificates are known:
// one signature for a share, one for a registration (its delegation is known).
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b, 1, nil)
	alice := w.person(b, "alice", 20)
	const n = 4096 // more than the caches hold
	for _, kind := range []struct {
		name string
		make func(seq uint64) record.Record
	}{
		{"share", func(seq uint64) record.Record { return alice.shareRecord(b, 1, seq) }},
		{"registration", func(seq uint64) record.Record { return alice.registration(b, 1, seq) }},
	} {
		records := make([]record.Record, n)
		for i := range records {
			records[i] = kind.make(uint64(i + 1))
		}
		verify := func(b *testing.B, r record.Record) {
			if _, err := record.Verify(r, w.trust, testNow); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(kind.name+"/first", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				verify(b, records[i%n])
			}
		})
		b.Run(kind.name+"/again", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				verify(b, records[0])
			}
		})
	}
}

// A record that is known costs its hash: a key of 32 bytes to look it up by.
func TestVerifyAgainAllocations(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	for name, r := range map[string]record.Record{"share": alice.shareRecord(t, 1, 1), "registration": alice.registration(t, 1, 1)} {
		if got := testing.AllocsPerRun(100, func() { _, _ = record.Verify(r, w.trust, testNow) }); got > 1 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	alice := newWorld(b, 1, nil).person(b, "alice", 20)
	b.ReportAllocs()
	for i := uint64(1); b.Loop(); i++ {
		alice.registration(b, 1, i)
	}
}

func BenchmarkStorePut(b *testing.B) {
	w, h := newWorld(b, 1, nil), &hands{now: testNow}
	s := w.store(b, h, &counter{})
	alice := w.person(b, "alice", 20)
	records := make([]record.Record, 1000)
	for i := range records {
		records[i] = alice.registration(b, 1, uint64(i+1), at(testNow.Add(time.Duration(i)*time.Millisecond)))
		put(b, s, records[i], record.OutcomeStored)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _, _ = s.Put(records[i%len(records)]) // stale or same: the flood's way
	}
}

func BenchmarkStoreBetween(b *testing.B) {
	w, h := newWorld(b, 1, nil), &hands{now: testNow}
	s := w.store(b, h, &counter{})
	for i := range 50 {
		p := w.person(b, string(rune('a'+i%26))+string(rune('a'+i/26)), byte(i+10))
		for x := range uint8(10) {
			put(b, s, p.shareRecord(b, x+1, 1), record.OutcomeStored)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Between(record.Position(record.Resource(w.person(b, "z", 9).aor, record.KindShare), 0, 10), [16]byte{}, w.charter)
	}
}
