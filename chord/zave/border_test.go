package zave

import (
	"fmt"
	"slices"
	"testing"
)

// border is every way in which a ring of a few IDs grows and shrinks across the
// edge of small-ring mode: all interleavings of joins, failures and the
// members' own rounds.
type border struct {
	ids     []ID
	r       int
	seen    map[borderKey]struct{}
	queue   []borderKey
	crossed [2]int // transitions of a member into small-ring mode and out of it
	worst   int
}

// borderMost bounds the members of a ring in these tests.
const borderMost = 5

// borderKey is a ring and how many changes may still come.
type borderKey struct {
	members [borderMost]State // by ID; the zero state for who is no member
	left    int
}

func (k *borderKey) ring() Ring {
	var ring Ring
	for i := range k.members {
		if k.members[i].R > 0 {
			ring = append(ring, k.members[i])
		}
	}
	return ring
}

func (b *border) add(ring Ring, left int) {
	k := borderKey{left: left}
	for i := range ring {
		k.members[slices.Index(b.ids, ring[i].Self)] = ring[i]
	}
	if _, ok := b.seen[k]; !ok {
		b.seen[k] = struct{}{}
		b.queue = append(b.queue, k)
	}
}

// TestBorder: rings of 1 to 5 members with lists of 2 or 3 begin ideal, and up
// to three joins and failures happen at any moment. Whatever the order of what
// follows, every list stays in order, and from every state on the way a few
// rounds lead to the ideal ring, in which a member is in small-ring mode
// exactly if the ring has at most r members.
func TestBorder(t *testing.T) { borders(t, []int{2, 3}, 5, 3) }

func borders(t *testing.T, lists []int, n, changes int) {
	t.Helper()
	for _, r := range lists {
		b := &border{ids: spaced(n, 1<<56), r: r, seen: map[borderKey]struct{}{}}
		for members := 1; members < 1<<n; members++ {
			var ids []ID
			for i, id := range b.ids {
				if members>>i&1 == 1 {
					ids = append(ids, id)
				}
			}
			b.add(IdealRing(r, ids...), changes)
		}
		for len(b.queue) > 0 {
			k := b.queue[len(b.queue)-1]
			b.queue = b.queue[:len(b.queue)-1]
			if err := b.look(k.ring(), k.left); err != nil {
				t.Fatalf("r = %d: %v: %v", r, k.ring(), err)
			}
		}
		t.Logf("r = %d, up to %d members, %d changes: %d states; members entered small-ring mode in %d steps and left it in %d; ideal after %d rounds at most",
			r, n, changes, len(b.seen), b.crossed[0], b.crossed[1], b.worst)
		if b.crossed[0] == 0 || b.crossed[1] == 0 {
			t.Error("nobody crosses the border: this shows nothing")
		}
	}
}

// look checks one state and adds those that follow from it.
func (b *border) look(ring Ring, left int) error {
	for i := range ring {
		if err := ring[i].CheckLocal(); err != nil {
			return err
		}
		if _, ok := ring.Best(&ring[i]); !ok && len(ring) > 1 {
			return fmt.Errorf("%w: %s", ErrNoLiveSuccessor, ring[i].Self.Short())
		}
	}
	rounds, err := borderRounds(ring)
	if err != nil {
		return err
	}
	b.worst = max(b.worst, rounds)
	for i := range ring {
		w := &world{protocol: real(), r: b.r, ring: slices.Clone(ring)}
		w.tell(i)
		for k := range ring {
			switch was, is := ring[k].Small(), w.ring[k].Small(); {
			case is && !was:
				b.crossed[0]++
			case was && !is:
				b.crossed[1]++
			}
		}
		b.add(w.ring, left)
	}
	if left == 0 {
		return nil
	}
	for _, j := range b.ids {
		if grown, ok := admit(ring, j); ok {
			b.add(grown, left-1)
		}
	}
	for i := range ring {
		if rest := append(slices.Clone(ring[:i]), ring[i+1:]...); mayFail(ring, rest) {
			b.add(rest, left-1)
		}
	}
	return nil
}

// admit lets j join at the member before it that admits it, and that one meet
// it.
func admit(ring Ring, j ID) (Ring, bool) {
	if ring.Live(j) {
		return nil, false
	}
	at, _ := ring.search(j)
	for back := 1; back <= len(ring); back++ {
		i := (at + len(ring) - back) % len(ring)
		if s, ok := Join(j, ring[i].View()); ok {
			grown := slices.Clone(ring)
			grown[i] = Meet(grown[i], j)
			return NewRing(append(grown, s)...), true
		}
	}
	return nil, false
}

// mayFail reports whether a failure that leaves rest is one that the protocol is
// to survive: whoever is left knows a live one, and all hang together.
func mayFail(ring, rest Ring) bool {
	for i := range rest {
		if _, ok := rest.Best(&rest[i]); !ok && (len(rest) > 1 || !rest[i].Small()) {
			return false
		}
	}
	if len(rest) > int(ring[0].R) {
		count, _ := rest.Principals()
		return count > int(ring[0].R)
	}
	return connected(rest)
}

// borderRounds counts the fair rounds to the ideal ring.
func borderRounds(ring Ring) (int, error) {
	w := &world{protocol: real(), ring: slices.Clone(ring)}
	for round := 0; ; round++ {
		err := w.ring.Ideal()
		if err == nil {
			for i := range w.ring {
				if got, want := w.ring[i].Small(), len(w.ring) <= int(w.ring[i].R); got != want {
					return round, fmt.Errorf("%w: small-ring mode %v with %d members", ErrDisorder, got, len(w.ring))
				}
			}
			return round, nil
		}
		if round == 40 {
			return round, fmt.Errorf("after %d rounds: %w: %v", round, err, w.ring)
		}
		for i := range w.ring {
			w.tell(i)
		}
	}
}
