package admin

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// The methods. Status, lookup and doctor exist on every daemon; the others on
// the bootstrap server.
const (
	MethodStatus = "status" // null → Status
	MethodLookup = "lookup" // LookupRequest → LookupResult
	MethodDoctor = "doctor" // null → DoctorReport
	MethodInvite = "invite" // InviteRequest → InviteResult
	MethodPeople = "people" // null → People
	MethodBackup = "backup" // BackupRequest → a Stream: the backup file
	MethodRoot   = "root"   // RootRequest → RootResult

	MethodVisible = "visible" // adapter: VisibleRequest → Visible
	MethodCallers = "callers" // adapter: CallersRequest → Callers
	MethodCalls   = "calls"   // adapter: null → a Stream: a CallRecord in JSON a line, oldest first

	MethodDevices     = "devices"     // DevicesRequest → Devices; on every daemon
	MethodRevoke      = "revoke"      // RevokeRequest → RevokeResult; on an adapter for its own names
	MethodBulletins   = "bulletins"   // null → Bulletins; on every daemon
	MethodRecover     = "recover"     // RecoverRequest → InviteResult
	MethodObject      = "object"      // ObjectRequest → null; on adapters
	MethodInvitations = "invitations" // null → Invitations
	MethodUninvite    = "uninvite"    // UninviteRequest → UninviteResult
)

// LookupRequest asks the ring for a name or number: "bob", "101",
// "bob@lan.example" or "sip:bob@lan.example".
type LookupRequest struct {
	Name  string `json:"name"`
	Fresh bool   `json:"fresh"` // pass by every cache
}

// Outcomes of a look-up.
const (
	OutcomeVerified      = "verified"          // key rebuilt, and at least one live device
	OutcomeNotRegistered = "not_registered"    // key rebuilt; no device is registered now
	OutcomeNotFound      = "not_found"         // absence proved
	OutcomeTimeout       = "timeout"           // too few answers in time
	OutcomeTooFewShares  = "not_enough_shares" // fewer than k valid shares
	OutcomeKeyConflict   = "key_conflict"      // two signed keys for one name
	OutcomeOtherKey      = "other_key"         // another key than the one in the address
	OutcomeKeyChanged    = "key_changed"       // another key than the pinned one
	OutcomeRevoked       = "revoked"           // the name's account is revoked
	OutcomeRingDown      = "ring_down"         // this node reaches no other
)

// LookupResult is a resolution with its evidence, whatever came out.
type LookupResult struct {
	Asked       string    `json:"asked"`
	Outcome     string    `json:"outcome"`           // one of the Outcome constants
	Message     string    `json:"message,omitempty"` // the outcome in a sentence, if not verified
	AOR         string    `json:"aor,omitempty"`
	Number      string    `json:"number,omitempty"` // the number that led to the name
	Key         string    `json:"key,omitempty"`    // account key, text form
	Fingerprint string    `json:"fingerprint,omitempty"`
	KeyVersion  uint32    `json:"key_version,omitempty"`
	URI         string    `json:"uri,omitempty"`                  // the address that certifies itself, for address books
	Dial        string    `json:"dial,omitempty"`                 // the same to dial; of a number in digits only
	Pinned      time.Time `json:"pinned,omitzero"`                // when this key was first seen here
	Compared    time.Time `json:"compared,omitzero"`              // when two people have compared it
	ComparedKey uint32    `json:"compared_key_version,omitempty"` // what they compared; below KeyVersion, if the owner has changed keys since
	Devices     []Device  `json:"devices"`
	Evidence    Evidence  `json:"evidence"`
	Cached      bool      `json:"cached"`
}

// Device is one live device of a person.
type Device struct {
	Part        uint64          `json:"part"`
	Node        identity.NodeID `json:"node"`
	Addrs       []string        `json:"addrs"`
	Fingerprint string          `json:"fingerprint"` // of the device key
	Expires     time.Time       `json:"expires"`
	Features    []string        `json:"features,omitempty"`
}

// Evidence says on what a resolution rests.
type Evidence struct {
	K              int        `json:"k"` // shares that are needed
	N              int        `json:"n"` // shares that exist
	Positions      []Position `json:"positions"`
	SharesUsed     []int      `json:"shares_used"` // their x
	BadShares      []BadShare `json:"bad_shares,omitempty"`
	DistinctOwners int        `json:"distinct_owners"` // whose nodes held the shares used, caller and callee left out
	SmallRing      bool       `json:"small_ring"`      // too few owners: trust rests on certificate and pin
	ElapsedMS      float64    `json:"elapsed_ms"`
}

// Position is one place that was asked.
type Position struct {
	Kind    string          `json:"kind"`  // registration, keyshare, account, number
	Index   int             `json:"index"` // replica 0…m−1
	At      identity.NodeID `json:"at"`
	Holder  identity.NodeID `json:"holder,omitzero"` // who answered
	Owner   string          `json:"owner,omitempty"` // the holder's owner tag
	Outcome string          `json:"outcome"`         // found, absent, timeout, refused, …
	RTTMS   float64         `json:"rtt_ms"`
}

// BadShare is a share that was refused.
type BadShare struct {
	X      int             `json:"x"`
	Holder identity.NodeID `json:"holder"`
	Reason string          `json:"reason"`
}

// Results of a check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn"
	CheckFail = "fail"
)

// Check is one thing that doctor looked at.
type Check struct {
	Name   string `json:"name"`
	Result string `json:"result"` // CheckOK, CheckWarn or CheckFail
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"` // what to do, unless ok
}

// DoctorReport is the answer to MethodDoctor.
type DoctorReport struct {
	Checks []Check `json:"checks"`
}

// InviteRequest asks for an invitation.
type InviteRequest struct {
	User           string `json:"user"`
	Number         string `json:"number,omitempty"`
	Devices        int    `json:"devices"`         // how many may use it, once each
	ExpiresSeconds int64  `json:"expires_seconds"` // from now
}

// InviteResult is an invitation; Link is a secret.
type InviteResult struct {
	Link    string    `json:"link"`
	AOR     string    `json:"aor"`
	Number  string    `json:"number,omitempty"`
	Devices int       `json:"devices"`
	Expires time.Time `json:"expires"`
}

// People is everyone whom a bootstrap server has enrolled, by name.
type People struct {
	People []Person `json:"people"`
}

// Person is one enrolled name.
type Person struct {
	AOR                string    `json:"aor"`
	Number             string    `json:"number,omitempty"`
	Fingerprint        string    `json:"fingerprint"`
	KeyVersion         uint32    `json:"key_version"`
	Devices            int       `json:"devices"`
	Enrolled           time.Time `json:"enrolled"`
	Revoked            time.Time `json:"revoked,omitzero"` // zero unless it is
	CertificateExpires time.Time `json:"certificate_expires"`
}

// BackupRequest asks for the state as one file. The answer is a stream, so
// that the file belongs to who asked and not to the daemon's user.
type BackupRequest struct{}

// RootRequest is about the overlay's root key. Without a field it asks for the
// key's file.
//
// With Forget the daemon removes its own copy, and does so only if Proof shows
// that the caller has one: the lower-case hexadecimal SHA-256 of the file.
//
// With Use, the file of a key that was moved away, the daemon signs what only
// the root key can (the issuing certificate of another year) and keeps no
// copy of it.
//
// With Replace it makes another issuing key and has the present one revoked after
// GraceSeconds, 0 to 2,592,000; with Use, if the root key was moved away.
type RootRequest struct {
	Replace      bool  `json:"replace,omitempty"`
	GraceSeconds int64 `json:"grace_seconds,omitempty"`

	Forget bool   `json:"forget,omitempty"`
	Proof  string `json:"proof,omitempty"`
	Use    []byte `json:"use,omitempty"`
}

// RootResult answers it.
type RootResult struct {
	File          []byte    `json:"file,omitempty"`   // the key's file, if that was asked for
	Fingerprint   string    `json:"fingerprint"`      // SHA-256 of the root certificate, hexadecimal
	Offline       bool      `json:"offline"`          // the daemon has no copy now
	Issuer        string    `json:"issuer,omitempty"` // fingerprint of the issuing key, if it was replaced
	Revokes       time.Time `json:"revokes,omitzero"` // when the one before is revoked
	IssuerExpires time.Time `json:"issuer_expires"`
}
