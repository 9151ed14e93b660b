package admin

import "time"

// DevicesRequest asks for the devices of a name; an adapter knows those of its
// own names, and without a user lists them all. With a Name it gives that to the
// device that is asked; "-" takes it back.
type DevicesRequest struct {
	User string `json:"user,omitempty"`
	Name string `json:"name,omitempty"`
}

// Devices answers it.
type Devices struct {
	Devices []PersonDevice `json:"devices"`
}

// PersonDevice is one device of a person, registered or not.
type PersonDevice struct {
	User        string    `json:"user"`
	Number      int       `json:"number"` // as --device takes it
	Fingerprint string    `json:"fingerprint"`
	Node        string    `json:"node"`
	Admitted    time.Time `json:"admitted,omitzero"`
	Here        bool      `json:"here,omitempty"`    // of an adapter: this one
	Account     bool      `json:"account,omitempty"` // it has, or may have, the account key
	Revoked     bool      `json:"revoked,omitempty"`
	Name        string    `json:"name,omitempty"` // of an adapter's: as the device calls itself
	Seen        time.Time `json:"seen,omitzero"`  // of an adapter's: when it registered last; zero while it is not registered
}

// RevokeRequest revokes a name, or one of its devices if Device is set, or the
// node that the evidence of this name convicts.
type RevokeRequest struct {
	User     string `json:"user"`
	Device   *int   `json:"device,omitempty"`
	Evidence string `json:"evidence,omitempty"`
	Note     string `json:"note,omitempty"`
}

// RevokeResult says what was revoked.
type RevokeResult struct {
	AOR    string `json:"aor"`               // of evidence, all names that were at the node, with commas
	Nodes  int    `json:"nodes"`             // adapters that are put out of the overlay
	Shared int    `json:"shared"`            // adapters that stay, since they serve other names
	Warn   string `json:"warning,omitempty"` // what a person should know
}

// Bulletins are what is revoked or being recovered in the overlay.
type Bulletins struct {
	Bulletins []Bulletin `json:"bulletins"`
}

// Bulletin is one of them, as this node knows it.
type Bulletin struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"`        // digest of the key
	Name    string    `json:"name,omitempty"` // where this daemon knows whose it is
	Issued  time.Time `json:"issued"`
	Until   time.Time `json:"until"`
	Seen    time.Time `json:"seen"`
	Note    string    `json:"note,omitempty"`
	State   string    `json:"state,omitempty"` // of a recovery: waiting, in force, objected
	From    time.Time `json:"from,omitzero"`   // of a recovery: in force from then on
}

// The states of a recovery.
const (
	RecoveryWaiting  = "waiting"
	RecoveryInForce  = "in force"
	RecoveryObjected = "objected"
)

// RecoverRequest asks for an invitation with which a name gets another key.
type RecoverRequest struct {
	User           string `json:"user"`
	ExpiresSeconds int64  `json:"expires_seconds,omitempty"` // of the invitation, from now; 0 = 7 days
}

// ObjectRequest objects to the recovery of a name that this adapter serves.
type ObjectRequest struct {
	User string `json:"user"`
}

// Invitations are those that could be used yet.
type Invitations struct {
	Invitations []Invitation `json:"invitations"`
}

// Invitation is one of them; its secret is known to nobody but the invited.
type Invitation struct {
	ID      string    `json:"id"` // first hexadecimal digits of the secret's hash
	User    string    `json:"user"`
	Number  string    `json:"number,omitempty"`
	Devices int       `json:"devices"`
	Used    int       `json:"used"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	Recover bool      `json:"recover,omitempty"`
}

// UninviteRequest withdraws invitations: all of a name, or the one with that ID.
type UninviteRequest struct {
	What string `json:"what"`
}

// UninviteResult says how many that were.
type UninviteResult struct {
	Withdrawn int `json:"withdrawn"`
}
