package sipbridge

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// exchanges remembers requests from phones: those in progress, those handed
// to the engine, and the final responses of those that are over. It stands in
// for server transactions (RFC 3261 §17.2), without timers: no response
// leaves that no request asked for.
type exchanges struct {
	seed maphash.Seed
	max  int
	kick chan struct{} // wakes the sweeper

	mu      sync.Mutex
	asleep  bool // the sweeper waits for kick
	pending map[uint64]*pending
	merged  map[uint64]*pending // by Call-ID, From tag and CSeq (§8.2.2.2)
	carried map[uint64]time.Duration
	done    *replay
}

const (
	carriedFor = 64 * time.Second // for how long an INVITE handed over may be repeated
	carriedMax = 4096
)

// pending is one request in progress.
type pending struct {
	key, merged uint64
	from        origin
	to          netip.AddrPort // where responses go
	invite      bool
	echo        []byte // what every response repeats
	started     time.Duration
	ctx         context.Context
	cancel      context.CancelCauseFunc

	mu       sync.Mutex
	tried    bool // 100 has been sent
	answered bool // the final response has been, or the engine has it
}

func newExchanges(limit int, seed maphash.Seed) *exchanges {
	return &exchanges{
		seed: seed, max: limit, kick: make(chan struct{}, 1), asleep: true,
		pending: make(map[uint64]*pending), merged: make(map[uint64]*pending),
		carried: make(map[uint64]time.Duration), done: newReplay(),
	}
}

// key identifies the transaction that a request belongs to, by its source,
// the topmost Via's branch and sent-by, and its method; ACK and CANCEL belong
// to the INVITE's (§17.2.3). Call-ID and CSeq number count too, since not every
// phone makes its branches unique; if the branch is one of RFC 2543, so does
// the From tag.
func (x *exchanges) key(w *worker, source netip.AddrPort, method []byte) uint64 {
	if m := string(method); m == "ACK" || m == "CANCEL" {
		method = []byte("INVITE")
	}
	b := append(w.scratch[:0], method...)
	b = appendAddr(b, source)
	b = append(b, 0)
	b = append(b, w.req.Hop.Branch...)
	b = append(b, 0)
	b = append(b, w.req.Hop.Host...)
	b = append(b, byte(w.req.Hop.Port>>8), byte(w.req.Hop.Port))
	b = append(append(b, w.msg.Get(message.CallID)...), 0)
	number, _ := message.Halves(w.msg.Get(message.CSeq))
	b = append(b, number...)
	if !hasCookie(w.req.Hop.Branch) {
		b = append(append(b, 0), w.req.From.Tag()...)
	}
	w.scratch = b
	return maphash.Bytes(x.seed, b)
}

// hasCookie tells a branch of RFC 3261 (§8.1.1.7).
func hasCookie(branch []byte) bool {
	return len(branch) > 7 && message.EqualFold(branch[:7], "z9hG4bK")
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().As16()
	return append(append(b, ip[:]...), byte(a.Port()>>8), byte(a.Port()))
}

// appendDialog appends what two copies of one request have in common.
func (w *worker) appendDialog(b []byte) []byte {
	b = append(b, w.msg.Get(message.CallID)...)
	b = append(b, 0)
	b = append(b, w.req.From.Tag()...)
	n := w.req.CSeq
	return append(b, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// tag is the To tag of every response to one request: a keyed hash, so that
// the same request gets the same answer at any time.
func (x *exchanges) tag(w *worker) uint64 {
	b := append(w.scratch[:0], "tag\x00"...)
	b = append(b, w.msg.Get(message.CallID)...)
	b = append(b, 0)
	b = append(b, w.req.From.Tag()...)
	b = append(b, 0)
	b = append(b, w.req.Hop.Branch...)
	w.scratch = b
	return maphash.Bytes(x.seed, b)
}

// mergeKey identifies a request however it came here (§8.2.2.2).
func (x *exchanges) mergeKey(w *worker) uint64 {
	b := w.appendDialog(append(append(w.scratch[:0], "merged\x00"...), w.msg.Method...))
	w.scratch = b
	return maphash.Bytes(x.seed, b)
}

// verdict is what is known of a request that came in.
type verdict int

const (
	isNew      verdict = iota
	isPending          // a repetition of one in progress
	isAnswered         // its final response is in the worker's output buffer
	isCarried          // the engine's
	isMerged           // another copy of one in progress, by another way
	isTooMany
)

// lookup finds a request's state. For a kept response it appends the bytes to
// w.out.
func (x *exchanges) lookup(w *worker, key uint64, now time.Duration) (verdict, *pending) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lookupLocked(w, key, now)
}

func (x *exchanges) lookupLocked(w *worker, key uint64, now time.Duration) (verdict, *pending) {
	if p := x.pending[key]; p != nil {
		return isPending, p
	}
	if out, ok := x.done.get(w.out[:0], key, now); ok {
		w.out = out
		return isAnswered, nil
	}
	if until, ok := x.carried[key]; ok && now < until {
		return isCarried, nil
	}
	return isNew, nil
}

// begin enters a request as pending, unless it is known.
func (x *exchanges) begin(w *worker, p *pending) (verdict, *pending) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if v, known := x.lookupLocked(w, p.key, p.started); v != isNew {
		return v, known
	}
	if x.merged[p.merged] != nil {
		return isMerged, nil
	}
	if len(x.pending) >= x.max {
		return isTooMany, nil
	}
	x.pending[p.key] = p
	x.merged[p.merged] = p
	if x.asleep {
		x.asleep = false
		x.kick <- struct{}{} // has room: the sweeper emptied it before it slept
	}
	return isNew, p
}

// end takes a request out of the pending ones and keeps its final response.
func (x *exchanges) end(p *pending, response []byte, now time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeLocked(p)
	x.done.put(p.key, response, now)
}

// handOver takes a request out of the pending ones: the engine has it.
func (x *exchanges) handOver(p *pending, now time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeLocked(p)
	if len(x.carried) < carriedMax {
		x.carried[p.key] = now + carriedFor
	}
}

func (x *exchanges) removeLocked(p *pending) {
	delete(x.pending, p.key)
	if x.merged[p.merged] == p {
		delete(x.merged, p.merged)
	}
}

// expire forgets what is too old.
func (x *exchanges) expire(now time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done.expire(now)
	for k, until := range x.carried {
		if now >= until {
			delete(x.carried, k)
		}
	}
}

// older appends the pending requests that began before t. If nothing is
// pending, the sweeper may sleep until there is a kick.
func (x *exchanges) older(list []*pending, t time.Duration) (late []*pending, sleep bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.pending {
		if p.started < t {
			list = append(list, p)
		}
	}
	x.asleep = len(x.pending) == 0
	return list, x.asleep
}

func (x *exchanges) sizes() (pending, kept int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.pending), x.done.entries
}
