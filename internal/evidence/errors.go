package evidence

import "errors"

var (
	// ErrNoProof is what bytes that prove nothing bring, whoever signed them.
	ErrNoProof = errors.New("this proves nothing")
	// ErrStale is what a proof of long ago brings, or one of the future.
	ErrStale = errors.New("the proof is too old, or from the future")
	// ErrUnknown means that there is no proof of that name.
	ErrUnknown = errors.New("no such evidence")
	// ErrEvicted is what a call to an evicted member brings.
	ErrEvicted = errors.New("this member was caught contradicting itself")
)

// The reasons with which a Guard counts refusals and findings.
const (
	ReasonBadProof   = "bad_proof"       // an accusation that proves nothing
	ReasonFlood      = "accusation_rate" // more accusations than one member may send
	ReasonPeekRate   = "peek_rate"       // more Peeks or Vouches than one member may ask for
	ReasonUnknown    = "peek_unknown"    // a Peek at who is no member here
	ReasonFull       = "evidence_full"   // the store of proofs is full
	ReasonEvicted    = "evicted_member"  // a message of a member that was caught
	ReasonWithheld   = "withheld"        // a holder withheld one of our records from another
	ReasonProven     = "proven"          // a proof against a member was found or received
	ReasonOwnAccused = "self_accused"    // a proof against this node itself
)
