package admin

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// The methods about other people's keys; they exist on an adapter.
const (
	MethodAccept = "accept" // AcceptRequest → AcceptResult
	MethodVerify = "verify" // VerifyRequest → VerifyResult
)

// ChangedKey is a key that is not the one of earlier calls.
type ChangedKey struct {
	AOR            string     `json:"aor"`
	Old            string     `json:"old"` // account keys, text form
	New            string     `json:"new"`
	OldFingerprint string     `json:"old_fingerprint"`
	NewFingerprint string     `json:"new_fingerprint"`
	OldVersion     uint32     `json:"old_version"`
	NewVersion     uint32     `json:"new_version"`
	First          time.Time  `json:"first"` // when the new key was met
	Last           time.Time  `json:"last"`
	Times          uint64     `json:"times"`
	Seen           []Sighting `json:"seen,omitempty"`    // who said so the first time
	Settled        string     `json:"settled,omitempty"` // how it ended; calls are refused while this is empty
	SettledAt      time.Time  `json:"settled_at,omitzero"`
}

// Sighting is a holder whose record spoke for a key.
type Sighting struct {
	Kind  string          `json:"kind"`        // registration, account, share
	X     int             `json:"x,omitempty"` // of a share
	Node  identity.NodeID `json:"node"`
	Owner string          `json:"owner"` // owner tag
}

// AcceptRequest is a person's decision on a changed key. Without a fingerprint
// it only asks what has changed; with the new key's, that key counts from now on.
type AcceptRequest struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// AcceptResult is the change that was asked for.
type AcceptResult struct {
	ChangedKey
	Accepted bool `json:"accepted"`
}

// VerifyRequest asks for the number that two people compare. With Same it
// notes that they have, if Number is the one.
type VerifyRequest struct {
	Name   string `json:"name"`
	As     string `json:"as,omitempty"`     // which of the accounts here; needed where there are several
	Number string `json:"number,omitempty"` // as the other side reads it
	Same   bool   `json:"same,omitempty"`
}

// VerifyResult is the number and what is known of the key.
type VerifyResult struct {
	AOR         string    `json:"aor"`
	Own         string    `json:"own"`    // the account here
	Number      string    `json:"number"` // twelve groups of five digits
	Fingerprint string    `json:"fingerprint"`
	KeyVersion  uint32    `json:"key_version"`
	Compared    time.Time `json:"compared,omitzero"` // when two people have; zero: not yet
}
