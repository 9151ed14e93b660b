package hidden

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// world is members that all know one another, each of another owner.
type world struct {
	t     testing.TB
	peers []wire.Peer
	keys  map[identity.NodeID]identity.PrivateKey
	nodes map[identity.NodeID]*Relay

	mu      sync.Mutex
	dead    map[identity.NodeID]bool
	seen    []sight
	refused map[string]int
	slow    time.Duration // of a Fetch
}

// sight is a message as the network knows it: who sent what to whom.
type sight struct {
	from, to identity.NodeID
	msg      wire.Message
}

func newWorld(t testing.TB, members int) *world {
	w := &world{t: t, keys: map[identity.NodeID]identity.PrivateKey{}, nodes: map[identity.NodeID]*Relay{}, dead: map[identity.NodeID]bool{}, refused: map[string]int{}}
	for i := range members {
		id := identity.HashID(fmt.Sprintf("member %d", i))
		w.peers = append(w.peers, wire.Peer{ID: id, Owner: identity.OwnerTag{byte(i + 1)}})
		w.keys[id] = newKey(t)
	}
	for _, p := range w.peers {
		w.nodes[p.ID] = must(NewRelay(Config{
			Self: p.ID, Overlay: overlay, Key: w.keys[p.ID], Members: knows{w, p.ID}, Transport: line{w, p}, Refused: w.count,
			Fetch: func(_ context.Context, from wire.Peer, req *wire.Fetch) wire.Message {
				if w.slow > 0 {
					<-time.After(w.slow)
				}
				w.saw(from.ID, p.ID, req)
				return holding(1000)
			},
		}))(t)
	}
	return w
}

func (w *world) count(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused[reason]++
}

func (w *world) counted(reason string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused[reason]
}

func (w *world) saw(from, to identity.NodeID, msg wire.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, sight{from, to, msg})
}

func (w *world) kill(ids ...identity.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.dead[id] = true
	}
}

// sights returns what was seen of one type of message.
func (w *world) sights(of wire.Type) (out []sight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seen {
		if s.msg.Type() == of {
			out = append(out, s)
		}
	}
	return out
}

// knows is the table of a member.
type knows struct {
	w    *world
	self identity.NodeID
}

func (k knows) Member(id identity.NodeID) (wire.Peer, identity.PublicKey, bool) {
	for _, p := range k.w.peers {
		if p.ID == id && id != k.self {
			return p, k.w.keys[id].Public(), true
		}
	}
	return wire.Peer{}, identity.PublicKey{}, false
}

// line is what a member calls others by.
type line struct {
	w    *world
	from wire.Peer
}

var errDead = errors.New("nobody answers")

func (l line) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	l.w.saw(l.from.ID, to.ID, req)
	l.w.mu.Lock()
	dead := l.w.dead[to.ID]
	l.w.mu.Unlock()
	if dead {
		<-ctx.Done()
		return nil, errDead
	}
	if answer := l.w.nodes[to.ID].Serve(ctx, l.from, req); answer != nil {
		return answer, nil
	}
	return wire.Errorf(wire.CodeUnsupported, "not served"), nil
}

// way is one of member 0's, whose n-th pair is the n-th given.
func (w *world) way(pairs ...[2]int) *Way {
	self := w.peers[0]
	return NewWay(Asking{
		Self: self.ID, Overlay: overlay, Members: knows{w, self.ID}, Transport: line{w, self}, Refused: w.count,
		Wait: func(identity.NodeID) time.Duration { return 500 * time.Millisecond },
		Draw: func(try int) (first, second wire.Peer, ok bool) {
			if try >= len(pairs) {
				return first, second, false
			}
			return w.peers[pairs[try][0]], w.peers[pairs[try][1]], true
		},
	})
}
