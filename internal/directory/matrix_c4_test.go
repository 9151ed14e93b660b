package directory_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
)

// C4: "not found" is believed only from a quorum of responsible nodes.
func TestMatrixC4OneNodeCannotFakeNotFound(t *testing.T) {
	var w0 *world
	var bob *person
	var asked atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		w0 = newWorld(t, 1)
		bob = w0.enrol("bob", "")
		bob.put(bob.registration(4000))
	})
	for _, members := range []int{2, 3, 5, 8, 32, 200} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			var attacks atomic.Int64
			for liar := range 18 { // whoever holds one of the 10 + 4 + 4 positions
				synctest.Test(t, func(t *testing.T) {
					w := w0.again(t, members)
					evil := w.ring.holderOf(bob.aor, liar)
					w.ring.lie(func(a ask) (directory.Answer, error, bool) {
						if a.holder.Node != evil {
							return honestly(a)
						}
						attacks.Add(1)
						return nothing(a)
					})
					_, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
					if strings.Contains(fmt.Sprint(err), directory.ErrNoSuchName.Error()) {
						t.Errorf("one of %d nodes hid a name: %v", members, err)
					}
					if members >= 32 && err != nil {
						t.Errorf("one of %d nodes stopped a call: %v", members, err)
					}
				})
			}
			asked.Add(attacks.Load())
			if attacks.Load() == 0 {
				t.Error("no liar was asked")
			}
		})
	}
	t.Logf("matrix: C4 \"no such name\" believed from one holder: 0 of 108 look-ups, %d lies told", asked.Load())
}

// C4: whoever is not responsible proves nothing by having nothing.
func TestMatrixC4IntermediatesCannotFakeNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		var attacks atomic.Int64
		w.ring.lie(func(a ask) (directory.Answer, error, bool) {
			attacks.Add(1)
			return directory.Answer{Holder: a.holder}, nil, true
		})
		_, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrRingDown)
		t.Logf("matrix: C4 \"no such name\" believed from nodes that are not responsible: 0 of %d answers", attacks.Load())
		if attacks.Load() == 0 {
			t.Error("nobody was asked")
		}
	})
}

// And nobody fakes existence: what is answered for a name that nobody has is
// refused, and the other nodes' word proves the absence.
func TestMatrixC4OneNodeCannotFakeExistence(t *testing.T) {
	var attacks atomic.Int64
	for round := range 18 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 32)
			mallory := w.enrol("mallory", "")
			shares := mallory.shares(2)
			w.ring.lie(func(a ask) (directory.Answer, error, bool) {
				if a.holder.Node != w.ring.holderOf(name(t, "nobody"), round) {
					return honestly(a)
				}
				attacks.Add(1)
				a.honest.Records = []record.Record{mallory.registration(4000)}
				if a.part != nil {
					a.honest.Records = shares[*a.part-1 : *a.part]
				}
				return a.honest, nil, true
			})
			_, err := w.directory().Resolve(t.Context(), name(t, "nobody"), directory.Options{})
			wantErr(t, err, directory.ErrNoSuchName)
		})
	}
	if attacks.Load() == 0 {
		t.Error("the liar was never asked")
	}
	t.Logf("matrix: C4 names made up by one holder: 0 of 18 look-ups, %d lies told", attacks.Load())
}
