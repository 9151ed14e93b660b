package adapter

import (
	"fmt"
	"testing"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/seal"
)

// Whatever number of calls ends while the disk takes nothing, none of those on it
// is taken for one that was interrupted; and what waits for the disk is bounded.
func TestEndsOfCallsAreNeverDropped(t *testing.T) {
	s, err := openState(t.TempDir(), seal.Source{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.db.Close()
	k := newTalks(s, zerolog.Nop())
	const calls = 3 * maxTalkChanges
	id := func(i int) string { return fmt.Sprint("call", i) }
	for i := range calls { // begun while the disk works
		k.note(id(i), &talk{})
		if i%100 == 0 {
			k.write()
		}
	}
	k.write()
	onDisk := func() int {
		all, err := s.interrupted()
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := onDisk(); n != calls {
		t.Fatalf("%d of %d calls are on the disk", n, calls)
	}
	s.db.MaxSize = 1
	for i := range calls {
		k.note(id(i), nil)
		k.note(id(calls+i), &talk{}) // one that begins now
	}
	for range 3 {
		k.write()
	}
	for i := range calls {
		k.note(id(calls+i), nil)
	}
	if n := len(k.changes); n > calls {
		t.Errorf("%d changes wait for the disk", n)
	}
	s.db.MaxSize = 0
	k.write()
	if n := onDisk(); n != 0 {
		t.Errorf("%d calls that have ended are on the disk", n)
	}
	if len(k.changes)+len(k.written) != 0 {
		t.Errorf("%d changes and %d calls are remembered", len(k.changes), len(k.written))
	}
}
