package carry

import "errors"

var (
	// ErrMalformed: the bytes are not a SIP message or not a frame.
	ErrMalformed = errors.New("malformed")
	// ErrBusy: as many calls as the engine takes are being carried.
	ErrBusy = errors.New("too many calls")
	// ErrNotRunning: the engine is ending or has ended.
	ErrNotRunning = errors.New("not running")
	// ErrConfig: a Config that New cannot use.
	ErrConfig = errors.New("bad configuration")

	errTunnelLost = errors.New("the connection to the other side was lost")
	errEnded      = errors.New("the call is over")
)

// The reasons that Config.Refused is called with.
const (
	RefusedBusy        = "carry_busy"          // more calls than MaxCalls
	RefusedFrame       = "carry_frame"         // a frame that is none, or whose message is malformed
	RefusedOtherCall   = "carry_other_call"    // wrong Call-ID, tags or CSeq for this tunnel
	RefusedTransaction = "carry_transaction"   // an answer nobody waits for, a number used twice
	RefusedMethod      = "carry_method"        // a method that is not carried
	RefusedTooMany     = "carry_too_many"      // transactions or dialogs beyond the call's bound
	RefusedSDP         = "carry_sdp"           // a malformed session description
	RefusedHidden      = "carry_sdp_hidden"    // a session description with a second address where none is looked for
	RefusedLoopback    = "carry_sdp_loopback"  // a session description that aims a phone at its own host
	RefusedMedia       = "carry_media"         // a description or a kind of body that the call's path cannot carry
	RefusedTarget      = "carry_target"        // a redirection or transfer out of the overlay
	RefusedOverrun     = "carry_overrun"       // messages of one phone beyond what the call takes in
	RefusedSecondCall  = "carry_second_answer" // an answer by a second phone after one was accepted
	RefusedRevoked     = "carry_revoked"       // an answer by a device that was revoked while it rang
	RefusedMessage     = "carry_message"       // a message of a phone that does not parse
)
