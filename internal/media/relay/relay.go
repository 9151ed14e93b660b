package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/socket"
)

// Carrier is the connection to the other adapter. It is comparable.
type Carrier interface {
	// SendDatagram sends b once. It never blocks and keeps nothing of b.
	SendDatagram(b []byte) error
	// RTT is the connection's round-trip time, 0 where it is not known.
	RTT() time.Duration
}

// Config configures a Relay. The zero value is usable.
type Config struct {
	// MinPort and MaxPort bound the UDP ports towards phones, both included; 0
	// means 40100 and MinPort+999. Every stream takes two.
	MinPort, MaxPort uint16
	// MaxCalls bounds the calls at once; 0 means 64.
	MaxCalls int
	// Refused counts dropped packets; nil ignores them. It must return at once.
	Refused func(reason string)
}

// Relay is the media side of all protected calls. It has no goroutines of its
// own; sessions have.
type Relay struct {
	cfg Config

	mu   sync.Mutex
	next int // the pair of ports to try first

	flows sync.RWMutex
	calls map[flowKey]*Session
	open  int // sessions
}

// flowKey names the flows of one call: those on that connection whose number
// begins so.
type flowKey struct {
	from Carrier
	base uint64
}

// New checks the configuration.
func New(cfg Config) (*Relay, error) {
	if cfg.MinPort == 0 {
		cfg.MinPort = 40100
	}
	if cfg.MaxPort == 0 {
		cfg.MaxPort = uint16(min(int(cfg.MinPort)+999, 65535))
	}
	if cfg.MaxCalls == 0 {
		cfg.MaxCalls = 64
	}
	cfg.MinPort += cfg.MinPort % 2 // RTP ports are even (RFC 3550 §11)
	if int(cfg.MaxPort) < int(cfg.MinPort)+1 || cfg.MaxCalls < 0 {
		return nil, fmt.Errorf("%w: ports %d to %d", ErrConfig, cfg.MinPort, cfg.MaxPort)
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	return &Relay{cfg: cfg, calls: map[flowKey]*Session{}}, nil
}

const (
	kindMedia = 1 // of a datagram
	head      = 9 // bytes before the packet
	flowBits  = 5 // of a flow's number, within a call
	flowMask  = 1<<flowBits - 1
	lines     = 16 // m= lines of a call
)

// base is the number of a call's first flow.
func base(key [32]byte) uint64 {
	sum := sha256.Sum256(append([]byte("secp2psip/1 media flows\x00"), key[:]...))
	return binary.BigEndian.Uint64(sum[:]) >> 2 &^ flowMask
}

// appendHead appends what stands before the packets of a flow.
func appendHead(b []byte, flow uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindMedia), flow|3<<62)
}

// readHead reads a datagram: a flow's number may have any of the four lengths
// (RFC 9000 §16).
func readHead(b []byte) (flow uint64, packet []byte, ok bool) {
	if len(b) < 2 || b[0] != kindMedia {
		return 0, nil, false
	}
	n := 1 << (b[1] >> 6)
	if len(b) < 1+n {
		return 0, nil, false
	}
	flow = uint64(b[1] & 0x3f)
	for _, c := range b[2 : 1+n] {
		flow = flow<<8 | uint64(c)
	}
	return flow, b[1+n:], true
}

// Receive takes a datagram of kind 1 that arrived from a connection, and sends
// what is in it to the phone. It does not block, and keeps nothing of b.
func (r *Relay) Receive(from Carrier, b []byte) {
	flow, packet, ok := readHead(b)
	if !ok {
		r.cfg.Refused(RefusedFlow)
		return
	}
	r.flows.RLock()
	s := r.calls[flowKey{from, flow &^ flowMask}]
	r.flows.RUnlock()
	if s == nil {
		r.cfg.Refused(RefusedFlow)
		return
	}
	if reason := s.toPhone(int(flow&flowMask>>1), flow&1 == 1, packet); reason != "" {
		r.cfg.Refused(reason)
	}
}

// listen opens a pair of ports for a stream, an even one and the next.
func (r *Relay) listen(local netip.Addr) (rtp, rtcp *socket.Conn, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pairs := (int(r.cfg.MaxPort) - int(r.cfg.MinPort) + 1) / 2
	for range pairs {
		port := r.cfg.MinPort + uint16(2*r.next)
		r.next = (r.next + 1) % pairs
		if rtp, err = bind(netip.AddrPortFrom(local, port)); err != nil {
			continue
		}
		if rtcp, err = bind(netip.AddrPortFrom(local, port+1)); err == nil {
			return rtp, rtcp, nil
		}
		_ = rtp.Close()
	}
	return nil, nil, fmt.Errorf("%w: no free pair of ports: %w", ErrBusy, err)
}

func bind(at netip.AddrPort) (*socket.Conn, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	s, err := socket.New(c)
	if err != nil {
		_ = c.Close()
	}
	return s, err
}
