package chord

import (
	"sort"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// contact is what a node knows of another. Its peer never changes: other
// addresses make another contact, so that views can share it.
type contact struct {
	peer     wire.Peer
	by       ID        // who named it first
	verified bool      // it has answered us or called us; else it is hearsay
	vouched  bool      // two members have named it
	listed   bool      // it is in our successor list or our predecessor
	suspect  bool      // a call has failed and it has not answered since
	odd      uint8     // answers in a row that were neither a state nor a refusal
	heard    time.Time // last sign of life at first hand; zero = never
	rtt      *atomic.Int64
	rttvar   time.Duration
}

func newContact(p wire.Peer) *contact { return &contact{peer: p, rtt: new(atomic.Int64)} }

// usable reports whether look-ups may go to it: one member's word alone is not
// enough, so that a liar cannot fill the table with ghosts.
func (c *contact) usable() bool { return (c.verified || c.vouched || c.listed) && !c.suspect }

// sample takes in a measured round-trip time (RFC 6298 §2).
func (c *contact) sample(rtt time.Duration) {
	if rtt <= 0 {
		return
	}
	srtt := time.Duration(c.rtt.Load())
	if srtt == 0 {
		c.rttvar = rtt / 2
		c.rtt.Store(int64(rtt))
		return
	}
	c.rttvar += ((srtt - rtt).Abs() - c.rttvar) / 4
	c.rtt.Store(int64(srtt + (rtt-srtt)/8))
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
	if srtt := time.Duration(c.rtt.Load()); srtt > 0 {
		wait = max(4*(srtt+c.rttvar), minTimeout)
	}
	if try > 1 {
		wait *= 2
	}
	return min(wait, maxTimeout)
}

// members is a list of contacts in the order of their IDs. Searching it takes
// no memory.
type members []*contact

// search returns the index of the first member whose ID is not below id.
func (m members) search(id ID) int {
	return sort.Search(len(m), func(i int) bool { return m[i].peer.ID.Compare(id) >= 0 })
}

// find returns the member with this ID, or nil.
func (m members) find(id ID) *contact {
	if i := m.search(id); i < len(m) && m[i].peer.ID == id {
		return m[i]
	}
	return nil
}

// before appends to dst the k members that precede target most closely and lie
// strictly between self and target, closest first.
func (m members) before(self, target ID, k int, dst []*contact) []*contact {
	if len(m) == 0 {
		return dst
	}
	i := m.search(target)
	for range min(k, len(m)) {
		if i--; i < 0 {
			i = len(m) - 1
		}
		if !between(self, m[i].peer.ID, target) {
			break
		}
		dst = append(dst, m[i])
	}
	return dst
}

// after appends to dst the first k members at target or clockwise of it.
func (m members) after(target ID, k int, dst []*contact) []*contact {
	if len(m) == 0 {
		return dst
	}
	i := m.search(target)
	for range min(k, len(m)) {
		if i >= len(m) {
			i = 0
		}
		dst = append(dst, m[i])
		i++
	}
	return dst
}

// rank returns how many members lie in [pos, self).
func (m members) rank(pos, self ID) int {
	i, j := m.search(pos), m.search(self)
	if pos.Compare(self) <= 0 {
		return j - i
	}
	return len(m) - i + j
}
