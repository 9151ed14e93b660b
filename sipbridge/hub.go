package sipbridge

import (
	"context"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// Directory is what the front asks of the rest of the program. Every method
// may be called concurrently, at most MaxPending calls at a time, and its
// context ends when the phone gives up or the front does. An error that is no
// *Refusal becomes a 500.
type Directory interface {
	// Account tells whether user, the user part of a phone's From or To, is an
	// account of this adapter, and returns its canonical AOR. It must answer
	// at once: it runs on the goroutine that reads the socket.
	Account(user string) (identity.AOR, error)
	// Register makes known that the bindings of a local account changed, and
	// returns when that is published; only then does the phone get its 200.
	Register(ctx context.Context, r Registration) error
	// Call resolves and asks the callee's adapter for a call.
	Call(ctx context.Context, c Call) (*Answer, error)
	// Message carries one page-mode MESSAGE (RFC 3428) to another adapter.
	Message(ctx context.Context, m Message) error
}

// Registration is the whole of an account's live bindings, none when the last
// phone has gone.
type Registration struct {
	AOR      identity.AOR `json:"aor"`
	Bindings []Binding    `json:"bindings"`
}

// Binding is one phone of a local account (RFC 3261 §10). The hub may keep
// bindings across a restart and give them back with Bridge.Restore.
type Binding struct {
	// Contact is the URI exactly as the phone registered it: without headers,
	// it is the Request-URI of every request to this phone.
	Contact string `json:"contact"`
	// Params are the Contact's header parameters that responses repeat,
	// beginning with a semicolon, or "".
	Params string `json:"params,omitempty"`
	// Source and Transport ("udp" or "tcp") say where the REGISTER came from.
	Source    netip.AddrPort `json:"source"`
	Transport string         `json:"transport"`
	UserAgent string         `json:"user_agent,omitempty"`
	CallID    string         `json:"call_id"`
	CSeq      uint32         `json:"cseq"`
	// Instance is the +sip.instance value (RFC 5626 §4.1), "" if none.
	Instance string `json:"instance,omitempty"`
	// Q is the preference in thousandths, 0 to 1000; 1000 if not given.
	Q       int       `json:"q"`
	Expires time.Time `json:"expires"`
	// Owner is the id of the user of this host to whom the name belongs, "" if
	// it belongs to nobody.
	Owner string `json:"owner,omitempty"`
	// Direct is a contact URI at which the phone answered an OPTIONS on an
	// address that other hosts reach, "" if there is none; DirectWhy then says
	// why, for people.
	Direct    string `json:"direct,omitempty"`
	DirectWhy string `json:"direct_why,omitempty"`
}

// Call paths (Call.Paths, Answer.Path, Inbound.Paths, Config.Path).
const (
	PathDirect    = "direct"    // the phones talk to each other, after a 302
	PathCarried   = "carried"   // the adapters carry the signalling over their link
	PathProtected = "protected" // they carry the media too
)

// Call is a phone's wish to call somebody.
type Call struct {
	Caller identity.AOR
	// Target is the user part as dialled, unescaped: "bob", "101"; of
	// sip:bob@…;key=KEY it is "bob*KEY", as if that had been dialled. The front
	// has not looked at its form.
	Target string
	// TargetHost is the host as dialled: the overlay's name or one of ours.
	TargetHost string
	CallID     string
	// Paths are those that this phone can follow, in the order configured.
	Paths []string
}

// Answer says how a call goes on.
type Answer struct {
	Callee identity.AOR
	Path   string // the one chosen, by the device that answered first
	// Contact is the callee phone's URI, for PathDirect.
	Contact string
	// Open opens the tunnels to the callee's adapters, one for each device that
	// shall ring, for PathCarried and PathProtected. With PathDirect they serve a
	// phone that brings the redirected INVITE back to us, which is then carried;
	// none refuses that. They may be called again when the phone repeats its
	// attempt with credentials, for as long as Expires allows.
	Open []carry.Opener
	// Expires ends the answer's validity; zero means a minute from now. The
	// front never keeps it longer than a minute.
	Expires time.Time
}

// carriedPath is the path of a call that goes through Open.
func (a *Answer) carriedPath() string {
	if a.Path == PathProtected {
		return PathProtected
	}
	return PathCarried
}

// Message is a page-mode text (RFC 3428), in either direction.
type Message struct {
	From identity.AOR
	// To is the receiver, on the way in. On the way out it is zero and Target
	// is the user part as dialled.
	To          identity.AOR
	Target      string
	ContentType string
	Body        []byte
	CallID      string
}

// Inbound is a verified INVITE from another adapter.
type Inbound struct {
	Caller, Callee identity.AOR
	CallID         string
	// LocalIP is our address towards the caller's adapter, RemoteIP theirs.
	LocalIP, RemoteIP netip.Addr
	// Paths are those that the caller accepts, in its order; empty means all.
	Paths []string
	// Path is the one chosen, for Ring: PathCarried, if empty, or PathProtected.
	Path string
}

// Offer says which paths the callee's phone allows.
type Offer struct {
	// Direct is the contact to put into the 302, "" if the phone cannot be
	// reached directly; Why then says so for people.
	Direct string
	Why    string
	// Carried and Protected tell whether this adapter would carry the call, and
	// its media.
	Carried, Protected bool
}

// Refusal is a final answer to a phone instead of a call. It is an error.
type Refusal = carry.Refusal
