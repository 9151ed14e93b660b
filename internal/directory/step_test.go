package directory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// stepper is a step function of the directory.
type stepper interface {
	Step(now time.Time, ev directory.Event) []directory.Call
	Deadline() time.Time
	Examine(c directory.Call, recs []record.Record) directory.Findings
	Ended() bool
}

// drill drives a step function without goroutines: choose says which call comes
// out next, or that time passes.
type drill struct {
	t      *testing.T
	w      *world
	op     stepper
	now    time.Time
	open   []directory.Call
	asked  int
	choose func(n int) int
	answer func(c directory.Call) (directory.Answer, bool) // false: silence
	store  func(c directory.Call) error
}

func (d *drill) setting(seed uint64) directory.Setting {
	return directory.Setting{
		Trust: d.w.trust, Now: func() time.Time { return d.now }, Members: d.w.ring.Size, Self: identity.OwnerTag{0xff},
		Refused: d.w.refused.add, Pace: &directory.Pace{}, Rand: rand.New(rand.NewPCG(seed, 3)),
		Timeout: 3 * time.Second, Listen: 2 * time.Second, Watch: 2,
	}
}

func (d *drill) run() {
	start := d.now
	d.step(directory.Tick{})
	for steps := 0; !d.op.Ended(); steps++ {
		if steps > 1000 || d.now.Sub(start) > 6*time.Second {
			d.t.Fatalf("not at its end after %d steps, %v", steps, d.now.Sub(start))
		}
		if i := d.choose(len(d.open) + 1); i < len(d.open) {
			d.comeOut(i)
			continue
		}
		at := d.op.Deadline()
		if at.IsZero() {
			d.t.Fatal("waits for nothing")
		}
		if at.After(d.now) {
			d.now = at
		}
		d.step(directory.Tick{})
		if !d.op.Ended() && !d.op.Deadline().After(d.now) {
			d.t.Fatalf("still due at %v", d.now)
		}
	}
	if more := d.op.Step(d.now, directory.Tick{}); len(more) > 0 {
		d.t.Fatal("asks on after its end")
	}
}

// comeOut answers an open call, or leaves it open for good.
func (d *drill) comeOut(i int) {
	c := d.open[i]
	d.open = slices.Delete(d.open, i, i+1)
	d.now = d.now.Add(time.Millisecond)
	if c.Store != nil {
		w := directory.Written{Call: c.ID, Took: time.Millisecond, Err: d.store(c)}
		if w.Err == nil {
			w.Holders = []directory.Holder{d.w.ring.responsible(c.Position)}
		}
		d.step(w)
		return
	}
	a, ok := d.answer(c)
	if !ok {
		return
	}
	r := directory.Read{Call: c.ID, Holder: a.Holder, Responsible: a.Responsible, Took: time.Millisecond}
	if a.Holder == (directory.Holder{}) {
		r.Err = errUnreachable
	} else {
		r.Found = d.op.Examine(c, a.Records)
	}
	d.step(r)
}

func (d *drill) step(ev directory.Event) {
	for _, c := range d.op.Step(d.now, ev) {
		d.asked++
		d.open = append(d.open, c)
	}
}

// honest is what the responsible node has.
func (d *drill) honest(c directory.Call) directory.Answer {
	a, err := d.w.ring.Fetch(context.Background(), c.Position, c.Resource, c.Part)
	if err != nil {
		d.t.Fatal(err)
	}
	d.w.ring.fetches = nil // nobody looks at them here
	return a
}

// TestResolvingInAnyOrder: whatever order the answers come in, and however a
// minority of the holders lies or is silent, a resolution that has nothing but a
// clock and dice gives the right key, and the same dice give the same run.
func TestResolvingInAnyOrder(t *testing.T) {
	w := newWorld(t, 40)
	bob, eve := w.enrol("bob", ""), w.enrol("eve", "")
	bob.put(bob.registration(4000))
	eve.put(eve.registration(4001))
	right, failed := 0, 0
	for seed := range uint64(400) {
		key, trace, err := resolveInSomeOrder(t, w, bob, eve, seed)
		switch {
		case err == nil && key != bob.key.Public():
			t.Fatalf("seed %d: a wrong key", seed)
		case err == nil:
			right++
		default:
			failed++
		}
		if seed%40 == 0 {
			if _, again, _ := resolveInSomeOrder(t, w, bob, eve, seed); again != trace {
				t.Fatalf("seed %d: another run\n%s\n%s", seed, trace, again)
			}
		}
	}
	t.Logf("%d resolved, %d not", right, failed)
	if failed*10 > right {
		t.Errorf("%d of %d failed", failed, right+failed)
	}
}

func resolveInSomeOrder(t *testing.T, w *world, bob, eve *person, seed uint64) (key identity.PublicKey, trace string, failed error) {
	rng := rand.New(rand.NewPCG(seed, 9))
	d := &drill{t: t, w: w, now: time.Now(), choose: func(n int) int {
		if rng.IntN(6) == 0 {
			return n - 1 // time passes
		}
		return rng.IntN(n)
	}}
	began := d.now
	set := d.setting(seed)
	bad := map[identity.NodeID]int{} // a fifth of the nodes, and how they are bad
	for _, m := range w.ring.members {
		if rng.IntN(5) == 0 {
			bad[m.Node] = 1 + rng.IntN(4)
		}
	}
	d.answer = func(c directory.Call) (directory.Answer, bool) {
		a := d.honest(c)
		switch bad[a.Holder.Node] {
		case 1:
			return a, false
		case 2:
			return directory.Answer{}, true
		case 3:
			a.Records = nil
		case 4: // somebody else's
			other := c
			other.Resource = record.Resource(eve.aor, c.Kind)
			other.Position = record.Position(other.Resource, 0, 4)
			other.Part = nil
			a.Records = d.honest(other).Records
		}
		return a, true
	}
	op := directory.NewResolving(set, bob.aor, directory.Known{})
	d.op = op
	d.run()
	res, done, err := op.Result()
	if !done || res == nil {
		t.Fatalf("seed %d: no result at the end", seed)
	}
	if d.asked > 18 {
		t.Fatalf("seed %d: %d positions asked", seed, d.asked)
	}
	asked, e := json.Marshal(res.Evidence.Asked)
	must(t, e)
	return res.Key, fmt.Sprint(d.now.Sub(began), d.asked, err, string(asked)), err
}

// TestPublishingInAnyOrder: each of four holders stores, fails once, fails for
// good or knows better; a record is published if and only if three have it in
// the end, and nobody is asked more often than there are attempts.
func TestPublishingInAnyOrder(t *testing.T) {
	const stores, failsOnce, fails = 0, 1, 2 // 3 knows a later record
	w := newWorld(t, 40)
	bob := w.person("bob", "", 1)
	rec := bob.registration(4000)
	for seed := range uint64(256) {
		rng := rand.New(rand.NewPCG(seed, 4))
		tries := map[int]int{}
		kinds := []int{int(seed) & 3, int(seed>>2) & 3, int(seed>>4) & 3, int(seed>>6) & 3}
		d := &drill{t: t, w: w, now: time.Now(), choose: rng.IntN}
		d.store = func(c directory.Call) error {
			tries[c.ID]++
			switch k := kinds[c.ID]; {
			case k == stores || k == failsOnce && tries[c.ID] > 1:
				return nil
			case k == failsOnce || k == fails:
				return errUnreachable
			}
			return record.ErrStale
		}
		op, err := directory.NewPublishing(d.setting(seed), rec)
		must(t, err)
		d.op = op
		d.run()
		r, done, err := op.Result()
		able := 0
		for i, k := range kinds {
			if k == stores || k == failsOnce {
				able++
			}
			if most := []int{1, 2, 4, 1}[k]; tries[i] > most {
				t.Fatalf("seed %d: holder %d of kind %d asked %d times", seed, i, k, tries[i])
			}
		}
		if !done || (err == nil) != (r.Stored >= 3) || r.Stored > able || able < 3 && err == nil {
			t.Fatalf("seed %d: kinds %v: %+v, %v", seed, kinds, r, err)
		}
		for i, k := range kinds {
			if k == fails && r.Places[i].Error == "" {
				t.Fatalf("seed %d: nothing said of the holder that failed", seed)
			}
		}
	}
}

// TestRepairingInAnyOrder: whatever order answers come in, every record that a
// holder lacks is put back, and the count adds up.
func TestRepairingInAnyOrder(t *testing.T) {
	w := newWorld(t, 40)
	bob := w.enrol("bob", "")
	recs := append(bob.shares(2), bob.account(), bob.registration(4000))
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 5))
		lacks := map[identity.NodeID]bool{}
		stored := map[identity.NodeID]bool{}
		d := &drill{t: t, w: w, now: time.Now(), choose: rng.IntN}
		d.answer = func(c directory.Call) (directory.Answer, bool) {
			a := directory.Answer{Holder: w.ring.responsible(c.Position), Responsible: true}
			if lacks[c.Position] = rng.IntN(3) == 0; !lacks[c.Position] {
				for _, r := range recs {
					if b, err := r.Body(); err == nil && b.Kind == c.Kind && b.Part == *c.Part {
						a.Records = append(a.Records, r)
					}
				}
			}
			return a, true
		}
		d.store = func(c directory.Call) error {
			if !lacks[c.Position] || stored[c.Position] {
				t.Fatalf("seed %d: stored where it was", seed)
			}
			stored[c.Position] = true
			return nil
		}
		set := d.setting(seed)
		set.Timeout = time.Hour
		op := directory.NewRepairing(set, recs)
		d.op = op
		d.choose = func(n int) int { return rng.IntN(max(n-1, 1)) } // time does not pass
		d.run()
		r := op.Result()
		missing := 0
		for _, l := range lacks {
			if l {
				missing++
			}
		}
		if r.Checked != 18 || r.Missing != missing || r.Stored != missing || len(stored) != missing {
			t.Fatalf("seed %d: %+v, %d missing", seed, r, missing)
		}
	}
}

// FuzzResolving: the holders answer with anything they can lay hands on: records
// of others, damaged ones, of other kinds, in any order, late, twice, and for
// calls that were never made. There is no panic, the resolution ends in its time,
// and its key is the right one or none.
func FuzzResolving(f *testing.F) {
	for seed := range byte(6) {
		in := make([]byte, 200)
		for i := range in {
			in[i] = byte(i*i)*seed + byte(i)*3
		}
		f.Add(in)
	}
	w := newWorld(f, 40)
	bob, eve := w.enrol("bob", ""), w.enrol("eve", "")
	var pool []record.Record
	for _, p := range []*person{bob, eve} {
		p.put(p.registration(4000))
		pool = append(pool, p.shares(1)...)
		pool = append(pool, p.account(), p.registration(4001), p.registration(0))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		next := func() int {
			if len(input) == 0 {
				return 0
			}
			b := input[0]
			input = input[1:]
			return int(b)
		}
		d := &drill{t: t, w: w, now: time.Now(), choose: func(n int) int {
			if len(input) == 0 {
				return n - 1
			}
			return next() % n
		}}
		op := directory.NewResolving(d.setting(1), bob.aor, directory.Known{})
		d.op = op
		d.answer = func(c directory.Call) (directory.Answer, bool) {
			a := d.honest(c)
			switch next() % 5 {
			case 0:
				return a, true
			case 1:
				a.Records = nil
			case 2:
				op.Step(d.now, directory.Read{Call: next() - 4, Holder: a.Holder, Found: op.Examine(c, a.Records)})
			default:
				for range next() % 6 {
					r := pool[next()%len(pool)]
					r.Signed = slices.Clone(r.Signed)
					if i := next() << 2; i < len(r.Signed) {
						r.Signed[i] ^= byte(next())
					}
					a.Records = append(a.Records, r)
				}
			}
			return a, true
		}
		d.run()
		if res, done, err := op.Result(); !done || err == nil && res.Key != bob.key.Public() {
			t.Fatalf("%v, %v", done, err)
		}
	})
}
