package record_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// live is what is on the heap, in bytes.
func live() int64 {
	runtime.GC()
	runtime.GC() // what pools still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// storm brings so many stores to a holder, all of them valid: of so many owners,
// each with more than its quota, in random order and again and again. limit is
// the charter's for the whole store, in bytes.
func storm(t *testing.T, owners, parts, stores int, limit uint64) {
	t.Helper()
	w := newWorld(t, 1, func(c *identity.Charter) { c.StoreBytes = limit })
	h, c := &hands{now: testNow}, &counter{}
	var records []record.Record
	for n := range owners {
		p := w.person(t, fmt.Sprintf("m%d", n), byte(n+1))
		for part := range parts {
			records = append(records, p.registration(t, uint64(part), uint64(1+part%3)))
		}
	}
	s := w.store(t, h, c)
	before := live()
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 1))
	held, most := 0, uint64(0)
	for i := range stores {
		if o, _, _ := s.Put(records[rng.IntN(len(records))]); o.Held() {
			held++
		}
		if i%100 == 0 {
			most = max(most, s.Stats().Bytes)
		}
	}
	grown := live() - before
	t.Logf("matrix: D7 memory under a flood of %d stores of %d owners (seed %d): %d of %d bytes of records, heap %+d KiB; %d held for a while, refused %v",
		stores, owners, seed, most, limit, grown>>10, held, c.n)
	if most > limit || grown > int64(limit)*4+8<<20 {
		t.Errorf("%d bytes of records, limit %d; heap %+d KiB", most, limit, grown>>10)
	}
	if c.n["owner_quota"] == 0 || c.n["evicted"] == 0 || held == stores {
		t.Errorf("that was no flood: %v", c.n)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(records)
}

// D7: valid stores without end fill what a holder gives to others, and no more.
func TestMatrixD7FloodOfStores(t *testing.T) { storm(t, 14, 40, 10_000, 400<<10) }
