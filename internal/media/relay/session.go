package relay

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/internal/media"
)

// Leg says which phone a session description is from or for: where the phone
// reaches this adapter, and where it speaks from.
type Leg struct {
	Local, Phone netip.Addr
}

// maxLegs bounds the phones that one call rings.
const maxLegs = 8

// discard is the port that stands in descriptions between adapters: the other
// one puts its own in its place.
const discard = 9

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Session is the media of one call. Its methods may be called concurrently.
type Session struct {
	relay   *Relay
	carrier Carrier
	base    uint64

	active atomic.Pointer[leg] // whose phone gets what arrives
	lines  [lines]atomic.Pointer[line]

	mu     sync.Mutex
	closed bool
	legs   map[Leg]*leg
	work   sync.WaitGroup
}

// Open makes the session of a call over that connection. key is the secret of
// the call's signed exchange: both sides have the same. It returns ErrBusy when
// there are too many. The caller must Close it.
func (r *Relay) Open(over Carrier, key [32]byte) (*Session, error) {
	s := &Session{relay: r, carrier: over, base: base(key), legs: map[Leg]*leg{}}
	r.flows.Lock()
	defer r.flows.Unlock()
	k := flowKey{over, s.base}
	switch {
	case len(r.calls) >= r.cfg.MaxCalls:
		return nil, fmt.Errorf("%w: %d calls", ErrBusy, len(r.calls))
	case r.calls[k] != nil:
		return nil, fmt.Errorf("%w: this call has media already", ErrBusy)
	}
	r.calls[k] = s
	return s, nil
}

// Close gives everything back and returns when all goroutines have ended. It
// may be called more than once.
func (s *Session) Close() error {
	s.relay.flows.Lock()
	if k := (flowKey{s.carrier, s.base}); s.relay.calls[k] == s {
		delete(s.relay.calls, k)
	}
	s.relay.flows.Unlock()
	s.mu.Lock()
	s.closed = true
	for _, l := range s.legs {
		l.close()
	}
	s.mu.Unlock()
	s.work.Wait()
	return nil
}

// FromPhone takes the description that a phone has sent, notes where it wants
// its packets, and returns the one for the other adapter, which names nothing
// of this host. From now on that phone gets what arrives. Errors are those of
// media.Through, ErrBusy and ErrClosed.
func (s *Session) FromPhone(at Leg, body []byte) ([]byte, error) {
	l, err := s.leg(at)
	if err != nil {
		return nil, err
	}
	out, streams, err := media.Through(body, media.Place{Addr: loopback, Port: func(int) uint16 { return discard }})
	if err != nil {
		return nil, err
	}
	l.announce(streams)
	s.need(streams)
	s.active.Store(l)
	return out, nil
}

// ToPhone takes the description of the other side and returns the one for the
// phone: all media are sought at the adapter's own ports, which are opened. A
// stream for which no port is left is taken out. Errors as FromPhone's.
func (s *Session) ToPhone(at Leg, body []byte) ([]byte, error) {
	l, err := s.leg(at)
	if err != nil {
		return nil, err
	}
	out, streams, err := media.Through(body, media.Place{Addr: at.Local, Port: l.open})
	if err != nil {
		return nil, err
	}
	s.need(streams)
	return out, nil
}

func (s *Session) leg(at Leg) (*leg, error) {
	at.Local, at.Phone = at.Local.Unmap(), at.Phone.Unmap()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	l := s.legs[at]
	if l == nil {
		if len(s.legs) >= maxLegs {
			return nil, fmt.Errorf("%w: %d phones", ErrBusy, len(s.legs))
		}
		l = &leg{s: s, at: at}
		s.legs[at] = l
	}
	return l, nil
}

// need makes room for what the streams bring, in both directions.
func (s *Session) need(streams []media.Stream) {
	for i := range streams {
		st := &streams[i]
		if s.lines[st.Index].Load() == nil {
			s.lines[st.Index].CompareAndSwap(nil, newLine(st))
		}
		s.lines[st.Index].Load().need(st)
	}
}

// toPhone passes on a packet that has arrived, or says why not.
func (s *Session) toPhone(index int, rtcp bool, packet []byte) (refused string) {
	l, ln := s.active.Load(), s.lines[index].Load()
	if ln == nil {
		return RefusedFlow
	}
	if l == nil {
		return RefusedNoPhone
	}
	if refused = ln.down.take(packet, rtcp); refused != "" {
		return refused
	}
	return l.send(index, rtcp, packet)
}

// Stats are figures of a call's media so far.
type Stats struct {
	RTT              time.Duration // of the connection
	FromPhone, Phone Direction     // what the phone has sent, and what has come for it
}

// Direction is what has come in one direction, of all streams together.
type Direction struct {
	Packets, Bytes uint64        // RTP and RTCP, without UDP's and QUIC's part
	Lost           uint64        // RTP packets that never came (RFC 3550 §A.3)
	Jitter         time.Duration // of the stream that has most (RFC 3550 §A.8)
}

// Stats may be called at any time.
func (s *Session) Stats() Stats {
	st := Stats{RTT: s.carrier.RTT()}
	for i := range s.lines {
		if ln := s.lines[i].Load(); ln != nil {
			st.FromPhone.add(ln.up.read())
			st.Phone.add(ln.down.read())
		}
	}
	return st
}

func (d *Direction) add(other Direction) {
	d.Packets += other.Packets
	d.Bytes += other.Bytes
	d.Lost += other.Lost
	d.Jitter = max(d.Jitter, other.Jitter)
}
