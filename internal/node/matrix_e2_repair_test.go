package node_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
)

// writer is a device as it, or a backup of it, knows itself.
type writer struct {
	*person
	part, last uint64 // the number that it used last, as far as it knows
	feature    string // tells its records from those of its other self
	through    *vnode

	repaired, again int
	newest          record.Record
}

// write publishes as an adapter does, whose clock stands still so that it has to
// count: where it does not come out above what the ring holds, again after a while.
func (d *writer) write(w *vring) error {
	for try := 0; ; try++ {
		rec, err := d.through.dir.PublishAbove(w.t.Context(), directory.Above{
			AOR: d.aor, Kind: record.KindRegistration, Part: d.part, Known: d.last > 0,
			Sign: func(floor uint64) (record.Record, error) {
				if floor > 0 { // what it had signed was contradicted by what the ring holds
					d.repaired++
				}
				d.last = max(d.last, floor) + 1
				return d.signed(d.part, d.last, d.feature), nil
			},
		})
		if err == nil {
			d.newest = *rec
			return nil
		}
		if d.again++; try == 10 {
			return err
		}
		<-time.After(time.Duration(5000+w.draw(10_000)) * time.Millisecond)
	}
}

// agreed returns what is wrong where all who hold a part should hold one record,
// and those who should hold it do.
func (w *vring) agreed(p *person, part uint64, want record.Record) error {
	nodes := w.live()
	res := record.Resource(p.aor, record.KindRegistration)
	for _, v := range nodes {
		for _, r := range v.store.Get(res, &part) {
			if r.Digest() != want.Digest() {
				b := must(r.Body())(w.t)
				return fmt.Errorf("%s holds another one of part %d, number %d", v.self.ID.Short(), part, b.Seq)
			}
		}
	}
	for _, pos := range record.PositionsOf(must(want.Body())(w.t), w.trust.Charter()) {
		for _, v := range holders(nodes, pos) {
			if len(v.store.Get(res, &part)) == 0 {
				return fmt.Errorf("%s lacks part %d", v.self.ID.Short(), part)
			}
		}
	}
	return nil
}

// found returns what is wrong with what every member finds under a name that has
// two devices.
func (w *vring) found(p *person, want map[uint64]uint64) error {
	for _, v := range w.live() {
		res, err := v.dir.Resolve(w.t.Context(), p.aor, directory.Options{Fresh: true, NoPin: true})
		if err != nil {
			return fmt.Errorf("%s: %w", v.self.ID.Short(), err)
		}
		got := map[uint64]uint64{}
		for _, d := range res.Devices {
			got[d.Part] = d.Seq
		}
		if res.Key != p.key.Public() || len(got) != len(want) || got[1] != want[1] || got[2] != want[2] {
			return fmt.Errorf("%s finds %v, want %v", v.self.ID.Short(), got, want)
		}
	}
	return nil
}

// E2: two devices of one person write under the same numbers, and one of them was
// restored from a backup that knows an old number, while what it was before still
// writes. All of it is put right by those who write: within minutes all holders
// agree on the newest record of each device, everybody finds both, and nobody is
// evicted for it.
func TestMatrixE2ConflictsAreRepaired(t *testing.T) {
	h := newWatch()
	h.every = time.Minute
	inVirtualTimeWith(t, 93, 12, func(w *vring) { w.watch = h }, func(t *testing.T, w *vring) {
		live, p := w.live(), w.everybody()[1]
		desk := &writer{person: p, part: 1, last: 1, feature: "protected", through: live[1]}
		mobile := &writer{person: p.secondDevice(live[0].self), part: 2, feature: "text", through: live[0]}
		repaired, again, rounds := 0, 0, 6
		var slowest time.Duration
		for round := range rounds {
			for range 3 { // in step: the same number for both
				mobile.last = max(mobile.last, desk.last)
				desk.last = mobile.last
				for _, d := range []*writer{desk, mobile} {
					if err := d.write(w); err != nil {
						t.Fatal(err)
					}
				}
			}
			// A backup of the desk's, as old as the desk's last write or older, at
			// the same time as the desk itself.
			old := &writer{person: p, part: 1, last: desk.last - uint64(round%2)*2, feature: "carried", through: live[5+round]}
			before := *desk
			began := time.Now()
			var both sync.WaitGroup
			var errs [2]error
			for i, d := range []*writer{&before, old} {
				both.Go(func() { errs[i] = d.write(w) })
			}
			both.Wait()
			if err := errors.Join(errs[:]...); err != nil {
				t.Fatal(err)
			}
			repaired += before.repaired + old.repaired
			again += before.again + old.again
			desk = old
			if before.last > old.last {
				desk = &before
			}
			desk.feature, desk.repaired, desk.again = "protected", 0, 0
			w.await("all holders agree", 5*time.Minute, func() error {
				return errors.Join(w.agreed(p, 1, desk.newest), w.agreed(p, 2, mobile.newest))
			})
			slowest = max(slowest, time.Since(began))
			w.await("everybody finds both", time.Minute, func() error {
				return w.found(p, map[uint64]uint64{1: desk.last, 2: mobile.last})
			})
		}
		synctest.Wait()
		t.Logf("matrix: E2 conflicts of a person's two devices and restored backups: %d put right in %d rounds, %d of them later, all holders agreed after %v at most; honest nodes evicted: %d",
			repaired, rounds, again, slowest, h.refused.of("evidence/proven"))
		if repaired < rounds || h.refused.of("evidence/proven")+h.refused.of("evidence/self_accused") > 0 {
			t.Errorf("%d put right in %d rounds; %v", repaired, rounds, h.refused.all())
		}
	})
}
