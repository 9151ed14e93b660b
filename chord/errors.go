package chord

import (
	"errors"
	"fmt"
)

// The errors of this package.
var (
	// ErrConfig: the configuration cannot work.
	ErrConfig = errors.New("chord: bad configuration")
	// ErrNoPeers: none of the given peers answered a Join. The caller tries
	// again later, or creates a ring of its own; rings merge when they meet.
	ErrNoPeers = errors.New("chord: no known peer answers")
	// ErrNotJoined: the node is not a member of the ring now.
	ErrNotJoined = errors.New("chord: not a member of the ring")
	// ErrNoRoute: a look-up found nobody who knows the responsible node.
	ErrNoRoute = errors.New("chord: the look-up found no responsible node")
	// ErrHops: a look-up reached its hop cap.
	ErrHops = errors.New("chord: the look-up took too many hops")
	// ErrNoHolder: no node that is responsible for a position could be reached
	// or took the record.
	ErrNoHolder = errors.New("chord: no responsible node took part")
	// ErrIncomplete: the table does not hold the whole ring.
	ErrIncomplete = errors.New("chord: the table of members does not hold the whole ring")
	// ErrStopped: the node does not run.
	ErrStopped = errors.New("chord: the node has stopped")
)

// The reasons with which Config.Refused counts what was refused.
const (
	RefusedNotJoined      = "not_joined"      // a ring message before or after membership
	RefusedWrongSender    = "wrong_sender"    // a message that names another node as its sender
	RefusedUnsupported    = "unsupported"     // a message that is not the ring's
	RefusedUnexpected     = "unexpected"      // an answer of another type, or out of order
	RefusedNotResponsible = "not_responsible" // a record outside this node's range
	RefusedBadPosition    = "bad_position"    // a record at a position that is not its own
	RefusedBadRecord      = "bad_record"      // a record that does not verify or breaks its rules
	RefusedBusy           = "busy"            // too many requests at once
	RefusedNoProgress     = "no_progress"     // a next hop that is no closer to the target
	RefusedPassedOver     = "passed_over"     // a look-up's answer that leaves out a nearer node, which lives
	RefusedForged         = "forged"          // a descriptor or notice that its node has not signed
	RefusedStale          = "stale"           // the same, older than what is known, or too old
	RefusedFuture         = "future"          // the same, of a time too far ahead
	RefusedOutOfRange     = "out_of_range"    // a descriptor that was not asked for
	RefusedWitness        = "bad_witness"     // a death by a witness that is unknown, not near the dead, or of the same owner as the other
	RefusedNoCertificate  = "no_certificate"  // a descriptor whose certificate nobody gave
	RefusedTooMuch        = "too_much_news"   // more news than one member may send, or than wait already
	RefusedUnsigned       = "unsigned"        // this node cannot sign for itself now
	RefusedOwnerFull      = "owner_full"      // a member of a person of whom three are known already
	RefusedNetworkFull    = "network_full"    // a member in a network that has its share of the table already
	RefusedJoinsOften     = "joins_often"     // a node that has joined too often of late
	RefusedStoresOften    = "stores_often"    // a record of a sender that has brought too many of late
)

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}
