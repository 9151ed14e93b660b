package media

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtp"
	"golang.org/x/time/rate"
)

// Reasons that EchoConfig.Refused is called with.
const (
	RefusedStranger = "echo_stranger" // a packet from another host than the phone's
	RefusedNotRTP   = "echo_not_rtp"  // a packet that is no RTP
	RefusedRate     = "echo_rate"     // more packets than any codec needs
)

// EchoConfig configures an Echo. The zero value is usable.
type EchoConfig struct {
	// MinPort and MaxPort bound the UDP ports used, both included; 0 means
	// 40000 and MinPort+99.
	MinPort, MaxPort uint16
	// MaxSessions bounds the calls at once; 0 means 4.
	MaxSessions int
	// Refused counts dropped packets; nil ignores them.
	Refused func(reason string)
}

// Echo gives callers their own voice back: the RTP side of an echo test.
type Echo struct {
	cfg EchoConfig

	mu   sync.Mutex
	open int
	next uint16 // the port to try first
}

// NewEcho checks the configuration.
func NewEcho(cfg EchoConfig) (*Echo, error) {
	if cfg.MinPort == 0 {
		cfg.MinPort = 40000
	}
	if cfg.MaxPort == 0 {
		cfg.MaxPort = cfg.MinPort + 99
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 4
	}
	if cfg.MaxPort < cfg.MinPort || cfg.MaxSessions < 0 {
		return nil, fmt.Errorf("echo test: ports %d to %d cannot be used", cfg.MinPort, cfg.MaxPort)
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	return &Echo{cfg: cfg, next: cfg.MinPort}, nil
}

// EchoSession is one call's RTP socket.
type EchoSession struct {
	echo  *Echo
	conn  *net.UDPConn
	phone netip.Addr
	ssrc  uint32
	id    uint64
	limit *rate.Limiter

	mu      sync.Mutex
	version uint64
	types   [128]bool // payload types that the answer accepted
	offered netip.Addr
	source  netip.AddrPort
	closed  bool
}

// Open takes a port at local for a call with a phone on the host phone. It
// returns ErrBusy when all places or ports are taken. The caller must Close
// the session; Run moves its packets.
func (e *Echo) Open(local, phone netip.Addr) (*EchoSession, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open >= e.cfg.MaxSessions {
		return nil, fmt.Errorf("%w: %d calls", ErrBusy, e.open)
	}
	conn, err := e.listenLocked(local)
	if err != nil {
		return nil, err
	}
	e.open++
	var seed [16]byte
	rand.Read(seed[:]) // never fails
	return &EchoSession{
		echo: e, conn: conn, phone: phone.Unmap(),
		ssrc: binary.BigEndian.Uint32(seed[:]),
		id:   binary.BigEndian.Uint64(seed[8:]) >> 2, // below 2⁶³, for readers that use signed numbers
		// 10 ms packets with DTMF beside them are 200 a second.
		limit: rate.NewLimiter(250, 250),
	}, nil
}

func (e *Echo) listenLocked(local netip.Addr) (*net.UDPConn, error) {
	span := int(e.cfg.MaxPort) - int(e.cfg.MinPort) + 1
	var last error
	for range span {
		port := e.next
		if e.next++; e.next > e.cfg.MaxPort || e.next < e.cfg.MinPort {
			e.next = e.cfg.MinPort
		}
		if port%2 == 1 && span > 1 {
			continue // RTP ports are even (RFC 3550 §11)
		}
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, fmt.Errorf("%w: no free port: %w", ErrBusy, last)
}

// Addr is where the session receives.
func (s *EchoSession) Addr() netip.AddrPort {
	a := s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Close ends Run and gives the port back. It may be called more than once.
func (s *EchoSession) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.echo.mu.Lock()
	s.echo.open--
	s.echo.mu.Unlock()
	return s.conn.Close()
}

// Run sends every RTP packet back to where it came from, until ctx ends or the
// session is closed. The first packet of the phone's host, or of the address
// that it offered, decides on its port (symmetric RTP, RFC 4961); after Answer
// it is found anew.
func (s *EchoSession) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			continue // an ICMP error of an earlier packet: the phone may come back
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if reason := s.turn(buf[:n], from); reason != "" {
			s.echo.cfg.Refused(reason)
			continue
		}
		_, _ = s.conn.WriteToUDPAddrPort(buf[:n], from) // lost packets are lost
	}
}

// ofPhoneLocked tells whether a packet from a may be the phone's. A phone of
// this host that signals from its LAN address, as baresip does, sends its sound
// from a loopback one.
func (s *EchoSession) ofPhoneLocked(a netip.Addr) bool {
	return a == s.phone || a == s.offered || a.IsLoopback() && !s.phone.IsLoopback() && s.Addr().Addr().IsLoopback()
}

// turn makes an incoming packet the one that goes back, in place: the same,
// from a source of its own, for a phone that hears its own SSRC takes it for a
// loop (RFC 3550 §8.2). It returns a reason not to.
func (s *EchoSession) turn(packet []byte, from netip.AddrPort) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ofPhoneLocked(from.Addr()) || s.source.IsValid() && s.source != from {
		return RefusedStranger
	}
	var h rtp.Header
	if _, err := h.Unmarshal(packet); err != nil || h.Version != 2 || !s.types[h.PayloadType] {
		return RefusedNotRTP
	}
	if !s.limit.Allow() {
		return RefusedRate
	}
	s.source = from
	binary.BigEndian.PutUint32(packet[8:], s.ssrc)
	return ""
}
