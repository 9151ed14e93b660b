package directory_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// ring is members on a circle that hold what lies at their positions, and do
// to the answers what a test wants.
type ring struct {
	keeps bool // shares and account records of earlier keys; set before anything is put

	mu      sync.Mutex
	members []directory.Holder // by Node-ID
	held    map[place][]held
	tamper  func(ask) (directory.Answer, error, bool)
	rtt     time.Duration
	fetches []ask
	stores  int
	storing func(pos identity.NodeID, r record.Record) error
	size    int
}

type place struct{ pos, resource identity.NodeID }

type held struct {
	body record.Body
	rec  record.Record
}

// ask is one fetch as a holder sees it.
type ask struct {
	ctx           context.Context
	pos, resource identity.NodeID
	part          *uint64
	holder        directory.Holder
	honest        directory.Answer
}

// newRing places members evenly, each of another owner.
func newRing(members int) *ring {
	r := &ring{held: make(map[place][]held), size: members}
	for i := range members {
		id := identity.Fraction(i, members)
		id[15] = 1
		r.members = append(r.members, directory.Holder{Node: id, Owner: identity.OwnerTag{1, byte(i >> 8), byte(i)}})
	}
	return r
}

func (r *ring) responsible(pos identity.NodeID) directory.Holder {
	for _, m := range r.members {
		if m.Node.Compare(pos) >= 0 {
			return m
		}
	}
	return r.members[0]
}

// holderOf returns who holds position i of the 18 that concern a name.
func (r *ring) holderOf(aor identity.AOR, i int) identity.NodeID {
	kind, m := record.KindShare, 10
	switch {
	case i >= 14:
		kind, m, i = record.KindAccount, 4, i-14
	case i >= 10:
		kind, m, i = record.KindRegistration, 4, i-10
	}
	return r.responsible(record.Position(record.Resource(aor, kind), i, m)).Node
}

// put stores without rules: the record of a higher sequence replaces.
func (r *ring) put(t testing.TB, trust *identity.Trust, recs ...record.Record) {
	t.Helper()
	for _, rec := range recs {
		b, err := rec.Body()
		must(t, err)
		for _, pos := range record.PositionsOf(b, trust.Charter()) {
			r.putAt(pos, b, rec)
		}
	}
}

func (r *ring) putAt(pos identity.NodeID, b record.Body, rec record.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	aor, _ := identity.ParseAOR(b.AOR)
	at := place{pos, record.Resource(aor, b.Kind)}
	if !r.keeps || b.Kind == record.KindRegistration { // else the old key's records stay beside
		r.held[at] = slices.DeleteFunc(r.held[at], func(h held) bool { return h.body.Part == b.Part && h.body.Seq <= b.Seq })
	}
	r.held[at] = append(r.held[at], held{b, rec})
}

// forget removes what lies at a position.
func (r *ring) forget(aor identity.AOR, kind record.Kind, replica, m int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	res := record.Resource(aor, kind)
	delete(r.held, place{record.Position(res, replica, m), res})
}

func (r *ring) Store(ctx context.Context, pos identity.NodeID, rec record.Record) ([]directory.Holder, error) {
	r.mu.Lock()
	r.stores++
	storing, rtt := r.storing, r.rtt
	r.mu.Unlock()
	if err := wait(ctx, rtt); err != nil {
		return nil, err
	}
	if storing != nil {
		if err := storing(pos, rec); err != nil {
			return nil, err
		}
	}
	b, err := rec.Body()
	if err != nil {
		return nil, err
	}
	r.putAt(pos, b, rec)
	return []directory.Holder{r.responsible(pos)}, nil
}

func (r *ring) Fetch(ctx context.Context, pos, resource identity.NodeID, part *uint64) (directory.Answer, error) {
	r.mu.Lock()
	holder := r.responsible(pos)
	a := ask{ctx: ctx, pos: pos, resource: resource, part: part, holder: holder}
	a.honest = directory.Answer{Holder: holder, Responsible: true, RTT: r.rtt}
	for _, h := range r.held[place{pos, resource}] {
		if part == nil || h.body.Part == *part {
			a.honest.Records = append(a.honest.Records, h.rec)
		}
	}
	r.fetches = append(r.fetches, a)
	tamper, rtt := r.tamper, r.rtt
	r.mu.Unlock()
	if err := wait(ctx, rtt); err != nil {
		return directory.Answer{}, err
	}
	if tamper != nil {
		if ans, err, done := tamper(a); done {
			return ans, err
		}
	}
	return a.honest, nil
}

// lie makes the holders answer as f says; nil makes them honest.
func (r *ring) lie(f func(ask) (directory.Answer, error, bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tamper = f
}

func (r *ring) Size() int { return r.size }

func (r *ring) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.fetches)
}

var errUnreachable = errors.New("holder unreachable")

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// silent never answers.
func silent(a ask) (directory.Answer, error, bool) {
	<-a.ctx.Done()
	return directory.Answer{}, a.ctx.Err(), true
}

func nothing(a ask) (directory.Answer, error, bool) {
	a.honest.Records = nil
	return a.honest, nil, true
}

func unreachable(ask) (directory.Answer, error, bool) {
	return directory.Answer{}, errUnreachable, true
}

func honestly(ask) (directory.Answer, error, bool) { return directory.Answer{}, nil, false }
