package ringdir_test

import (
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/ringdir"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestStored: a writer hears of a holder that knows better before all else, and
// of one that is full only if nobody has taken the record.
func TestStored(t *testing.T) {
	down := errors.New("down")
	said := func(outcomes ...record.Outcome) (out []chord.Holder) {
		for i, o := range outcomes {
			h := chord.Holder{Peer: wire.Peer{ID: identity.NodeID{byte(i)}}, Outcome: o}
			if o == 0 {
				h.Err = down
			}
			out = append(out, h)
		}
		return out
	}
	for _, c := range []struct {
		what    string
		said    []chord.Holder
		holders int
		want    error
	}{
		{"both", said(record.OutcomeStored, record.OutcomeSame), 2, nil},
		{"one does not answer", said(0, record.OutcomeStored), 1, nil},
		{"one is full", said(record.OutcomeStored, record.OutcomeQuota), 1, nil},
		{"both are full", said(record.OutcomeQuota, record.OutcomeQuota), 0, record.ErrQuota},
		{"one knows a later one", said(record.OutcomeStored, record.OutcomeStale), 1, directory.ErrStale},
		{"one knows another", said(record.OutcomeConflict, record.OutcomeStored), 1, directory.ErrConflict},
		{"later before other", said(record.OutcomeConflict, record.OutcomeStale), 0, directory.ErrStale},
		{"another key", said(record.OutcomeKeyConflict), 0, record.ErrKeyConflict},
		{"invalid", said(record.OutcomeInvalid), 0, ringdir.ErrRefused},
	} {
		holders, err := ringdir.Stored(c.said, nil)
		if len(holders) != c.holders || !errors.Is(err, c.want) {
			t.Errorf("%s: %d holders, %v", c.what, len(holders), err)
		}
	}
	if _, err := ringdir.Stored(nil, chord.ErrNoHolder); !errors.Is(err, chord.ErrNoHolder) {
		t.Error(err)
	}
}
