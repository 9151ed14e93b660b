package directory

import (
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// Resolution is a name turned into a verified key and the devices that answer
// for it. It is shared between callers and not to be changed. Beside an error
// only AOR, Alias and Evidence are set, and with ErrNotRegistered also Key,
// Version and Account, if its account certificate could be had.
type Resolution struct {
	AOR     identity.AOR                 `json:"aor"`
	Alias   identity.AOR                 `json:"alias,omitzero"` // the number that was asked for
	Key     identity.PublicKey           `json:"key,omitzero"`
	Version uint32                       `json:"version,omitempty"` // of the key
	Account *identity.AccountCertificate `json:"-"`
	Devices []Device                     `json:"devices,omitempty"` // by part; none twice

	Evidence Evidence `json:"evidence"`
	Cached   bool     `json:"cached"`
}

// Device is a live registration: a device to which the account has delegated.
type Device struct {
	Part       uint64              `json:"part"`
	Node       identity.NodeID     `json:"node"`
	Addrs      []netip.AddrPort    `json:"addrs"`
	Key        identity.PublicKey  `json:"key"`
	Delegation identity.Delegation `json:"-"`
	Expires    time.Time           `json:"expires"`
	Features   []string            `json:"features,omitempty"`
	Via        []record.Via        `json:"via,omitempty"` // of a client: who passes sealed packets on to it
	Seq        uint64              `json:"seq"`
	Seen       time.Time           `json:"seen"` // when it last said that it is there
}

// Evidence says what a resolution rests on. Its JSON names holders by Node-ID
// and owner tag, and people only in a conflict.
type Evidence struct {
	K              int                `json:"k"`
	N              int                `json:"n"`
	Asked          []Asked            `json:"asked"`            // in the order of asking
	Shares         []ShareUse         `json:"shares,omitempty"` // that the key was made of, k of them
	Bad            []Bad              `json:"bad,omitempty"`    // answers refused
	DistinctOwners int                `json:"distinct_owners"`  // of Shares, caller and callee not counted
	SmallRing      bool               `json:"small_ring"`       // the ring cannot offer k of them
	Note           string             `json:"note,omitempty"`
	Dealing        uint64             `json:"dealing,omitempty"`
	Pin            string             `json:"pin,omitempty"` // "first use", "matches", "follows", "changed"
	Conflict       *keyshare.Conflict `json:"conflict,omitempty"`
	ElapsedMS      float64            `json:"elapsed_ms"`
}

// Asked is one position that was asked.
type Asked struct {
	Kind     string          `json:"kind"`     // "registration", "account", "share", "number"
	Replica  int             `json:"replica"`  // from 0; share x lies at x−1
	Position identity.NodeID `json:"position"` // on the ring
	Holder   *Holder         `json:"holder,omitempty"`
	Outcome  string          `json:"outcome"`
	RTTMS    float64         `json:"rtt_ms,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// The outcomes of asking a position.
const (
	OutcomePending        = "pending"         // no answer yet when the resolution ended
	OutcomeFound          = "found"           // a valid record
	OutcomeAbsent         = "absent"          // the responsible node has none
	OutcomeGone           = "gone"            // deleted by its owner, or expired
	OutcomeSealed         = "sealed"          // a registration that is for others to read
	OutcomeRefused        = "refused"         // records, but none that counts
	OutcomeNotResponsible = "not_responsible" // the answer proves nothing
	OutcomeFailed         = "failed"          // no answer
)

// ShareUse is one share that the key was made of.
type ShareUse struct {
	X      uint8  `json:"x"`
	Holder Holder `json:"holder"`
}

// Bad is an answer that was refused, and why.
type Bad struct {
	Kind   string `json:"kind"`
	X      uint8  `json:"x,omitempty"` // of a share
	Holder Holder `json:"holder"`
	Reason string `json:"reason"`
}

// The notes of Evidence.
const (
	noteSmallRing = "small ring: trust rests on certificate and pin"
	noteFewOwners = "fewer than k of the shares came from people other than caller and callee"
)

// The words of Evidence.Pin.
const (
	pinFirst   = "first use"
	pinMatches = "matches"
	pinFollows = "follows" // the key before has signed that this one follows it
	pinChanged = "changed"
)

func millis(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
