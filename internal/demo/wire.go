package demo

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/secp2psip/secp2psip/internal/media"
)

// Wire is what somebody between the adapters sees.
type Wire struct {
	Datagrams int `json:"datagrams"`
	Bytes     int `json:"bytes"`
	SIP       int `json:"sip"`   // datagrams with a word of SIP or SDP in it
	RTP       int `json:"rtp"`   // that begin as RTP and RTCP do
	Names     int `json:"names"` // with the name of a person or of the overlay
	Tones     int `json:"tones"` // that, read as G.711, sound like a phone's tone
}

// A datagram is listened to from leastSound bytes on. Of the energy of n bytes
// of noise, one frequency has more than a share s with probability exp(-sn/2).
const (
	leastSound = 120
	toneShare  = 0.4
)

// watch adds a datagram. RTP and RTCP begin with the bits 10 (RFC 3550 §5.1);
// no packet of QUIC does (RFC 9000 §17).
func (w *Wire) watch(b []byte) {
	w.Datagrams++
	w.Bytes += len(b)
	has := func(words ...string) int {
		for _, word := range words {
			if bytes.Contains(b, []byte(word)) {
				return 1
			}
		}
		return 0
	}
	w.SIP += has("SIP/2.0", "sip:", "INVITE", "m=audio", "IN IP4")
	w.Names += has(names[0], names[1], overlayName)
	if len(b) > 0 && b[0]>>6 == 2 {
		w.RTP++
	}
	if len(b) < leastSound {
		return
	}
	if pcm := media.DecodeULaw(b); media.Detect(pcm, toneAlice) > toneShare || media.Detect(pcm, toneBob) > toneShare {
		w.Tones++
	}
}

// tap stands between the others and one adapter, as an address translator
// does, and watches what passes: the adapter is known to others only at the
// tap's address.
type tap struct {
	conn   *net.UDPConn
	target func() (netip.AddrPort, bool) // the adapter's own address, once it is bound

	mu   sync.Mutex
	seen Wire
	ways map[netip.AddrPort]*net.UDPConn // by who sends
	work sync.WaitGroup
}

// maxWays bounds who can speak to one adapter of the demo.
const maxWays = 256

func newTap() (*tap, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(anyPort))
	if err != nil {
		return nil, err
	}
	return &tap{conn: conn, ways: map[netip.AddrPort]*net.UDPConn{}}, nil
}

func (t *tap) addr() netip.AddrPort { return t.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Run passes datagrams on until ctx ends.
func (t *tap) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = t.conn.Close() })
	defer stop()
	defer t.work.Wait()
	defer t.close()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			continue // an ICMP error: whoever it was may come back
		}
		if way := t.way(from); way != nil {
			t.look(buf[:n])
			_, _ = way.Write(buf[:n]) // what is lost is lost
		}
	}
}

func (t *tap) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, way := range t.ways {
		_ = way.Close()
	}
}

// way is the socket on which the adapter hears that sender, nil if there is no
// adapter yet.
func (t *tap) way(from netip.AddrPort) *net.UDPConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if way := t.ways[from]; way != nil {
		return way
	}
	to, ok := t.target()
	if !ok || len(t.ways) >= maxWays {
		return nil
	}
	way, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil
	}
	t.ways[from] = way
	t.work.Go(func() { t.back(way, from) })
	return way
}

// back passes on what the adapter answers.
func (t *tap) back(way *net.UDPConn, to netip.AddrPort) {
	buf := make([]byte, 1<<16)
	for {
		n, err := way.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			t.look(buf[:n])
			_, _ = t.conn.WriteToUDPAddrPort(buf[:n], to)
		}
	}
}

func (t *tap) look(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.watch(b)
}

// wire sums up what all taps have seen.
func (l *LAN) wire() Wire {
	var w Wire
	for _, t := range l.taps {
		t.mu.Lock()
		w.Datagrams += t.seen.Datagrams
		w.Bytes += t.seen.Bytes
		w.SIP += t.seen.SIP
		w.RTP += t.seen.RTP
		w.Names += t.seen.Names
		w.Tones += t.seen.Tones
		t.mu.Unlock()
	}
	return w
}
