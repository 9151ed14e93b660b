package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// Member is what is known of a node and is the same for everybody who knows it.
// It never changes: other addresses make another Member, so that tables and
// views share it, and a simulator those of all its nodes.
type Member struct {
	wire.Peer
	Desc *wire.Descriptor // nil where no signed descriptor is known; not to be changed
}

// seq is that of the descriptor, 0 without one.
func (m *Member) seq() int64 {
	if m.Desc == nil {
		return 0
	}
	return m.Desc.Seq
}

// contact is what one node knows of another: 16 bytes beside the shared Member,
// since there may be 8,192 of them.
type contact struct {
	who   *Member
	heard stamp  // last sign of life at first hand
	rtt   uint16 // smoothed round trip in units of rttUnit; 0 = never measured
	dev   uint8  // its mean deviation in ms
	flags uint8  // the marks, and in the bits from oddShift on the odd answers in a row
}

// The marks of a contact.
const (
	verified  uint8 = 1 << iota // it has answered us or called us
	vouched                     // two members have named it, where members do not sign for themselves
	listed                      // it is in our successor list or our predecessor
	suspect                     // a call has failed and it has not answered since
	described                   // its own descriptor is known and verified

	oddShift = 5
)

const (
	rttUnit   = 64 * time.Microsecond
	stampUnit = 10 * time.Millisecond
)

// stamp is a time of the machine's clock in units of stampUnit; 0 = never.
type stamp uint32

func (c *contact) is(mark uint8) bool { return c.flags&mark != 0 }

func (c *contact) set(mark uint8, on bool) {
	c.flags &^= mark
	if on {
		c.flags |= mark
	}
}

// id is the member's place on the ring.
func (c *contact) id() ID { return c.who.ID }

// peer is the member as messages name it.
func (c *contact) peer() wire.Peer { return c.who.Peer }

// usable reports whether look-ups may go to it: one member's word alone is not
// enough, so that a liar cannot fill the table with ghosts.
func (c *contact) usable() bool {
	return c.flags&(verified|vouched|listed|described) != 0 && !c.is(suspect)
}

// odd is how many answers in a row were neither a state nor a refusal.
func (c *contact) odd() int { return int(c.flags >> oddShift) }

func (c *contact) setOdd(n int) { c.flags = c.flags&(1<<oddShift-1) | uint8(n)<<oddShift }

// roundTrip is the smoothed round-trip time; 0 = never measured.
func (c *contact) roundTrip() time.Duration { return time.Duration(c.rtt) * rttUnit }

// sample takes in a measured round-trip time (RFC 6298 §2).
func (c *contact) sample(rtt time.Duration) {
	if rtt <= 0 {
		return
	}
	const most = 1<<16 - 1
	srtt, dev := c.roundTrip(), time.Duration(c.dev)*time.Millisecond
	if srtt == 0 {
		srtt, dev = rtt, rtt/2
	} else {
		dev += ((srtt - rtt).Abs() - dev) / 4
		srtt += (rtt - srtt) / 8
	}
	c.rtt = uint16(min(max((srtt+rttUnit/2)/rttUnit, 1), most))
	c.dev = uint8(min((dev+time.Millisecond/2)/time.Millisecond, 255))
}

// The bounds of a call's time. The lower one leaves room for a handshake on a
// busy machine.
const (
	minTimeout   = 500 * time.Millisecond
	firstTimeout = 1200 * time.Millisecond
	maxTimeout   = 1500 * time.Millisecond
	maxLag       = 500 * time.Millisecond
)

// timeout returns how long to wait for an answer: four times the measured
// round trip, within bounds, and twice that at the second try.
func (c *contact) timeout(try uint8) time.Duration {
	wait := firstTimeout
	if srtt := c.roundTrip(); srtt > 0 {
		wait = max(4*(srtt+time.Duration(c.dev)*time.Millisecond), minTimeout)
	}
	if try > 1 {
		wait *= 2
	}
	return min(wait, maxTimeout)
}
