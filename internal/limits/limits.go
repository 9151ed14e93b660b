// Package limits has the numbers that bound what strangers, members and phones
// can cause, as far as more than one room keeps to them or the operator can
// change them: the rooms take their defaults from here. docs/operations.md lists
// them with those that one room has for itself. It imports no other room.
package limits

import "time"

// Of a link (internal/link).
const (
	Handshake         = 3 * time.Second  // until a handshake must be complete
	Handshakes        = 64               // incoming ones at once
	HandshakesPerAddr = 4                // of them from one IPv4 address or IPv6 /64
	Unproven          = 16               // of them from addresses that have not proven themselves
	Unvalidated       = 50               // handshakes a second before addresses must prove themselves
	Nodes             = 512              // connections to other nodes; limits.nodes
	PeerRequests      = 50               // requests a second of one node; limits.peer_requests
	PeerBurst         = 100              // and at once; limits.peer_burst
	PeerStreams       = 16               // requests of one node under way at once
	RequestTime       = 10 * time.Second // for one of them
)

// Of calls (adapter, sipbridge).
const (
	CallBurst    = 5                // calls and texts of one person to one other at once, then one a second; limits.call_burst
	CallWindow   = 60 * time.Second // how far a signed message's time may be off before it is challenged
	CarriedCalls = 64               // at once; limits.carried_calls
	SIPRequests  = 256              // of phones, in progress; limits.sip_requests
)

// Of records (internal/record, and the charter of a new overlay).
const (
	RecordData   = 1 << 10         // bytes
	Record       = 4 << 10         // bytes, with its chain
	OwnerRecords = 24              // of one owner at one holder
	OwnerBytes   = 64 << 10        // likewise: in a small ring one holder has all of a person, and the shares of two keys
	StoreBytes   = 32 << 20        // of all owners at one holder
	Devices      = 8               // of one person
	Ahead        = 5 * time.Minute // of the verifier's clock that what was signed may be
)

// Of storing (chord): records that a holder lacks, brought by the nodes of one
// person.
const (
	StoreRate     = 2    // of one name, a second; limits.store_rate
	StoreBurst    = 20   // and at once; limits.store_burst
	HandoverRate  = 200  // of all names, a second
	HandoverBurst = 4096 // and at once: what one round of a holder's repair may bring
)

// RingBytes is what keeping the ring together may cost a node, in bytes a second;
// limits.ring_bytes. The upkeep that no table can do without is more than that
// where half of all members are gone every 84 s; with this budget for the rest it
// stays below 900 with the look-ups of a thousand such members.
const RingBytes = 440

// Memory is what a node's heap and stacks stay below whatever flood it is under,
// in bytes.
const Memory = 128 << 20
