package link

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// The labels of the TLS exporters (RFC 8446 §7.5), without a context.
const (
	exporterCall  = "EXPORTER-secp2psip-call"
	exporterEnrol = "EXPORTER-secp2psip-enrol"
)

// Conn is an authenticated connection to one node. Safe for concurrent use.
type Conn struct {
	link    *Link
	qc      *quic.Conn
	cert    *identity.NodeCertificate
	chain   [][]byte
	own     *credentials // that this node showed
	next    atomic.Pointer[Conn]
	inbound bool
	dialled netip.AddrPort // where this node dialled; zero if it did not, or through a peer
	relayed bool           // a peer passes the packets on
	doubt   atomic.Pointer[string]
	via     identity.NodeID // that peer
	since   time.Time
	born    int64 // order of making

	used  atomic.Int64 // when it was last used, in ns since the link's origin
	busy  atomic.Int64 // requests and long streams under way, both directions
	longs atomic.Int64 // long streams that the other side opened

	credits credits

	outbox  outbox
	largest atomic.Int64 // datagram that is known to pass, in bytes

	source   atomic.Pointer[netip.AddrPort]
	path     atomic.Pointer[quic.Path] // that it was moved to last
	heard    atomic.Int64              // when something came last, in ns since the link's origin
	pulse    chan struct{}             // holds a token while nobody asks for a sign of life
	exporter func() ([32]byte, error)
}

func (l *Link) newConn(qc *quic.Conn, own *credentials, inbound bool) (*Conn, error) {
	cs := qc.ConnectionState().TLS
	cert, err := l.verify(cs)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		link: l, qc: qc, cert: cert, chain: rawChain(cs), own: own, inbound: inbound,
		since: l.cfg.Now(), born: l.births.Add(1),
	}
	if a, ok := qc.RemoteAddr().(relayAddr); ok {
		c.relayed, c.via = true, a.via
	}
	if !inbound {
		c.dialled = addrPort(qc.RemoteAddr())
	}
	c.outbox.most, c.outbox.wake = l.cfg.Limits.DatagramsQueue, make(chan struct{}, 1)
	c.pulse = make(chan struct{}, 1)
	c.pulse <- struct{}{}
	c.hear()
	c.exporter = sync.OnceValues(func() ([32]byte, error) { return export(cs, exporterCall) })
	c.touch()
	if w, ok := qc.QlogTrace().(*watch); ok {
		w.tell(func(reason string) { l.doubted(c, reason) })
	}
	return c, nil
}

// ID returns the other node's Node-ID, as its certificate says.
func (c *Conn) ID() identity.NodeID { return c.cert.ID }

// Owner returns the tag of the person that the other node belongs to.
func (c *Conn) Owner() identity.OwnerTag { return c.cert.Owner }

// Bootstrap tells whether the other node is a bootstrap server.
func (c *Conn) Bootstrap() bool { return c.cert.Bootstrap }

// Certificate returns the other node's certificate, not to be changed.
func (c *Conn) Certificate() *identity.NodeCertificate { return c.cert }

// Relayed tells whether a peer passes the connection's packets on, sealed.
func (c *Conn) Relayed() bool { return c.relayed }

// Via returns the peer that passes the connection's packets on, the zero ID for
// none.
func (c *Conn) Via() identity.NodeID { return c.via }

// Inbound tells whether the other node opened the connection.
func (c *Conn) Inbound() bool { return c.inbound }

// RemoteAddr returns where the other node is now; the zero value where a peer
// passes the packets on.
func (c *Conn) RemoteAddr() netip.AddrPort {
	if !c.inbound { // quic-go must not be asked while such a connection moves
		return c.dialled
	}
	return addrPort(c.qc.RemoteAddr())
}

// LocalAddr returns this node's address as the other node's host should see it,
// before any address translation: the source address of the route there, and
// the link's port.
func (c *Conn) LocalAddr() netip.AddrPort {
	if a := c.source.Load(); a != nil {
		return *a
	}
	a := c.findSource()
	c.source.Store(&a)
	return a
}

func (c *Conn) findSource() netip.AddrPort {
	if c.relayed {
		if via := c.link.pool.direct(c.via); via != nil {
			return via.LocalAddr()
		}
	}
	port := c.link.bound.Port()
	if a := c.link.bound.Addr(); !a.IsUnspecified() {
		return netip.AddrPortFrom(a, port)
	}
	if c.inbound {
		if a := addrPort(c.qc.LocalAddr()).Addr(); a.IsValid() && !a.IsUnspecified() {
			return netip.AddrPortFrom(a, port)
		}
	}
	a, err := sourceFor(c.RemoteAddr())
	if err != nil {
		return c.link.bound
	}
	return netip.AddrPortFrom(a, port)
}

// Exporter returns 32 bytes that only the two ends of this connection know, the
// same on both and on no other connection (RFC 8446 §7.5).
func (c *Conn) Exporter() ([32]byte, error) { return c.exporter() }

func export(cs tls.ConnectionState, label string) ([32]byte, error) {
	b, err := cs.ExportKeyingMaterial(label, nil, 32)
	if err != nil {
		return [32]byte{}, fmt.Errorf("link: TLS exporter: %w", err)
	}
	return [32]byte(b), nil
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.qc.Context().Done() }

// RTT returns the smoothed round-trip time, 0 where it is not known yet.
func (c *Conn) RTT() time.Duration { return c.qc.ConnectionStats().SmoothedRTT }

func (c *Conn) alive() bool { return c.qc.Context().Err() == nil }

func (c *Conn) touch() { c.used.Store(int64(time.Since(c.link.origin))) }

// unused returns for how long the connection has carried nothing.
func (c *Conn) unused() time.Duration {
	return time.Since(c.link.origin) - time.Duration(c.used.Load())
}

// begin marks a request or stream; the function that it returns ends it.
func (c *Conn) begin() (end func()) {
	c.busy.Add(1)
	c.touch()
	return func() {
		c.touch()
		c.busy.Add(-1)
	}
}

func (c *Conn) close(code quic.ApplicationErrorCode, why string) {
	_ = c.qc.CloseWithError(code, why)
}

// PeerInfo tells about one connection, for people.
type PeerInfo struct {
	ID        identity.NodeID
	Owner     identity.OwnerTag
	Bootstrap bool
	Addr      netip.AddrPort
	Inbound   bool
	Via       identity.NodeID // the peer that passes the packets on; zero = none
	Since     time.Time       // overlay time
	RTT       time.Duration   // smoothed
	Busy      int             // requests and long streams under way
}

// Peers returns the connections there are, ordered by Node-ID.
func (l *Link) Peers() []PeerInfo {
	conns := l.pool.all()
	out := make([]PeerInfo, 0, len(conns))
	for _, c := range conns {
		out = append(out, PeerInfo{
			ID: c.ID(), Owner: c.Owner(), Bootstrap: c.Bootstrap(), Addr: c.RemoteAddr(),
			Inbound: c.inbound, Via: c.via, Since: c.since, RTT: c.RTT(), Busy: int(c.busy.Load()),
		})
	}
	return out
}

// Drop closes every connection for which match returns true, and returns how
// many there were.
func (l *Link) Drop(match func(*Conn) bool) int {
	n := 0
	for _, c := range l.pool.all() {
		if match(c) {
			c.close(CloseDropped, "dropped")
			n++
		}
	}
	return n
}
