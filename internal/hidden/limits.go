package hidden

import (
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// What one link may ask, of Pass, Turn and Ask together, whoever is behind it. A
// resolution makes five questions or so, all through one member.
const (
	perQuestion   = 100 * time.Millisecond // one more each
	questionBurst = 60                     // at once
	perByte       = 4 << 10                // ns: 256 KB of answers a second
	byteBurst     = 1 << 20                // and at once
	atOnceLink    = 24                     // under way, of one link
	atOnceAll     = 256                    // of all
	maxLinks      = 4096                   // whose asking is remembered
)

// limits holds what each link has left. A link that has all of it is forgotten.
type limits struct {
	mu     sync.Mutex
	links  map[identity.NodeID]*allowance
	active int
}

type allowance struct {
	questions, bytes float64 // used up; both sink with time
	at               time.Time
	active           int
}

func newLimits() *limits { return &limits{links: make(map[identity.NodeID]*allowance)} }

func (a *allowance) recover(now time.Time) {
	past := float64(now.Sub(a.at))
	a.at = now
	a.questions = max(a.questions-past/float64(perQuestion), 0)
	a.bytes = max(a.bytes-past/perByte, 0)
}

// enter counts a question in, or says why not. done is to be called with the
// length of its answer: an answer is paid when it is known, by what comes next.
func (l *limits) enter(from identity.NodeID, now time.Time) (done func(bytes int), reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.links[from]
	if a == nil {
		if len(l.links) >= maxLinks && !l.forgetLocked(now) {
			return nil, ReasonBusy
		}
		a = &allowance{at: now}
		l.links[from] = a
	}
	a.recover(now)
	switch {
	case a.questions+1 > questionBurst:
		return nil, ReasonRate
	case a.bytes >= byteBurst:
		return nil, ReasonBytes
	case a.active >= atOnceLink || l.active >= atOnceAll:
		return nil, ReasonBusy
	}
	a.questions++
	a.active++
	l.active++
	return func(bytes int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		a.bytes += float64(bytes)
		a.active--
		l.active--
	}, ""
}

// forgetLocked drops the links that have nothing used up, and reports whether
// there were any.
func (l *limits) forgetLocked(now time.Time) bool {
	before := len(l.links)
	for id, a := range l.links {
		if a.recover(now); a.active == 0 && a.questions == 0 && a.bytes == 0 {
			delete(l.links, id)
		}
	}
	return len(l.links) < before
}
