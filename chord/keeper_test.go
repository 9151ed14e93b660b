package chord

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// clerk is a keeper and everybody that it talks to.
type clerk struct {
	t       testing.TB
	k       *Keeper
	v       *View
	now     time.Time
	store   *memory
	flying  []Effect
	done    int // effects of kind HandedOver
	sent    int
	refused int
}

func newClerk(t testing.TB, v *View) *clerk {
	c := &clerk{t: t, v: v, now: time.Unix(1_000_000, 0), store: newMemory()}
	c.k = NewKeeper(KeeperConfig{
		Self: v.Self.ID, Records: c.store, Charter: testCharter, RepairEvery: 30 * time.Second,
		Rand: rand.New(rand.NewPCG(1, 2)), Refused: func(string) { c.refused++ },
	})
	return c
}

func (c *clerk) step(ev Event) {
	c.t.Helper()
	to := map[ID]bool{}
	for _, e := range c.k.Step(c.now, Vantage{View: c.v, Refused: func(string) { c.refused++ }}, ev) {
		if e.Kind == HandedOver {
			c.done++
			continue
		}
		c.sent++
		c.flying = append(c.flying, e)
		switch msg := e.Msg.(type) {
		case *wire.StoreMany:
			if len(msg.Items) > wire.MaxItems {
				c.t.Fatalf("%d items", len(msg.Items))
			}
		case *wire.Offer:
			if len(msg.Items) > wire.MaxOffers {
				c.t.Fatalf("%d offers", len(msg.Items))
			}
		default:
			c.t.Fatalf("sends %s", e.Msg.Type())
		}
	}
	for _, e := range c.flying {
		if to[e.To.ID] || e.To.ID == c.v.Self.ID || e.Timeout <= 0 {
			c.t.Fatalf("two messages at a time, or one to itself: %+v", e)
		}
		to[e.To.ID] = true
	}
	if len(c.flying) > keeperParallel {
		c.t.Fatalf("%d nodes at a time", len(c.flying))
	}
}

// pass lets time pass until the keeper wants it.
func (c *clerk) pass() {
	c.t.Helper()
	at := c.k.Deadline()
	if at.IsZero() {
		c.t.Fatal("waits for nothing")
	}
	c.now = later(c.now, at)
	c.step(Tick{})
	if at := c.k.Deadline(); len(c.flying) == 0 && !at.After(c.now) {
		c.t.Fatalf("still due at %v", at)
	}
}

// answer ends a call.
func (c *clerk) answer(i int, msg wire.Message) {
	e := c.flying[i]
	c.flying = slices.Delete(c.flying, i, i+1)
	c.now = c.now.Add(time.Millisecond)
	r := Result{Call: e.ID, Msg: msg, RTT: time.Millisecond}
	if msg == nil {
		r.Err = errLost
	}
	c.step(r)
}

// accept answers as a node that takes everything, and notes it.
func accept(e Effect, at map[ID]map[slotKey]bool) wire.Message {
	if offer, ok := e.Msg.(*wire.Offer); ok {
		out := &wire.Wanted{}
		for range offer.Items {
			out.Answers = append(out.Answers, wire.WantedYes)
		}
		return out
	}
	out := &wire.StoredMany{}
	for _, item := range e.Msg.(*wire.StoreMany).Items {
		b, _ := item.Record.Body()
		if at[e.To.ID] == nil {
			at[e.To.ID] = map[slotKey]bool{}
		}
		at[e.To.ID][slotKey{identity.HashID(b.AOR, b.Kind.String()), b.Kind, b.Part, b.Seq}] = true
		out.Outcomes = append(out.Outcomes, byte(record.OutcomeStored))
	}
	return out
}

// TestKeeperInAnyOrder: a keeper whose messages get lost half of the time and
// are answered in any order has, in the end, brought every record to where the
// plan says, and rests until the next round of repair.
func TestKeeperInAnyOrder(t *testing.T) {
	var recs []stored
	for i := range 80 {
		recs = append(recs, share(t, string(rune('a'+i/10)), uint64(i%10+1), 1))
	}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 6))
		v, _ := smallView(6 + int(seed%7))
		c := newClerk(t, v)
		for _, s := range recs[:20+rng.IntN(60)] {
			_, _, _ = c.store.Put(s.rec)
		}
		want := plan(v, pointers(c.store.All()), testCharter, false, nil, nil)
		at := map[ID]map[slotKey]bool{}
		c.step(Changed{})
		lossy := 12
		for end := c.now.Add(2 * time.Minute); c.now.Before(end); {
			if n := len(c.flying); n > 0 {
				i := rng.IntN(n)
				if lossy > 0 && rng.IntN(2) == 0 {
					lossy--
					c.answer(i, nil)
				} else {
					c.answer(i, accept(c.flying[i], at))
				}
				continue
			}
			c.pass()
		}
		for _, p := range want {
			if !at[p.to.ID][p.slot] {
				t.Fatalf("seed %d: %s has not got a record", seed, p.to.ID.Short())
			}
			if p.orphan && len(c.store.Get(p.slot.res, &p.slot.part)) > 0 {
				t.Fatalf("seed %d: keeps what is elsewhere now", seed)
			}
		}
		if len(want) == 0 {
			t.Fatalf("seed %d: nothing to push", seed)
		}
	}
}

// TestKeeperLeaves: when a leaving node has handed over, in whatever order, it
// says so once, and both future holders have everything.
func TestKeeperLeaves(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		v, _ := smallView(2 + int(seed%11))
		c := newClerk(t, v)
		for i := range 60 {
			_, _, _ = c.store.Put(share(t, string(rune('a'+i/10)), uint64(i%10+1), 1).rec)
		}
		at := map[ID]map[slotKey]bool{}
		c.step(HandOver{})
		for len(c.flying) > 0 {
			i := rng.IntN(len(c.flying))
			c.answer(i, accept(c.flying[i], at))
		}
		if c.done != 1 {
			t.Fatalf("seed %d: handed over %d times", seed, c.done)
		}
		for _, p := range plan(v.leaving(), pointers(c.store.All()), testCharter, false, nil, nil) {
			if !at[p.to.ID][p.slot] {
				t.Fatalf("seed %d: %s has not got a record", seed, p.to.ID.Short())
			}
		}
		if len(c.store.All()) != 60 {
			t.Fatalf("seed %d: a leaving node has thrown away what it may come back with", seed)
		}
	}
}

// FuzzKeeper: everybody else is an attacker who answers anything and asks for
// anything. The keeper sends bounded messages to a few nodes at a time, answers
// every request, throws nothing away that nobody claims to have taken, and does
// not run in circles.
func FuzzKeeper(f *testing.F) {
	for seed := range byte(10) {
		in := make([]byte, 300)
		for i := range in {
			in[i] = byte(i*i)*seed + byte(i>>1)*3 + seed
		}
		f.Add(in)
	}
	var recs []stored
	for i := range 30 {
		recs = append(recs, share(f, string(rune('a'+i/10)), uint64(i%10+1), 1))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		r := &reader{input}
		v, ids := smallView(2 + int(r.next())%10)
		v.Small = r.next()&1 == 0
		c := newClerk(t, v)
		for _, s := range recs[:int(r.next())%len(recs)] {
			_, _, _ = c.store.Put(s.rec)
		}
		c.step([]Event{Changed{}, Became{}, HandOver{}}[int(r.next())%3])
		start := c.now
		for len(r.b) > 0 {
			switch n := len(c.flying); {
			case r.next()%4 == 0:
				c.request(r, ids, recs)
			case n > 0:
				i := int(r.next()) % n
				c.answer(i, r.keeperAnswer(c.flying[i]))
			default:
				c.pass()
			}
		}
		if most := 400 + 40*int(c.now.Sub(start)/time.Second); c.sent > most {
			t.Fatalf("%d messages in %v", c.sent, c.now.Sub(start))
		}
	})
}

// request has somebody ask the keeper for something.
func (c *clerk) request(r *reader, ids []ID, recs []stored) {
	from := vpeer(ids[int(r.next())%len(ids)], 1)
	if r.next()&7 == 0 {
		from = r.peer()
	}
	s := recs[int(r.next())%len(recs)]
	pos := s.pos
	if r.next()&7 == 0 {
		pos = r.peer().ID
	}
	var req wire.Message
	switch r.next() % 5 {
	case 0:
		req = &wire.Store{Position: pos, Record: s.rec}
	case 1:
		req = &wire.StoreMany{Items: make([]wire.Placed, r.next()%3)}
	case 2:
		req = &wire.Offer{}
	case 3:
		req = &wire.Offer{Items: []wire.Offered{{Position: pos, Resource: s.res, Part: uint64(r.next()), Seq: uint64(r.next())}}}
	default:
		req = &wire.Fetch{Position: pos, Resource: s.res}
	}
	answer := c.k.Serve(c.now, c.v, from, req)
	if answer == nil {
		c.t.Fatalf("no answer to %s", req.Type())
	}
	if _, err := wire.Encode(answer); err != nil {
		c.t.Fatal(err)
	}
	c.step(Tick{})
}

func (r *reader) keeperAnswer(e Effect) wire.Message {
	many := func(n int) []byte {
		out := make([]byte, n)
		for i := range out {
			out[i] = r.next() % 9
		}
		return out
	}
	n := 0
	switch msg := e.Msg.(type) {
	case *wire.Offer:
		n = len(msg.Items)
	case *wire.StoreMany:
		n = len(msg.Items)
	}
	if r.next()&7 == 0 {
		n = int(r.next()) % 20
	}
	switch r.next() % 5 {
	case 0:
		return nil
	case 1:
		return &wire.Error{Code: wire.CodeUnavailable, Retry: 100}
	case 2, 3:
		if e.Msg.Type() == wire.TypeOffer {
			return &wire.Wanted{Answers: many(n)}
		}
	}
	return &wire.StoredMany{Outcomes: many(n)}
}

func pointers(records []record.Record) (out []*record.Record) {
	for i := range records {
		out = append(out, &records[i])
	}
	return out
}
