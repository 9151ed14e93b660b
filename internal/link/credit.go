package link

import (
	"sync"

	"github.com/quic-go/quic-go"
)

// heldCredits is how many finished streams of one connection may wait.
const heldCredits = 4

// credits are the streams of the other side that have been served and still
// count against what it may open. To give one back takes a packet, and another
// that acknowledges it; along with the next answer it takes neither. So two of
// the five packets of a lonely request are saved.
type credits struct {
	mu   sync.Mutex
	held []*quic.Stream // oldest first
}

// hold keeps s until the next answer; of too many, the oldest goes back at once.
func (c *credits) hold(s *quic.Stream) {
	c.mu.Lock()
	c.held = append(c.held, s)
	var oldest *quic.Stream
	if len(c.held) > heldCredits {
		oldest = c.held[0]
		c.held = c.held[1:]
	}
	c.mu.Unlock()
	if oldest != nil {
		oldest.ReleaseStreamCredit()
	}
}

// giveBack is for the moment before an answer is written.
func (c *credits) giveBack() {
	c.mu.Lock()
	held := c.held
	c.held = nil
	c.mu.Unlock()
	for _, s := range held {
		s.ReleaseStreamCredit()
	}
}
