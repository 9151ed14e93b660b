package link

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// EnrolConn is a newcomer's connection to a bootstrap server, from a socket of
// its own. The server has shown the root certificate that the newcomer was told
// to expect, and below it a certificate that makes it a bootstrap server.
type EnrolConn struct {
	qc      *quic.Conn
	root    []byte
	release func()
	once    sync.Once
}

// DialEnrol connects to the bootstrap server at addr, "host:port". fingerprint
// is SHA-256 of the overlay's root certificate in DER. socket opens a UDP socket,
// as Config.Socket does; nil is the system's. The times in the certificates are not
// checked: the newcomer's clock may not be set yet. Errors: ErrUnreachable, ErrWrongRoot, ErrNotBootstrap, those of
// identity.Trust.VerifyNode, or ctx's.
func DialEnrol(ctx context.Context, addr string, fingerprint [32]byte, socket func(at netip.AddrPort) (net.PacketConn, error)) (*EnrolConn, error) {
	if socket == nil {
		socket = listenUDP
	}
	addrs, err := resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	dialer := &enrolDialer{fingerprint: fingerprint, socket: socket, transports: make(map[bool]*quic.Transport)}
	qc, err := race(ctx, waysOf(addrs, dialer.dial))
	if err != nil {
		dialer.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	chain := rawChain(qc.ConnectionState().TLS)
	return &EnrolConn{qc: qc, root: chain[len(chain)-1], release: dialer.close}, nil
}

// Call sends one request and returns the answer; errors as Conn.Call's.
func (c *EnrolConn) Call(ctx context.Context, req wire.Message) (wire.Message, error) {
	return roundTrip(ctx, c.qc, new(buffers), enrolTime, req)
}

// RootDER returns the overlay's root certificate, which has the fingerprint.
func (c *EnrolConn) RootDER() []byte { return c.root }

// Exporter returns 32 bytes that only the two ends of this connection know: the
// same as the server's EnrolPeer.Exporter.
func (c *EnrolConn) Exporter() ([32]byte, error) {
	return export(c.qc.ConnectionState().TLS, exporterEnrol)
}

// RemoteAddr returns the server's address.
func (c *EnrolConn) RemoteAddr() netip.AddrPort { return addrPort(c.qc.RemoteAddr()) }

// LocalAddr returns the address from which this host reaches the server, and the
// port of this connection only.
func (c *EnrolConn) LocalAddr() netip.AddrPort {
	local := addrPort(c.qc.LocalAddr())
	if a, err := sourceFor(c.RemoteAddr()); err == nil {
		return netip.AddrPortFrom(a, local.Port())
	}
	return local
}

// Close ends the connection and its socket.
func (c *EnrolConn) Close() error {
	c.once.Do(func() {
		_ = c.qc.CloseWithError(CloseDone, "done")
		c.release()
	})
	return nil
}

// resolve returns the addresses of "host:port".
func resolve(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is not host:port", ErrConfig, addr)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%w: %q has no port", ErrConfig, addr)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	addrs := make([]netip.AddrPort, 0, wire.MaxAddrs)
	for _, ip := range ips[:min(len(ips), wire.MaxAddrs)] {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs, nil
}

// enrolDialer makes one transport for each address family that it needs.
type enrolDialer struct {
	fingerprint [32]byte
	socket      func(at netip.AddrPort) (net.PacketConn, error)

	mu         sync.Mutex
	transports map[bool]*quic.Transport // by: is IPv4
	closed     bool
}

func (d *enrolDialer) dial(ctx context.Context, a netip.AddrPort) (*quic.Conn, error) {
	tr, err := d.transport(a.Addr().Is4())
	if err != nil {
		return nil, err
	}
	c := baseTLS(alpnEnrol)
	c.InsecureSkipVerify = true // verifyBootstrap takes its place
	c.VerifyConnection = func(cs tls.ConnectionState) error { return verifyBootstrap(cs, d.fingerprint) }
	return tr.Dial(ctx, net.UDPAddrFromAddrPort(a), c, &quic.Config{
		HandshakeIdleTimeout:  limits.Handshake / 2, // quic-go gives the whole handshake twice that: not more than the server
		MaxIdleTimeout:        enrolTime,
		MaxIncomingStreams:    -1,
		MaxIncomingUniStreams: -1,
	})
}

func (d *enrolDialer) transport(is4 bool) (*quic.Transport, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	if tr, ok := d.transports[is4]; ok {
		return tr, nil
	}
	every := netip.IPv6Unspecified()
	if is4 {
		every = netip.IPv4Unspecified()
	}
	sock, err := d.socket(netip.AddrPortFrom(every, 0))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	tr := &quic.Transport{Conn: sock}
	d.transports[is4] = tr
	return tr, nil
}

func (d *enrolDialer) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, tr := range d.transports {
		_ = tr.Close()
		_ = tr.Conn.Close()
	}
}

// verifyBootstrap checks that the chain ends in the root with this fingerprint
// and begins with a bootstrap server's certificate: a member's own certificate
// comes from the same root, but a member must not enrol anybody.
func verifyBootstrap(cs tls.ConnectionState, fingerprint [32]byte) error {
	chain := rawChain(cs)
	if len(chain) != 3 {
		return fmt.Errorf("%w: it shows %d certificates", ErrWrongRoot, len(chain))
	}
	root := sha256.Sum256(chain[2])
	if subtle.ConstantTimeCompare(root[:], fingerprint[:]) != 1 {
		return ErrWrongRoot
	}
	trust, err := trustRoot(cs.PeerCertificates[2])
	if err != nil {
		return err
	}
	node, err := trust.VerifyNode(chain, time.Time{})
	if err != nil {
		return err
	}
	if !node.Bootstrap {
		return ErrNotBootstrap
	}
	return nil
}

// trustRoot makes a trust anchor of a root certificate whose fingerprint has
// been checked. The real charter is not known yet; none of its rules matters
// here.
func trustRoot(root *x509.Certificate) (*identity.Trust, error) {
	key, ok := root.PublicKey.(ed25519.PublicKey)
	if !ok || len(root.URIs) != 1 {
		return nil, errors.New("link: not a root certificate")
	}
	name := root.URIs[0].String()
	overlay := name[strings.LastIndexByte(name, ':')+1:]
	return identity.NewTrust(root.Raw, identity.DefaultCharter(overlay, identity.PublicKey(key), time.Unix(1, 0)))
}
