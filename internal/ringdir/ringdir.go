// Package ringdir puts what the ring answers into the directory's words, for
// whoever joins the two: neither knows the other.
package ringdir

import (
	"errors"
	"fmt"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
)

// ErrRefused: a holder does not take the record.
var ErrRefused = errors.New("a holder refuses the record")

// Stored turns the outcome of a chord store into that of directory.Ring's Store:
// who holds the record now, and the reason that matters most where some do not.
func Stored(said []chord.Holder, err error) ([]directory.Holder, error) {
	if err != nil {
		return nil, err
	}
	var holders []directory.Holder
	var refused error
	for _, h := range said {
		switch {
		case h.Err != nil:
		case h.Outcome.Held():
			holders = append(holders, directory.Holder{Node: h.Peer.ID, Owner: h.Peer.Owner})
		default:
			refused = worse(refused, refusal(h.Outcome))
		}
	}
	if len(holders) > 0 && !errors.Is(refused, directory.ErrStale) && !errors.Is(refused, directory.ErrConflict) {
		return holders, nil // one that is full or sees it otherwise does not matter
	}
	return holders, refused
}

// refusal is a holder's outcome in the directory's words.
func refusal(o record.Outcome) error {
	switch o {
	case record.OutcomeStale:
		return directory.ErrStale
	case record.OutcomeConflict:
		return directory.ErrConflict
	case record.OutcomeKeyConflict:
		return record.ErrKeyConflict
	case record.OutcomeQuota:
		return record.ErrQuota
	}
	return fmt.Errorf("%w: %s", ErrRefused, o)
}

// worse prefers what the writer can mend: a higher sequence number.
func worse(a, b error) error {
	if a == nil || errors.Is(b, directory.ErrStale) || errors.Is(b, directory.ErrConflict) && !errors.Is(a, directory.ErrStale) {
		return b
	}
	return a
}

// Fetched turns the outcome of a chord fetch into that of directory.Ring's
// Fetch.
func Fetched(a chord.Answer) directory.Answer {
	return directory.Answer{
		Records: a.Records, Holder: directory.Holder{Node: a.Holder.ID, Owner: a.Holder.Owner},
		Responsible: a.Responsible, RTT: a.RTT,
	}
}
