package carry

import (
	"context"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Tunnel is one ordered, reliable, bidirectional stream of frames between the
// two adapters of one carried call. The link implements it; the front hands
// it in through Call.Open and Ring. The engine calls Send from one goroutine
// and Recv from another, and Close once or more when the call is over.
type Tunnel interface {
	// Send delivers one frame of 1 to MaxFrame bytes, in order.
	Send(ctx context.Context, frame []byte) error
	// Recv returns the next frame; any error means that the tunnel is gone. A
	// *Refusal in its chain says why.
	Recv(ctx context.Context) ([]byte, error)
	// Close ends both directions. Frames sent before it are still delivered.
	Close() error
	// LocalIP is this host's address on the way to the other adapter: what a
	// loopback address in a phone's SDP is replaced with.
	LocalIP() netip.Addr
	// RemoteIP is the other adapter's address on that way.
	RemoteIP() netip.Addr
}

// Standing is a Tunnel whose other end may lose its right to the call while it
// rings.
type Standing interface {
	// Stands tells whether that device still speaks for the callee. It is asked
	// when the device is picked up, and must answer at once.
	Stands() bool
}

// Flow is one way between the adapter and a phone. Flows are comparable.
type Flow struct {
	// Transport is "udp" or "tcp", in lower case.
	Transport string
	// Remote is the phone: the source of what came from it, or where to send.
	Remote netip.AddrPort
	// Local is the address at which this phone reaches the adapter's listener
	// of that transport: never unspecified, and for TCP the listener's port.
	// It goes into Via, Record-Route and Contact towards this phone.
	Local netip.AddrPort
}

// Sender is what the engine needs from the front: it writes one whole SIP
// message to a phone, without a transaction, unchanged. Over TCP it uses the
// open connection whose remote address is to.Remote, else it dials that
// address. UDP messages may be up to 64 KiB. It must not call back into the
// Engine, and must return soon: a TCP dial or write is bounded by ctx.
type Sender interface {
	Send(ctx context.Context, to Flow, msg []byte) error
}

// Call is a phone's INVITE that the front hands over to be carried.
type Call struct {
	// From is where the INVITE came from.
	From Flow
	// Invite is the whole INVITE, as received: Via, Route and all. The front
	// has validated it, resolved the callee and let the caller through. It
	// may have answered 100 already, and nothing else.
	Invite []byte
	// Caller and Callee are the verified, canonical names.
	Caller, Callee identity.AOR
	// CallID is the Call-ID that the signed exchange with the callee's adapter
	// named. Empty means that of Invite; it differs where a phone chose a new
	// one to follow a redirection.
	CallID string
	// Path is PathCarried or PathProtected; empty means the former. The tunnel of
	// a protected call must be a MediaTunnel.
	Path string
	// Open has an Opener for each of the callee's adapters that shall ring, the
	// first one at least. The first MaxBranches of them are called, once each and
	// all at once. The call goes on with the one whose phone answers first.
	Open []Opener
}

// Opener opens the tunnel to one adapter and says on which path, "" being that
// of the Call. A *Refusal in the error's chain becomes that adapter's answer; any
// other error is one of 480 with a Warning.
type Opener func(ctx context.Context) (t Tunnel, path string, err error)

// Target is one registered phone of a callee.
type Target struct {
	// URI is the Request-URI, exactly as the phone registered it.
	URI string
	// Flow is how the phone is reached.
	Flow Flow
}

// Ring is a carried call that came in from another adapter.
type Ring struct {
	// Caller and Callee are the names that the signed exchange verified; what
	// the tunnel itself says about them is ignored.
	Caller, Callee identity.AOR
	// CallID is the Call-ID of the signed exchange; an INVITE with another one
	// is refused.
	CallID string
	// Path is as in Call.
	Path string
	// Targets are the callee's live phones, at most MaxTargets are rung.
	Targets []Target
}

// Refusal is a final answer to a phone instead of a call.
type Refusal struct {
	Code       int           // 300 to 699
	Reason     string        // the reason phrase
	Warning    string        // text of a Warning header (RFC 3261 §20.43, code 399), "" for none
	RetryAfter time.Duration // Retry-After, rounded up to seconds; 0 for none
}

// Error makes a Refusal an error.
func (r *Refusal) Error() string {
	if r.Warning != "" {
		return r.Reason + ": " + r.Warning
	}
	return r.Reason
}

// The engine's side of the seam, called by the front:
//
//	Handle(from, msg)  for every SIP message from a phone, request or response,
//	                   before anything else is done with it. True: the message
//	                   belonged to a carried call or to an echo call and is
//	                   consumed. False: it is the front's own affair; a
//	                   response for which it is false belongs to nobody here.
//	                   It never blocks and keeps no part of msg.
//	Carry(call)        takes an INVITE over. Nil: from now on the engine answers
//	                   it, its retransmissions, its CANCEL and its ACK. A
//	                   *Refusal: the front keeps it and answers so.
//	Echo(from, invite) the same for a call to the echo test.
//	Ring(ctx, r, t)    rings the callee's phones for a call that came in over t
//	                   and returns when that call is over and t is closed.
//
// Matching: requests by the transaction they repeat, acknowledge or cancel
// (top Via branch, sent-by and source), or, with a To tag, by Call-ID and
// tags; responses by the branch of the engine's own Via. So an INVITE without
// a To tag that the engine has not been given is always the front's, also
// when its Call-ID is that of a call that is being carried.
