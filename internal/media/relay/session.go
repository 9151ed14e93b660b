package relay

import (
	"fmt"
	"net/netip"
	"slices"
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
	base    uint64
	carrier atomic.Pointer[Carrier] // where what the phone sends goes
	heard   []Carrier               // where packets may come from, oldest first, none when closed; relay.flows guards it

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
	s := &Session{relay: r, base: base(key), legs: map[Leg]*leg{}}
	s.carrier.Store(&over)
	r.flows.Lock()
	defer r.flows.Unlock()
	k := flowKey{over, s.base}
	switch {
	case r.open >= r.cfg.MaxCalls:
		return nil, fmt.Errorf("%w: %d calls", ErrBusy, r.open)
	case r.calls[k] != nil:
		return nil, fmt.Errorf("%w: this call has media already", ErrBusy)
	}
	r.calls[k], s.heard = s, []Carrier{over}
	r.open++
	return s, nil
}

// maxHeard is over how many connections a call's packets may come: that which
// it is on, the one before, and one that it is about to go to.
const maxHeard = 3

// Hear takes the call's packets from another connection, too, so that nothing is
// lost because the two sides do not go there at the same moment. The oldest but
// the present one is heard no more where there are too many. Errors: ErrBusy
// where the connection has these flows already, ErrClosed.
func (s *Session) Hear(over Carrier) error {
	s.relay.flows.Lock()
	defer s.relay.flows.Unlock()
	return s.hearLocked(over)
}

func (s *Session) hearLocked(over Carrier) error {
	r, k := s.relay, flowKey{over, s.base}
	switch was := r.calls[k]; {
	case len(s.heard) == 0:
		return ErrClosed
	case was == s:
		return nil
	case was != nil:
		return fmt.Errorf("%w: this connection has such media already", ErrBusy)
	}
	if len(s.heard) >= maxHeard {
		i := 0
		if s.heard[0] == *s.carrier.Load() {
			i = 1
		}
		delete(r.calls, flowKey{s.heard[i], s.base})
		s.heard = slices.Delete(s.heard, i, i+1)
	}
	r.calls[k], s.heard = s, append(s.heard, over)
	return nil
}

// Move sends what the phone says over another connection from now on, and hears
// it. Errors as Hear's.
func (s *Session) Move(over Carrier) error {
	s.relay.flows.Lock()
	defer s.relay.flows.Unlock()
	if err := s.hearLocked(over); err != nil {
		return err
	}
	s.carrier.Store(&over)
	return nil
}

// Close gives everything back and returns when all goroutines have ended. It
// may be called more than once.
func (s *Session) Close() error {
	s.relay.flows.Lock()
	for i, over := range s.heard {
		delete(s.relay.calls, flowKey{over, s.base})
		if i == 0 {
			s.relay.open--
		}
	}
	s.heard = nil
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

// Mark returns a function that makes everything as it is now: where the phone is
// sought and what its streams may bring, as far as descriptions have said so. It
// is for a change of the session that is refused.
func (s *Session) Mark() (back func()) {
	l := s.active.Load()
	var needs [lines]*media.Stream
	for i := range s.lines {
		if ln := s.lines[i].Load(); ln != nil {
			needs[i] = ln.up.allowed()
		}
	}
	var where func()
	if l != nil {
		where = l.mark()
	}
	return func() {
		for i, st := range needs {
			if st != nil {
				s.lines[i].Load().need(st)
			}
		}
		if l != nil {
			where()
			s.active.Store(l)
		}
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
	st := Stats{RTT: (*s.carrier.Load()).RTT()}
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
