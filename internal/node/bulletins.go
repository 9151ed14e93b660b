package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// How bulletins reach everybody: what is new to a node it tells at once to
// those that it is connected to, and every half minute it compares its board
// with two others', which makes up for whatever was lost. So a revocation is
// everywhere within seconds, and within minutes of the end of a partition.
const (
	compareEvery   = 30 * time.Second
	comparePartner = 2                // asked each time
	compareSooner  = 5 * time.Second  // once more with one partner, where one did not answer
	compareAgain   = 3                // times in a row
	tellMost       = 16               // connected nodes that are told of news
	askMost        = 64               // questions to one partner in one comparison
	bulletinTime   = 4 * time.Second  // for one question or one telling
	bulletinRate   = 128              // bulletins a second that others may make this node verify
	bulletinBurst  = 1024             // and at once
	pruneEvery     = 10 * time.Minute // drops what is over
)

// The reasons for which bulletins are refused, in the room "node".
const (
	reasonBulletinForged  = "bulletin_forged"
	reasonBulletinForeign = "bulletin_foreign"
	reasonBulletinOld     = "bulletin_old"
	reasonBulletinVoid    = "bulletin_void"
	reasonBulletinFull    = "bulletin_full"
	reasonBulletinRate    = "bulletin_rate"
)

// bulletins spreads the overlay's bulletins and lets what they say take effect.
type bulletins struct {
	board  *identity.Board
	now    func() time.Time // overlay time, zero while it is unknown
	seen   func() time.Time // the same, as good as it is known
	refuse func(reason string)
	keep   func([]*identity.Posted) error // on disk
	effect func([]*identity.Posted)       // on everything that rests on keys
	limit  *rate.Limiter
	news   chan struct{} // holds one token while something is to be told

	mu    sync.Mutex
	fresh []untold
}

// untold is a bulletin that others have to be told of, but for who brought it.
type untold struct {
	p    *identity.Posted
	from identity.NodeID
}

func newBulletins(board *identity.Board, now, seen func() time.Time, refuse func(string)) *bulletins {
	return &bulletins{
		board: board, now: now, seen: seen, refuse: refuse, limit: rate.NewLimiter(bulletinRate, bulletinBurst), news: make(chan struct{}, 1),
		keep: func([]*identity.Posted) error { return nil }, effect: func([]*identity.Posted) {},
	}
}

// take puts bulletins from a node, or of this one if from is zero, on the
// board. What is new is kept, takes effect and is told on. It stops at the
// first that the sender should not have passed on, and returns why.
func (b *bulletins) take(from identity.NodeID, items []identity.SignedBulletin) (fresh int, err error) {
	now, seen := b.now(), b.seen()
	var posted []*identity.Posted
	for _, s := range items {
		p, isNew, failed := b.board.Post(s, seen, now)
		if failed != nil {
			b.refuse(bulletinReason(failed))
			if err = failed; !honest(failed) {
				break
			}
			continue
		}
		if isNew {
			posted = append(posted, p)
		}
	}
	if len(posted) == 0 {
		return 0, err
	}
	if failed := b.keep(posted); failed != nil && err == nil && from == (identity.NodeID{}) {
		err = failed // who signs must have it on disk
	}
	b.effect(posted)
	b.mu.Lock()
	for _, p := range posted {
		if len(b.fresh) < bulletinBurst {
			b.fresh = append(b.fresh, untold{p, from})
		}
	}
	b.mu.Unlock()
	select {
	case b.news <- struct{}{}:
	default:
	}
	return len(posted), err
}

// honest tells whether a node that does as it should may pass such a bulletin
// on: its board or its clock may differ.
func honest(err error) bool {
	return errors.Is(err, identity.ErrBoardFull) || errors.Is(err, identity.ErrTooLate) ||
		errors.Is(err, identity.ErrRevoked) || errors.Is(err, identity.ErrExpired)
}

func bulletinReason(err error) string {
	switch {
	case errors.Is(err, identity.ErrOtherOverlay):
		return reasonBulletinForeign
	case errors.Is(err, identity.ErrExpired):
		return reasonBulletinOld
	case errors.Is(err, identity.ErrTooLate), errors.Is(err, identity.ErrRevoked):
		return reasonBulletinVoid
	case errors.Is(err, identity.ErrBoardFull):
		return reasonBulletinFull
	}
	return reasonBulletinForged
}

// serve answers what others ask and tell.
func (b *bulletins) serve(from identity.NodeID, req wire.Message) wire.Message {
	switch m := req.(type) {
	case *wire.GetBulletins:
		return b.answer(m)
	case *wire.Post:
		if !b.limit.AllowN(time.Now(), len(m.Items)) {
			b.refuse(reasonBulletinRate)
			e := wire.Errorf(wire.CodeTooMany, "too many bulletins at once")
			e.Retry = 1000
			return e
		}
		if _, err := b.take(from, m.Items); err != nil && !honest(err) {
			return wire.Errorf(wire.CodeForbidden, "a bulletin that does not verify")
		}
		return &wire.Ack{}
	}
	return nil
}

func (b *bulletins) answer(m *wire.GetBulletins) wire.Message {
	out := &wire.Bulletins{}
	switch {
	case len(m.Want) > 0:
		for _, id := range m.Want {
			if p := b.board.Get(id); p != nil {
				out.Items = append(out.Items, p.Signed)
			}
		}
	case m.Digest != b.board.Digest():
		out.IDs = b.board.After(m.After, wire.MaxBulletinIDs)
	}
	return out
}

// ask is how a node calls others.
type ask func(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error)

// compare gets from a partner what this node lacks. A partner that names what
// it does not have, or lies otherwise, costs askMost questions at most.
func (b *bulletins) compare(ctx context.Context, to wire.Peer, call ask) error {
	questions := 0
	question := func(m *wire.GetBulletins) (*wire.Bulletins, error) {
		questions++
		ctx, cancel := context.WithTimeout(ctx, bulletinTime)
		defer cancel()
		answer, err := call(ctx, to, m)
		if err != nil {
			return nil, err
		}
		got, ok := answer.(*wire.Bulletins)
		if !ok {
			return nil, link.ErrProtocol
		}
		return got, nil
	}
	var after identity.BulletinID
	for questions < askMost {
		list, err := question(&wire.GetBulletins{Digest: b.board.Digest(), After: after})
		if err != nil || len(list.IDs) == 0 {
			return err
		}
		missing := slices.DeleteFunc(slices.Clone(list.IDs), func(id identity.BulletinID) bool { return b.board.Get(id) != nil })
		for ; len(missing) > 0 && questions < askMost; missing = missing[min(len(missing), wire.MaxItems):] {
			want := missing[:min(len(missing), wire.MaxItems)]
			got, err := question(&wire.GetBulletins{Want: want})
			if err != nil {
				return err
			}
			asked := slices.DeleteFunc(got.Items, func(s identity.SignedBulletin) bool { return !slices.Contains(want, s.ID()) })
			if _, err := b.take(to.ID, asked); err != nil && !honest(err) {
				return err
			}
		}
		if len(list.IDs) < wire.MaxBulletinIDs {
			return nil
		}
		after = list.IDs[len(list.IDs)-1]
	}
	return nil
}

// untold takes out what others have not been told of yet.
func (b *bulletins) untold() []untold {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.fresh
	b.fresh = nil
	return out
}

// neighbourhood is whom a node can ask and tell: those that it is connected
// to, and those that it knows.
type neighbourhood interface {
	connected() []wire.Peer
	known() []wire.Peer
}

// run spreads bulletins until ctx ends.
func (b *bulletins) run(ctx context.Context, near neighbourhood, call ask) {
	next := time.NewTimer(jittered(compareEvery / 8)) // soon: it may have been away for long
	defer next.Stop()
	pruned, again := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.news:
			b.tell(ctx, near.connected(), call)
		case <-next.C:
			wait, ask := compareEvery, partners(near)
			if again > 0 && len(ask) > 1 {
				i := rand.IntN(len(ask)) // #nosec G404 -- spreads load over partners
				ask = ask[i : i+1]
			}
			silent := false
			for _, p := range ask {
				silent = b.compare(ctx, p, call) != nil || silent
			}
			if again++; silent && again <= compareAgain {
				wait = compareSooner
			} else {
				again = 0
			}
			if time.Since(pruned) > pruneEvery {
				pruned = time.Now()
				b.board.Prune(b.now())
			}
			next.Reset(jittered(wait))
		}
	}
}

// partners draws one node that this one is connected to and one that it knows.
func partners(near neighbourhood) []wire.Peer {
	var out []wire.Peer
	for _, list := range [][]wire.Peer{near.connected(), near.known()} {
		list = slices.DeleteFunc(list, func(p wire.Peer) bool {
			return slices.ContainsFunc(out, func(o wire.Peer) bool { return o.ID == p.ID })
		})
		if len(list) > 0 && len(out) < comparePartner {
			out = append(out, list[rand.IntN(len(list))]) // #nosec G404 -- spreads load over partners
		}
	}
	return out
}

// tell sends news to nodes that this one is connected to, some of them where
// there are many.
func (b *bulletins) tell(ctx context.Context, to []wire.Peer, call ask) {
	news := b.untold()
	rand.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
	var work sync.WaitGroup
	for _, p := range to[:min(len(to), tellMost)] {
		var items []identity.SignedBulletin
		for _, u := range news {
			if u.from != p.ID && b.board.Get(u.p.ID) != nil {
				items = append(items, u.p.Signed)
			}
		}
		work.Go(func() {
			for len(items) > 0 {
				n := min(len(items), wire.MaxItems)
				ctx, cancel := context.WithTimeout(ctx, bulletinTime)
				_, err := call(ctx, p, &wire.Post{Items: items[:n]})
				cancel()
				if err != nil {
					return // a comparison will bring them
				}
				items = items[n:]
			}
		})
	}
	work.Wait()
}

// jittered returns d, give or take a quarter, so that not all ask at once.
func jittered(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/2) // #nosec G404 -- spreads load over time
}
