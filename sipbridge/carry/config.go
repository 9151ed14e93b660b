package carry

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/internal/media/relay"
)

// Config is what an Engine needs. Only Sender must be set.
type Config struct {
	Sender Sender
	// MaxCalls bounds the calls that are carried at once; 0 means 64.
	MaxCalls int
	// RingTimeout is how long phones ring (RFC 3261 §16.6, timer C); 0 means
	// 180 s. SilentTimeout is how long a phone may answer nothing at all,
	// not even 100; 0 means 10 s.
	RingTimeout, SilentTimeout time.Duration
	// Agent names the program in Warning headers; "" means "secp2psip". It
	// must be a token.
	Agent string
	// Name returns whom a user part means that the front has handed out to a
	// phone, and any other as it is; nil means that there are none.
	Name func(user string) string
	// Relay takes the media of protected calls; nil refuses those.
	Relay *relay.Relay
	// Echo answers the media of echo calls; nil refuses them.
	Echo *media.Echo
	// EchoTime ends an echo call; 0 means 10 minutes.
	EchoTime time.Duration
	// OnEvent is told what becomes of each call, in order, from the call's
	// goroutine; it must not block. Nil ignores it.
	OnEvent func(Event)
	// Refused counts what was refused, with one of the Refused… reasons.
	Refused func(reason string)
	// Now is overlay time, for what OnEvent reports; nil means time.Now.
	Now func() time.Time
	Log zerolog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Sender == nil {
		return c, fmt.Errorf("%w: no Sender", ErrConfig)
	}
	if c.MaxCalls < 0 || c.RingTimeout < 0 || c.SilentTimeout < 0 || c.EchoTime < 0 {
		return c, fmt.Errorf("%w: a negative bound", ErrConfig)
	}
	c.MaxCalls = orDefault(c.MaxCalls, 64)
	c.RingTimeout = orDefault(c.RingTimeout, 180*time.Second)
	c.SilentTimeout = orDefault(c.SilentTimeout, 10*time.Second)
	c.EchoTime = orDefault(c.EchoTime, 10*time.Minute)
	c.Agent = orDefault(c.Agent, "secp2psip")
	if c.OnEvent == nil {
		c.OnEvent = func(Event) {}
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// State is how far a call has come.
type State string

// The states, in the order in which a call passes them; any but the first may
// be missing.
const (
	Started  State = "started"
	Ringing  State = "ringing"
	Answered State = "answered"
	Ended    State = "ended"
)

// Paths that Info names.
const (
	PathCarried   = "carried"
	PathProtected = "protected" // media too
	PathEcho      = "echo"
)

// Info describes one call.
type Info struct {
	// ID is this adapter's own name for the call: unique, without meaning.
	ID     string `json:"id"`
	CallID string `json:"call_id"`
	// Signed is the Call-ID that adapters use among each other.
	Signed string `json:"-"`
	// Incoming: the call rings a phone here. Else a phone here makes it.
	Incoming bool         `json:"incoming"`
	Caller   identity.AOR `json:"caller"`
	Callee   identity.AOR `json:"callee"`
	// Path is one of the Path constants.
	Path string `json:"path"`
	// Peer is the other adapter's address, invalid until the tunnel is open.
	Peer  netip.Addr `json:"peer"`
	State State      `json:"state"`
	// Started, Answered and Ended are overlay time; zero if it has not come to
	// that.
	Started  time.Time `json:"started"`
	Answered time.Time `json:"answered,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	// Status is the SIP status that the INVITE got, 0 as long as it has none.
	Status int `json:"status"`
	// Reason says for people why the call ended.
	Reason string `json:"reason,omitempty"`
	// Media are the figures of a protected call, nil until its tunnel is open.
	Media *MediaInfo `json:"media,omitempty"`
	// Left is set from the answer on.
	Left *Left `json:"-"`
}

// Event is a call entering a new State, Info.State.
type Event struct{ Info }
