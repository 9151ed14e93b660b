package chord

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// refusal is another node's answer of type Error.
type refusal struct{ answer *wire.Error }

func (r refusal) Error() string {
	return fmt.Sprintf("chord: refused by the other node: %s (%d)", r.answer.Reason, r.answer.Code)
}

// Lookup finds the node responsible for target. It asks members itself, three
// at a time or a few more while some take long, and takes at most 3 s; a little
// longer on a machine that is short of processor time. What it finds is the word
// of the member that precedes the target; calling the responsible node verifies
// it.
func (n *Node) Lookup(ctx context.Context, target ID) (Route, error) {
	v := n.view.Load()
	if v.Phase != PhaseJoined || !v.Settled {
		return Route{}, ErrNotJoined
	}
	if r, ok := v.route(target); ok {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime+n.patience())
	defer cancel()
	return n.search(ctx, v, target)
}

// route answers a look-up from the node's own neighbourhood, where that has
// the answer.
func (v *View) route(target ID) (Route, bool) {
	switch {
	case len(v.Succ) == 0 || v.Responsible(target):
		return Route{Responsible: v.Self, Successors: v.Succ}, true
	case zave.Owns(v.Self.ID, target, v.Succ[0].ID):
		return Route{Responsible: v.Succ[0], Successors: v.Succ[1:]}, true
	}
	return Route{}, false
}

// start returns whom a look-up may begin with: the members that precede the
// target most closely and, should those be dead, the neighbours.
func (v *View) start(target ID) []wire.Peer {
	var buf [2 * searchParallel]*contact
	var out []wire.Peer
	for _, c := range v.members.before(v.Self.ID, target, len(buf), buf[:0]) {
		out = append(out, c.peer)
	}
	for _, p := range v.Succ {
		if between(v.Self.ID, p.ID, target) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		out = append(out, v.Succ[0])
	}
	return out
}

type found struct {
	id  ID
	msg wire.Message
	rtt time.Duration
}

func (n *Node) search(ctx context.Context, v *View, target ID) (Route, error) {
	start := v.start(target)
	s := NewSearch(v.Self.ID, target, start, v.Succ, n.cfg.Refused)
	answers := make(chan found, searchQueries)
	parallel := searchParallel
	if v.Complete {
		parallel = 1 // whoever precedes the target is known; the others are a reserve
	}
	more := time.NewTimer(n.hedge(v, start[0].ID))
	defer more.Stop()
	late := 0
	for {
		for s.Flying() < parallel {
			p, ask, ok := s.Next()
			if !ok {
				break
			}
			go func() { // ends with ctx
				msg, rtt, err := n.ask(ctx, p, ask)
				if err != nil {
					msg = nil
				}
				answers <- found{p.ID, msg, rtt}
			}()
		}
		r, final, ok := s.Result()
		if final {
			return r, nil
		}
		if s.Flying() == 0 {
			return Route{Hops: s.Hops()}, s.Err()
		}
		select {
		case a := <-answers:
			s.Answer(a.id, a.msg, a.rtt)
			if a.msg == nil {
				parallel = max(parallel, searchParallel)
			}
			if _, _, now := s.Result(); now && !ok {
				more.Reset(hedgeUnknown) // for those who may know better
			}
		case <-more.C:
			if late++; ok || late >= searchLate && r.Responsible.ID != (ID{}) {
				return r, nil // whoever lies closer takes too long
			}
			parallel = max(searchParallel, min(parallel+1, searchMost))
			more.Reset(hedgeUnknown)
		case <-ctx.Done():
			if ok {
				return r, nil
			}
			return Route{Hops: s.Hops()}, fmt.Errorf("%w: %w", ErrNoRoute, ctx.Err())
		}
	}
}

// The bounds of the time after which a second node is asked beside a first one
// that has not answered yet.
const (
	hedgeLeast   = 25 * time.Millisecond
	hedgeUnknown = 150 * time.Millisecond
	hedgeMost    = 400 * time.Millisecond
)

// hedge returns how long to wait for a node before another is asked, too: three
// times its round trip.
func (n *Node) hedge(v *View, id ID) time.Duration {
	if c := v.members.find(id); c != nil {
		if rtt := time.Duration(c.rtt.Load()); rtt > 0 {
			return min(max(3*rtt, hedgeLeast), hedgeMost)
		}
	}
	return hedgeUnknown
}

// ask calls another node for a look-up or for records, tells the machine how
// that went, and returns a refusal as an error.
func (n *Node) ask(ctx context.Context, p wire.Peer, req wire.Message) (wire.Message, time.Duration, error) {
	select {
	case n.slots <- struct{}{}:
		defer func() { <-n.slots }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	timeout := firstTimeout
	known := n.view.Load().members.find(p.ID)
	if known != nil {
		p = known.peer
		if rtt := time.Duration(known.rtt.Load()); rtt > 0 {
			timeout = min(max(6*rtt, minTimeout), maxTimeout)
		}
	}
	call, cancel := context.WithTimeout(ctx, timeout+n.patience())
	defer cancel()
	start := time.Now()
	msg, err := n.cfg.Transport.Call(call, p, req)
	rtt := time.Since(start)
	if err != nil {
		if ctx.Err() == nil { // it was not the caller who lost patience
			n.Suspect(p.ID)
		}
		return nil, rtt, err
	}
	if known != nil && (known.rtt.Load() == 0 || rand.IntN(8) == 0) {
		n.heard(p.ID, rtt)
	}
	if e, ok := msg.(*wire.Error); ok {
		if e.Code == wire.CodeUnavailable && e.Retry == 0 {
			n.Suspect(p.ID)
		}
		return nil, rtt, refusal{e}
	}
	return msg, rtt, nil
}

// patience is what a busy machine adds to every wait.
func (n *Node) patience() time.Duration { return 3 * time.Duration(n.lag.Load()) }

func (n *Node) heard(id ID, rtt time.Duration) {
	select {
	case n.in <- input{ev: Heard{ID: id, RTT: rtt}}:
	default:
	}
}
