package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// DefaultBudget is what a node spends on membership, in bytes a second: ring
// upkeep and news together.
const DefaultBudget = limits.RingBytes

// What packets cost beside the message: IP, UDP, QUIC and its tag, and the
// stream frame.
const (
	packetOverhead = 60
	packetData     = 1200
)

// cost is what a message of so many bytes takes on the wire.
func cost(size int) float64 {
	return float64(size + max(1, (size+packetData-1)/packetData)*packetOverhead)
}

// The sizes of messages, near enough.
const (
	smallSize = 5  // Ack, Unchanged
	askSize   = 16 // GetState
	peerSize  = 36 // a peer with one address
	newsSize  = 38 // a group of news
)

// meter is a rate in bytes a second: of the last two minutes or so, or of the
// last twenty seconds where that is less. A burst that is over, as when a ring
// forms, is no reason to save.
type meter struct {
	long, short float64
	at          time.Time
	since       time.Time
}

const (
	meterLong  = 2 * time.Minute
	meterShort = 20 * time.Second // a younger meter counts as if nothing had been before
)

func (r *meter) add(now time.Time, bytes float64) {
	r.decay(now)
	r.long += bytes
	r.short += bytes
}

// decay lets old bytes be forgotten.
func (r *meter) decay(now time.Time) {
	if r.since.IsZero() {
		r.since, r.at = now, now
	}
	if d := now.Sub(r.at); d > meterShort/100 {
		r.long -= fade(r.long, d, meterLong)
		r.short -= fade(r.short, d, meterShort)
		r.at = now
	}
}

// fade is what a sum loses in a time: a straight line for a small one is near
// enough to the exponential, and gives the same on every machine.
func fade(sum float64, d, span time.Duration) float64 {
	return sum * min(float64(d)/float64(span), 1)
}

// rate returns the lower of the two rates.
func (r *meter) rate(now time.Time) float64 {
	low, _ := r.rates(now)
	return low
}

// rates returns both rates, the lower first: a node saves when both are too
// high, and spends more when both are low.
func (r *meter) rates(now time.Time) (low, high float64) {
	r.decay(now)
	long := r.long / min(max(now.Sub(r.since), meterShort), meterLong).Seconds()
	short := r.short / meterShort.Seconds()
	return min(long, short), max(long, short)
}

// sessions estimates how long members stay, from the departures seen among
// those that are watched: the list and the predecessor.
type sessions struct {
	watched float64 // seconds that members were watched
	left    float64 // departures among them
	at      time.Time
}

// The bounds of the estimate, and what it begins with.
const (
	firstSession = time.Hour
	leastSession = 30 * time.Second
	mostSession  = 7 * 24 * time.Hour
	firstLeft    = 0.1 // departures that the first guess counts for
	toldLeft     = 2   // the same of what the neighbours of a newcomer have found
	mostLeft     = 30  // departures after which older ones count less
)

// guess begins anew with what is thought, which counts for so many departures.
func (s *sessions) guess(d time.Duration, left float64) {
	d = min(max(d, leastSession), mostSession)
	s.left, s.watched = left, left*d.Seconds()
}

// watch counts the time since the last call for so many members.
func (s *sessions) watch(now time.Time, count int) {
	if s.left == 0 {
		s.guess(firstSession, firstLeft)
	}
	if !s.at.IsZero() {
		s.watched += now.Sub(s.at).Seconds() * float64(count)
	}
	s.at = now
	if s.left > mostLeft || s.watched > mostSession.Seconds()*float64(max(count, 8)) {
		s.left, s.watched = s.left/2, s.watched/2
	}
}

func (s *sessions) departed() { s.left++ }

// mean returns the mean time that members stay.
func (s *sessions) mean() time.Duration {
	if s.left == 0 {
		return firstSession
	}
	return min(max(time.Duration(s.watched/s.left*float64(time.Second)), leastSession), mostSession)
}

// spent notes what a call or an answer of the ring's upkeep costs.
func (m *Machine) spent(msg wire.Message) {
	switch msg := msg.(type) {
	case *wire.GetState:
		m.news.upkeep.add(m.now, cost(askSize))
	case *wire.State:
		m.news.upkeep.add(m.now, cost(smallSize+peerSize*(2+len(msg.Succ))))
	case *wire.Changed:
		m.news.upkeep.add(m.now, cost(smallSize+len(msg.Order)+peerSize*len(msg.New)))
	case *wire.Joined:
		m.news.upkeep.add(m.now, cost(smallSize+peerSize*(1+len(msg.Succ)+len(msg.Closer))))
	case *wire.Leave:
		m.news.upkeep.add(m.now, cost(smallSize+peerSize*(2+len(msg.Succ))))
	case *wire.Found:
		m.news.upkeep.add(m.now, cost(smallSize+peerSize*len(msg.Peers)))
	case *wire.Gossip:
		m.news.spending.add(m.now, cost(gossipSize(msg)))
	case *wire.Doubt:
		m.news.spending.add(m.now, cost(smallSize+msg.Notice.Size()))
	case *wire.GetMembers, *wire.Members, *wire.GetCertificates, *wire.Certificates:
		// paid for apart: see snapshots
	default:
		m.news.upkeep.add(m.now, cost(smallSize+peerSize))
	}
}

func gossipSize(msg *wire.Gossip) int {
	size := smallSize
	for i := range msg.Groups {
		g := &msg.Groups[i]
		size += newsSize
		for k := range g.Descs {
			size += g.Descs[k].Size()
		}
		for k := range g.Notices {
			size += g.Notices[k].Size()
		}
	}
	return size
}
