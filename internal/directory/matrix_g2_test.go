package directory_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/hidden"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// An overlay of 120 people with a member each, of whom one in ten collude. They
// follow the protocol, put together all that they see, and are granted to know
// everybody's owner tag by name, and where the records of every name lie. They
// see
//
//	as a holder   what is asked, when, and over whose link
//	as a first    who asks, when, and who the second is
//	as a second   which holders are asked, when, and who the first is
//
// and they have said that somebody has looked a name up, and so that the two have
// to do with each other, when
//
//	(a) the asker's link to a holder shows it (open look-ups only);
//	(b) a first of theirs has passed something on to a second of theirs, or to one
//	    that asked a holder of theirs in that moment: always taken to be right;
//	(c) two names were looked up in the order and within the time in which a call
//	    has the callee's and then the caller's looked up. Of all such coincidences
//	    they take those kinds (by what they know of the two look-ups) in which they
//	    are right in at least half of the cases.
//
// Pairs with one of themselves in it are left out: those they know anyway.
const (
	g2People  = 120
	g2Calls   = 1500
	g2Rate    = 0.5 / 3600           // calls of one person, a second
	g2Decoys  = 12.0 / 3600          // look-ups of one's own name, a second
	g2Within  = float64(time.Second) // in which the callee begins to look the caller up
	g2Seed    = 708
	g2Overlay = 18 // positions of a name
)

// g2 is the overlay and what the colluding members have seen.
type g2 struct {
	t      *testing.T
	w      *world
	rng    *rand.Rand
	people []identity.AOR
	at     []wire.Peer // their members
	theirs map[identity.NodeID]bool

	lies    []map[identity.NodeID]bool   // by person: who holds the records
	holders [][g2Overlay]identity.NodeID // by person and position
	bad     [][g2Overlay]bool            // likewise: whether it is theirs
}

// look is one look-up as far as they have seen it.
type look struct {
	at         time.Duration // first sight of the name
	name       int           // who is looked up
	seen       bool          // by a holder, or a second
	kind       int           // what a second can tell: 0 nothing, 1 a caller's or a decoy like it, 2 a callee's likewise
	who        int           // who asks, as far as (b) tells; -1 nobody
	call, turn int           // the call it belongs to, -1 a decoy; 1 for the callee's look-up
	done       time.Duration
}

func newG2(t *testing.T) *g2 {
	g := &g2{t: t, w: newWorld(t, g2People), rng: rand.New(rand.NewPCG(g2Seed, 1)), theirs: map[identity.NodeID]bool{}}
	for i, m := range g.w.ring.members {
		g.people = append(g.people, name(t, "person"+string(rune('a'+i/26))+string(rune('a'+i%26))))
		g.at = append(g.at, wire.Peer{ID: m.Node, Owner: m.Owner})
	}
	for _, aor := range g.people {
		lies, at := map[identity.NodeID]bool{}, [g2Overlay]identity.NodeID{}
		for i := range g2Overlay {
			at[i] = g.w.ring.holderOf(aor, i)
			lies[at[i]] = true
		}
		g.lies, g.holders = append(g.lies, lies), append(g.holders, at)
	}
	g.bad = make([][g2Overlay]bool, g2People)
	g.collude()
	return g
}

// collude draws the members that do.
func (g *g2) collude() {
	clear(g.theirs)
	for _, i := range g.rng.Perm(g2People)[:g2People/10] {
		g.theirs[g.at[i].ID] = true
	}
	for of := range g.people {
		for i, holder := range g.holders[of] {
			g.bad[of][i] = g.theirs[holder]
		}
	}
}

// pair draws a caller and a callee that do not collude.
func (g *g2) pair() (from, to int) {
	for from == to || g.theirs[g.at[from].ID] || g.theirs[g.at[to].ID] {
		from, to = g.rng.IntN(g2People), g.rng.IntN(g2People)
	}
	return from, to
}

// byWho is the share of pairs that they tell by (b), of very many, in as many
// overlays: in one it is a percent more or less.
func (g *g2) byWho() float64 {
	const overlays, calls = 40, 600
	told := 0
	for range overlays {
		g.collude()
		for range calls {
			if from, to := g.pair(); g.lookUp(0, from, to, nil, g.decoyAsks()).who >= 0 {
				told++
			}
		}
	}
	return float64(told) / (overlays * calls)
}

// asks returns which of the 18 positions a resolution asks, where all is well.
func (g *g2) asks(of int, hide bool) (out []int) {
	r := directory.NewResolving(directory.Setting{
		Trust: g.w.trust, Now: time.Now, Members: g.w.ring.Size, Self: identity.OwnerTag{0xff}, Refused: func(string) {},
		Pace: &directory.Pace{}, Rand: g.rng, Timeout: time.Second, Listen: time.Second, Watch: 2, Hidden: hide,
	}, g.people[of], directory.Known{NoPin: true})
	for _, c := range r.Step(time.Now(), directory.Tick{}) {
		n := map[record.Kind]int{record.KindShare: 10, record.KindRegistration: 4, record.KindAccount: 4}[c.Kind]
		first := map[record.Kind]int{record.KindShare: 0, record.KindRegistration: 10, record.KindAccount: 14}[c.Kind]
		for i := range n {
			if record.Position(c.Resource, i, n) == c.Position {
				out = append(out, first+i)
			}
		}
	}
	return out
}

// decoyAsks is asks for the many look-ups of one's own name: four shares and a
// registration.
func (g *g2) decoyAsks() []int { return append(g.rng.Perm(10)[:4], 10+g.rng.IntN(4)) }

func (g *g2) hop() time.Duration {
	return 5*time.Millisecond + time.Duration(g.rng.Int64N(int64(55*time.Millisecond)))
}

// lookUp has positions of a name asked from at on; first is the member that it goes
// through, nil for one drawn.
func (g *g2) lookUp(at time.Duration, asker, of int, first *wire.Peer, asks []int) look {
	out := look{name: of, who: -1, call: -1}
	holders := g.lies[of]
	c := hidden.Candidates{Owner: g.at[asker].Owner, Members: g.at, Holds: func(id identity.NodeID) bool { return holders[id] }, Usable: func(identity.NodeID) bool { return true }}
	var begin wire.Peer
	if first != nil {
		begin = *first
	}
	one, two, ok := c.Draw(g.rng, begin)
	if !ok || first == nil && holders[two.ID] {
		g.t.Fatal("nobody to ask through")
	}
	if one.ID != g.at[asker].ID {
		at += g.hop()
	}
	at += g.hop()
	if g.theirs[two.ID] {
		out.seen, out.at, out.kind = true, at, 1
		if one.ID == g.at[of].ID { // the named one's own node: a callee's, or a decoy of that kind
			out.kind = 2
		}
	}
	for _, i := range asks {
		there := at + g.hop()
		if out.done = max(out.done, there+4*g.hop()); g.bad[of][i] && (!out.seen || there < out.at) {
			out.seen, out.at = true, there
		}
	}
	if g.theirs[one.ID] && out.seen && one.ID != g.at[of].ID {
		out.who = asker
	}
	return out
}

// open is whether a look-up that hides nothing shows who asks.
func (g *g2) open(of int) bool {
	return slices.ContainsFunc(g.asks(of, false), func(i int) bool { return g.bad[of][i] })
}

// day plays calls and decoys, and returns the look-ups in the order in which they
// were seen, and how many calls count.
func (g *g2) day(decoys float64) (looks []look, pairs, openly int) {
	length := time.Duration(g2Calls / (g2Rate * g2People) * float64(time.Second))
	for call := range g2Calls {
		at := time.Duration(g.rng.Int64N(int64(length)))
		from, to := g.pair()
		pairs++
		if g.open(to) || g.open(from) {
			openly++
		}
		l := g.lookUp(at, from, to, nil, g.asks(to, true))
		l.call = call
		looks = append(looks, l)
		again := l.done + 4*g.hop() + time.Duration(g.rng.Float64()*g2Within) // the link, the INVITE
		l = g.lookUp(again, to, from, &g.at[from], g.asks(from, true))
		l.call, l.turn = call, 1
		looks = append(looks, l)
	}
	for range int(decoys * length.Seconds() * g2People) {
		who, at := g.rng.IntN(g2People), time.Duration(g.rng.Int64N(int64(length)))
		var first *wire.Peer
		if g.rng.IntN(2) == 0 {
			first = &g.at[who]
		}
		looks = append(looks, g.lookUp(at, who, who, first, g.decoyAsks()))
	}
	slices.SortFunc(looks, func(a, b look) int { return cmp.Compare(a.at, b.at) })
	return looks, pairs, openly
}

// coincidence is a kind of them, and how often it was one of a call.
type coincidence struct{ right, all int }

// together returns the share of calls that they tell by (c), and what of all
// coincidences was one of a call.
func (g *g2) together(looks []look, pairs int) (share float64, all coincidence) {
	kinds := map[[2]int]*coincidence{}
	var seen []look
	for _, l := range looks {
		if l.seen && (l.who < 0 || l.who != l.name) { // what they know to be a decoy they leave out
			seen = append(seen, l)
		}
	}
	for i, first := range seen {
		if first.kind == 2 {
			continue
		}
		for _, second := range seen[i+1:] {
			gap := second.at - first.at
			if gap > g2Longest {
				break
			}
			if gap < g2Shortest || second.kind == 1 || second.name == first.name {
				continue
			}
			key := [2]int{first.kind, second.kind}
			if kinds[key] == nil {
				kinds[key] = &coincidence{}
			}
			kinds[key].all++
			if first.call >= 0 && first.call == second.call {
				kinds[key].right++
			}
		}
	}
	told := 0
	for _, k := range kinds {
		if 2*k.right >= k.all {
			told += k.right
		}
		all.right, all.all = all.right+k.right, all.all+k.all
	}
	return float64(told) / float64(pairs), all
}

// The gaps between the sights of a call's two look-ups, but for few.
const (
	g2Shortest = 150 * time.Millisecond
	g2Longest  = 1600 * time.Millisecond
)

// G2: of a hundred pairs of caller and callee, members that collude, one in ten of
// all, learn fewer than five where look-ups are hidden, and most where they are
// not.
func TestMatrixG2ColludingMembersLearnFewPairs(t *testing.T) {
	t.Parallel()
	g := newG2(t)
	if asks := g.asks(0, true); len(asks) != 5 || slices.Max(asks) >= 14 || slices.Max(asks) < 10 {
		t.Errorf("positions %v are asked", asks)
	}
	looks, pairs, openly := g.day(g2Decoys)
	byTime, guess := g.together(looks, pairs)
	open := float64(openly) / float64(pairs)
	quiet, _, _ := g.day(0)
	without, _ := g.together(quiet, pairs)
	byWho := g.byWho()
	if all := byWho + byTime; all > 0.05 || byWho == 0 || open < 0.5 || without < 0.15 {
		t.Errorf("%.3f of the pairs are told; openly %.3f, by time without decoys %.3f", all, open, without)
	}
	t.Logf("matrix: G2 pairs of caller and callee told by 12 of 120 members, seed %d: %.1f %% by who asks, %.1f %% by time (of %d coincidences of two names %d were calls); openly %.0f %%, by time without decoys %.0f %%",
		g2Seed, 100*byWho, 100*byTime, guess.all, guess.right, 100*open, 100*without)
}
