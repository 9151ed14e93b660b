package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// LeastProbe is the budget below which a probe sends nothing: QUIC's first
// datagram is never shorter (RFC 9000 §14.1).
const LeastProbe = 1200

// The bounds of one probe.
const (
	// probeUnheard is how many datagrams go to an address that has not
	// answered: the first one and one more in case it was lost.
	probeUnheard = 2
	probeLinger  = time.Second // how long the probed side waits for the end
)

// Probe tells whether the node to answers at the address, with its own
// certificate, to somebody to whom it has never sent anything: it dials from a
// port of its own, so that what the other side's address translator lets in
// because of an existing connection proves nothing. Not more than budget bytes
// are sent, and not more than two datagrams before something comes back.
// Errors: Connect's.
func (l *Link) Probe(ctx context.Context, to *identity.NodeCertificate, at netip.AddrPort, budget int) (sent int, err error) {
	if err := l.await(ctx); err != nil {
		return 0, err
	}
	sock, err := l.cfg.Socket(netip.AddrPortFrom(l.cfg.Listen.Addr(), 0))
	if err != nil {
		return 0, err
	}
	m := &meter{PacketConn: sock, to: at, budget: int64(budget)}
	tr := &quic.Transport{Conn: m, ConnectionIDLength: 8}
	defer func() {
		_ = tr.Close()
		_ = sock.Close()
		sent = int(m.sent.Load())
	}()
	accept := func(got *identity.NodeCertificate) error {
		if got.ID != to.ID || !got.Key.Equal(to.Key) {
			return fmt.Errorf("%w: %s instead of %s", ErrWrongNode, got.ID, to.ID)
		}
		return nil
	}
	limit := l.cfg.Limits.Handshake * 2 / 3
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	qc, err := tr.Dial(ctx, net.UDPAddrFromAddrPort(at), l.probeTLS(accept), probeConfig(limit))
	if err != nil {
		return 0, dialError(err)
	}
	defer qc.CloseWithError(CloseDone, "reached")
	select { // the handshake counts when the other side has taken our certificate
	case <-qc.HandshakeComplete():
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: no answer", ErrUnreachable)
	}
	return 0, nil
}

func probeConfig(limit time.Duration) *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout: limit, MaxIdleTimeout: limit, InitialPacketSize: LeastProbe, DisablePathMTUDiscovery: true,
		MaxIncomingStreams: -1, MaxIncomingUniStreams: -1,
	}
}

// probeTLS is clientTLS for a probe. The classical key exchange keeps the first
// flight within one datagram; nothing secret follows.
func (l *Link) probeTLS(accept func(*identity.NodeCertificate) error) *tls.Config {
	c := l.clientTLS(alpnProbe, accept)
	c.CurvePreferences = []tls.CurveID{tls.X25519}
	return c
}

// serveProbe is the probed side: there is nothing to say beyond the handshake.
func (l *Link) serveProbe(qc *quic.Conn) {
	late := time.NewTimer(probeLinger)
	defer late.Stop()
	select {
	case <-qc.Context().Done():
	case <-late.C:
		_ = qc.CloseWithError(CloseDone, "reached")
	}
}

// meter bounds what a probe may send: to one address, all together, and before
// anything comes back. What is beyond is not sent, as if it had been lost.
type meter struct {
	net.PacketConn
	to     netip.AddrPort
	budget int64
	sent   atomic.Int64
	packs  atomic.Int64
	heard  atomic.Bool
}

// WriteTo implements net.PacketConn.
func (m *meter) WriteTo(p []byte, to net.Addr) (int, error) {
	if addrPort(to) != m.to || !m.heard.Load() && m.packs.Add(1) > probeUnheard {
		return len(p), nil
	}
	if m.sent.Add(int64(len(p))) > m.budget {
		m.sent.Add(-int64(len(p)))
		return len(p), nil
	}
	return m.PacketConn.WriteTo(p, to)
}

// ReadFrom implements net.PacketConn.
func (m *meter) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := m.PacketConn.ReadFrom(p)
		if err == nil && addrPort(from) != m.to {
			continue
		}
		if err == nil {
			m.heard.Store(true)
		}
		return n, from, err
	}
}

// SetReadBuffer does nothing: a probe exchanges a few datagrams, for which the
// system's buffers do. Without it quic-go warns on standard error.
func (m *meter) SetReadBuffer(int) error { return nil }

// SetWriteBuffer likewise.
func (m *meter) SetWriteBuffer(int) error { return nil }
