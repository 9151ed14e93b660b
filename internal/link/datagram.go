package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"
)

// The kinds of datagrams, told apart by the first byte of a payload.
const (
	DatagramMedia  byte = 1 // a packet of a media flow
	DatagramSealed byte = 2 // a packet that a peer passes on between two others
)

// datagramSpace is the most bytes that a datagram's payload can have: no QUIC
// packet of quic-go is longer than 1,452 bytes.
const datagramSpace = 1452

// quicOverhead is what quic-go's own figure leaves out: the packet number, at
// most four bytes, and the frame's type. With connection IDs of full length a
// datagram that it takes would be dropped without a word.
const quicOverhead = 5

// lateAfter is how long a datagram may wait to leave: what carries speech is of
// no use later, and takes the place of what is.
const lateAfter = 250 * time.Millisecond

// DatagramReceiver takes what arrives in datagrams (RFC 9221) of one kind, the
// kind byte included. It is called from one goroutine per connection, must not
// block, and must not keep b or change it.
type DatagramReceiver func(from *Conn, b []byte)

// receivers are the receivers by kind.
type receivers [256]atomic.Pointer[DatagramReceiver]

// HandleDatagrams has f take the datagrams of a kind from now on; nil drops
// them. It may be called before Run and while it runs.
func (l *Link) HandleDatagrams(kind byte, f DatagramReceiver) {
	if f == nil {
		l.receivers[kind].Store(nil)
		return
	}
	l.receivers[kind].Store(&f)
}

// receiveDatagrams passes on what arrives until the connection ends.
func (l *Link) receiveDatagrams(c *Conn) {
	limit := rate.NewLimiter(l.cfg.Limits.DatagramRate, l.cfg.Limits.DatagramBurst)
	for {
		b, err := c.qc.ReceiveDatagram(context.Background())
		if err != nil {
			return
		}
		if !limit.Allow() {
			l.cfg.Refused(ReasonDatagramRate)
			continue
		}
		if len(b) == 0 {
			l.cfg.Refused(ReasonDatagramKind)
			continue
		}
		f := l.receivers[b[0]].Load()
		if f == nil {
			l.cfg.Refused(ReasonDatagramKind)
			continue
		}
		c.touch()
		c.hear()
		(*f)(c, b)
	}
}

// outbox holds the datagrams of one connection that have not left yet. quic-go
// makes whoever sends wait when its own queue is full; a call's packets must not
// wait, so a goroutine of the connection's does. Its memory grows with what is
// waiting and is kept; sending allocates nothing beyond that.
type outbox struct {
	once sync.Once
	wake chan struct{} // has a token while there may be something to send
	most int

	mu    sync.Mutex
	ring  []outgoing // its length is most, after the first use
	first int
	n     int
}

// outgoing is a datagram that waits.
type outgoing struct {
	b     []byte
	since time.Time
}

// SendDatagram sends b, whose first byte is its kind, as one datagram: once, in
// order, without repair. It never blocks and keeps nothing of b. Where too many
// are waiting, the oldest is dropped and counted. Errors: ErrTooLarge for more
// than MaxDatagram bytes, ErrLost where the connection has ended.
func (c *Conn) SendDatagram(b []byte) error {
	if len(b) > int(c.largest.Load()) && len(b) > c.MaxDatagram() {
		c.link.cfg.Refused(ReasonDatagramLarge)
		return fmt.Errorf("%w: datagram of %d bytes", ErrTooLarge, len(b))
	}
	if !c.alive() {
		return fmt.Errorf("%w: no datagram can be sent", ErrLost)
	}
	c.outbox.once.Do(func() { c.link.spawn(c.sendDatagrams) })
	if c.outbox.put(b) {
		c.link.cfg.Refused(ReasonDatagramFull)
	}
	return nil
}

// MaxDatagram returns how many bytes a datagram may have now, its kind byte
// included; 0 if the other side takes none. It grows as larger packets prove to
// pass (RFC 8899), and may shrink.
func (c *Conn) MaxDatagram() int {
	// quic-go tells only along with its refusal of a longer one.
	var tooLarge *quic.DatagramTooLargeError
	n := 0
	if err := c.qc.SendDatagram(make([]byte, datagramSpace+1)); errors.As(err, &tooLarge) {
		n = max(min(int(tooLarge.MaxDatagramPayloadSize), datagramSpace)-quicOverhead, 0)
	}
	c.largest.Store(int64(n))
	return n
}

// put appends a copy of b. full tells that the oldest had to go for it.
func (o *outbox) put(b []byte) (full bool) {
	o.mu.Lock()
	if o.ring == nil {
		o.ring = make([]outgoing, o.most)
	}
	if full = o.n == o.most; full {
		o.first = (o.first + 1) % o.most
		o.n--
	}
	slot := &o.ring[(o.first+o.n)%o.most]
	slot.b = append(slot.b[:0], b...)
	slot.since = time.Now()
	o.n++
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return full
}

// take copies the oldest datagram into buf.
func (o *outbox) take(buf []byte) (b []byte, since time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == 0 {
		return nil, time.Time{}, false
	}
	slot := &o.ring[o.first]
	b, since = append(buf[:0], slot.b...), slot.since
	o.first = (o.first + 1) % o.most
	o.n--
	return b, since, true
}

// sendDatagrams hands over to quic-go what is in the outbox, until the
// connection ends.
func (c *Conn) sendDatagrams() {
	buf := make([]byte, 0, datagramSpace)
	for {
		select {
		case <-c.outbox.wake:
		case <-c.Done():
			return
		}
		for {
			b, since, ok := c.outbox.take(buf)
			if !ok {
				break
			}
			if time.Since(since) > lateAfter {
				c.link.cfg.Refused(ReasonDatagramLate)
				continue
			}
			c.touch()
			err := c.qc.SendDatagram(b)
			var narrow *quic.DatagramTooLargeError
			switch {
			case errors.As(err, &narrow): // the path has become so
				c.largest.Store(0)
				c.link.cfg.Refused(ReasonDatagramLarge)
			case err != nil: // the connection has ended
				return
			}
		}
	}
}
