package node_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// storer is a member with what it stores next.
type storer struct {
	*person
	seq  uint64
	next wire.Store
}

func (o *overlay) storer(name string) *storer {
	o.t.Helper()
	at := wire.Peer{ID: identity.HashID("node of " + name), Owner: identity.NewOwnerTag(), Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:5870")}}
	s := &storer{person: o.enrol(name, at)}
	s.advance()
	return s
}

// advance signs the next registration, which every holder lacks.
func (s *storer) advance() {
	s.seq++
	s.next = wire.Store{Position: record.Position(record.Resource(s.aor, record.KindRegistration), 0, 4), Record: s.registration(s.seq)}
}

// storm is many members that store at one holder as fast as it answers.
type storm struct {
	holder                *peer
	attackers             []*storer
	junk                  []wire.Store // of names that do not exist, by nobody
	sent, taken, dawdling atomic.Int64
}

func newStorm(o *overlay, holder *peer, attackers int) *storm {
	f := &storm{holder: holder}
	for i := range attackers {
		f.attackers = append(f.attackers, o.storer(fmt.Sprintf("mallory%d", i)))
	}
	key := must(identity.GenerateKey())(o.t)
	for i := range 1000 {
		aor := must(identity.NewAOR(fmt.Sprintf("nobody%d", i), "lan.example"))(o.t)
		r := must(record.Sign(record.Body{AOR: aor.String(), Kind: record.KindRegistration, Part: 1, Seq: 1, Time: time.Now().UnixMilli(), Lifetime: 900, Data: []byte{1}}, key, record.Chain{}))(o.t)
		f.junk = append(f.junk, wire.Store{Position: record.Position(record.Resource(aor, record.KindRegistration), 0, 4), Record: r})
	}
	return f
}

// rage sends stores until so many have been sent and stop is set; sooner only
// where so many are taken that the test has failed. What was taken is followed by
// a record that is new again.
func (f *storm) rage(t *testing.T, rng *rand.Rand, stores int64, stop *atomic.Bool) {
	for i := int64(0); (i < stores || !stop.Load()) && f.taken.Load() < int64(len(f.attackers)*200); i++ {
		s := f.attackers[rng.IntN(len(f.attackers))]
		req := &s.next
		if i%8 == 0 {
			req = &f.junk[rng.IntN(len(f.junk))]
		}
		f.sent.Add(1)
		switch m := f.holder.Keep(t.Context(), s.at, req).(type) {
		case *wire.Stored:
			if record.Outcome(m.Outcome) == record.OutcomeStored {
				f.taken.Add(1)
				s.advance()
			}
		case *wire.Error:
			if m.Code == wire.CodeTooMany && m.Retry > 0 {
				f.dawdling.Add(1)
			}
		}
	}
}

// honest has people refresh their registrations and fetch each other's, and
// returns how long each took.
func (f *storm) honest(t *testing.T, people []*storer, each int) (took []time.Duration) {
	for range each {
		for i, s := range people {
			s.advance()
			began := time.Now()
			answer := f.holder.Keep(t.Context(), s.at, &s.next)
			for e, ok := answer.(*wire.Error); ok && e.Code == wire.CodeTooMany; e, ok = answer.(*wire.Error) {
				<-time.After(time.Duration(e.Retry) * time.Millisecond) // in a long test it has refreshed often
				began = time.Now()
				answer = f.holder.Keep(t.Context(), s.at, &s.next)
			}
			if m, ok := answer.(*wire.Stored); !ok || record.Outcome(m.Outcome) != record.OutcomeStored {
				t.Fatalf("an honest refresh: %+v", answer)
			}
			took = append(took, time.Since(began))
			res := record.Resource(people[(i+1)%len(people)].aor, record.KindRegistration)
			began = time.Now()
			if _, ok := f.holder.Ring().Serve(t.Context(), s.at, &wire.Fetch{Position: res, Resource: res}).(*wire.Fetched); !ok {
				t.Fatal("an honest fetch fails")
			}
			took = append(took, time.Since(began))
		}
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	took = slices.Sorted(slices.Values(took))
	return took[len(took)*99/100]
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// stormed floods the handler of a real node, with its store on disk, and times
// honest members beside it and without it, turn by turn. What those need may be
// twice as long beside it, and slack more where the disk has much else to do.
func stormed(t *testing.T, attackers, people, turns int, stores int64, slack time.Duration) {
	o := newOverlay(t)
	db := must(bbolt.Open(filepath.Join(t.TempDir(), "store"), 0o600, nil))(t)
	t.Cleanup(func() { db.Close() })
	holder := o.start("holder", func(c *node.Config) { c.DB = db })
	f := newStorm(o, holder, attackers)
	var good []*storer
	for i := range people {
		good = append(good, o.storer(fmt.Sprintf("honest%d", i)))
	}
	const seed = 17
	before, began := heap(), time.Now()
	var calm, stormy []time.Duration
	for turn := 0; turn < turns || turn < 3*turns && p99(stormy) > 2*p99(calm); turn++ { // a disk is slow now and then, by itself
		calm = append(calm, f.honest(t, good, 1)...)
		var stop atomic.Bool
		var work sync.WaitGroup
		work.Go(func() { f.rage(t, rand.New(rand.NewPCG(seed, uint64(turn))), stores/int64(turns), &stop) })
		stormy = append(stormy, f.honest(t, good, 1)...)
		stop.Store(true)
		work.Wait() // all of them; the quiet turn is quiet
	}
	grown, length := heap()-before, time.Since(began)
	most := int64(attackers) * int64(limits.StoreBurst+limits.StoreRate*(1+int(length.Seconds())))
	stats := holder.Store().Stats()
	t.Logf("matrix: D7 %d stores of %d members at full speed (seed %d): %d records taken in %.1f s, %d told to wait; heap %+d KiB; honest p99 %v, %v without them",
		f.sent.Load(), attackers, seed, f.taken.Load(), length.Seconds(), f.dawdling.Load(), grown>>10, p99(stormy), p99(calm))
	if f.taken.Load() > most || f.taken.Load() < int64(attackers) || f.dawdling.Load() < f.sent.Load()/2 {
		t.Errorf("%d of %d taken, at most %d; %d told to wait", f.taken.Load(), f.sent.Load(), most, f.dawdling.Load())
	}
	if grown > 16<<20 || stats.Bytes > limits.StoreBytes {
		t.Errorf("heap %+d KiB, store %d bytes", grown>>10, stats.Bytes)
	}
	if holder.refused.of("chord/stores_often") == 0 {
		t.Error("nobody was told to wait")
	}
	if p99(stormy) > 2*p99(calm)+slack {
		t.Errorf("honest p99 %v under the flood, %v without it", p99(stormy), p99(calm))
	}
}

// D7: members that store what is theirs as fast as the holder answers, and junk
// between it, are told to wait, and honest members hardly notice: how little, the
// long test says, which has the time to measure it.
func TestMatrixD7StoresAtFullSpeed(t *testing.T) { stormed(t, 8, 8, 8, 16_000, 200*time.Millisecond) }
