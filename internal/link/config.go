package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/rs/zerolog"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Handler serves the nodes that are connected. Both methods are called from
// many goroutines at once.
type Handler interface {
	// Serve answers one request; nil means that nobody serves it. ctx ends with
	// Limits.RequestTime, with the connection, or when the other side gives up.
	Serve(ctx context.Context, from *Conn, req wire.Message) wire.Message
	// ServeStream serves a long stream, which is closed when it returns. ctx
	// ends with the connection; that the other side has closed the stream, Recv
	// tells, after its last frame.
	ServeStream(ctx context.Context, from *Conn, open wire.Message, s *Stream)
}

// EnrolHandler serves peers that have no certificate yet. Only EnrolStart,
// Register, GetCharter, GetTime and Ping reach it.
type EnrolHandler interface {
	ServeEnrol(ctx context.Context, from EnrolPeer, req wire.Message) wire.Message
}

// EnrolPeer is a peer without a certificate.
type EnrolPeer struct {
	Addr     netip.AddrPort // validated: it has answered from there
	Exporter [32]byte       // TLS exporter of the connection, unique to it
}

// Config is what a Link needs. Key, Chain, Trust and Handler are required.
type Config struct {
	Listen      netip.AddrPort      // zero address: every interface, both families; port 0: any
	Key         identity.PrivateKey // the node key
	Chain       [][]byte            // node certificate and issuer certificate, DER
	Trust       *identity.Trust
	Now         func() time.Time // overlay time; nil = time.Now
	ClockSynced func() bool      // until it says true, certificates' times are not checked; nil = always
	Handler     Handler
	Enrol       EnrolHandler // nil: strangers are not served
	Limits      Limits
	PassOn      func(to identity.NodeID) bool // whose sealed packets this node passes on: its clients'; nil = nobody's
	Across      Across                        // between nodes that have no address family in common; nil = nothing is passed on
	// Socket opens a UDP socket: the link's own, and with port 0 the one of a
	// Probe. nil = the system's; tests put address translators in between.
	Socket  func(at netip.AddrPort) (net.PacketConn, error)
	Log     zerolog.Logger
	Refused func(reason string) // counts refusals; nil = ignore
}

// Across says what goes through members that have both families, IPv4 and IPv6,
// between nodes that have one each. Its methods may be called concurrently and
// must return at once.
type Across interface {
	// Through names the peers that this node is attached to if it can reach the
	// other one only through them, which is of use where the caller names none.
	Through(to wire.Peer) []wire.Peer
	// Passes returns a member to which this node passes a client's packets,
	// because the client has no address of a family of that member's.
	Passes(client identity.NodeID, seen netip.Addr, to identity.NodeID) (member wire.Peer, ok bool)
	// Hears tells whether this node takes packets that a member passes on although
	// it is not attached to that one.
	Hears(from identity.NodeID) bool
}

// apart passes nothing.
type apart struct{}

func (apart) Through(wire.Peer) []wire.Peer { return nil }
func (apart) Passes(identity.NodeID, netip.Addr, identity.NodeID) (wire.Peer, bool) {
	return wire.Peer{}, false
}
func (apart) Hears(identity.NodeID) bool { return false }

func (c *Config) complete() error {
	switch {
	case c.Trust == nil:
		return fmt.Errorf("%w: no trust anchor", ErrConfig)
	case c.Handler == nil:
		return fmt.Errorf("%w: no handler", ErrConfig)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ClockSynced == nil {
		c.ClockSynced = func() bool { return true }
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.PassOn == nil {
		c.PassOn = func(identity.NodeID) bool { return false }
	}
	if c.Across == nil {
		c.Across = apart{}
	}
	if c.Socket == nil {
		c.Socket = listenUDP
	}
	c.Limits = c.Limits.withDefaults()
	return nil
}
