package sipbridge

import "errors"

// The errors of this package; what New and Run return wraps one of them.
var (
	// ErrConfig: the configuration cannot work; the text says what to change.
	ErrConfig = errors.New("SIP configuration")
	// ErrPortInUse: another program has the port.
	ErrPortInUse = errors.New("SIP port in use")
	// ErrListen: an address cannot be listened on, for another reason.
	ErrListen = errors.New("cannot listen for SIP")
	// ErrNoWay: there is no way to the phone, or none any more.
	ErrNoWay = errors.New("no way to the phone")
	// errNoSocket: nobody on this host has the socket a message came from.
	errNoSocket = errors.New("no such socket")
	// ErrClosed: the front has ended.
	ErrClosed = errors.New("SIP front has ended")
)

// The reasons that Config.Refused gets.
const (
	RefusedNotSIP       = "not_sip"         // a datagram that is something else
	RefusedOversize     = "oversize"        // a message on a stream that is larger than MaxMessage, answered 513
	RefusedStranger     = "stranger"        // from an address that may not talk to us
	RefusedUnanswerable = "unanswerable"    // no Via that says whom to answer
	RefusedMalformed    = "malformed"       // answered 400, 404, 484 or 505
	RefusedUnsupported  = "unsupported"     // answered 405, 416, 420 or 489
	RefusedHops         = "hops"            // answered 482 or 483
	RefusedForeignHost  = "foreign_host"    // a Request-URI for somebody else
	RefusedAccount      = "account"         // the hub does not know the caller or registrant
	RefusedOwner        = "other_user"      // on this host, and the name belongs to another user of it
	RefusedCredentials  = "credentials"     // digest missing, wrong, stale or replayed
	RefusedGuessing     = "guessing"        // too many wrong passwords from one address
	RefusedPace         = "call_rate"       // too many calls or texts from one name to one other
	RefusedOverload     = "overload"        // too many requests in progress
	RefusedConnections  = "connections"     // too many TCP connections
	RefusedIdle         = "idle_connection" // a TCP connection that sent nothing for long
	RefusedOrder        = "out_of_order"    // a REGISTER older than the last
	RefusedBindings     = "bindings"        // too many phones of one account
	RefusedTarget       = "target"          // a call target used up, expired or unknown
	RefusedHub          = "hub"             // the hub refused the call, message or registration
	RefusedNoDialog     = "no_dialog"       // in-dialog request without a call
	RefusedResponse     = "stray_response"  // a response that nobody waits for
	RefusedContact      = "bad_contact"     // a contact from another adapter that cannot be handed out
)
