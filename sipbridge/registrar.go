package sipbridge

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// registrar holds the live bindings of the local accounts (RFC 3261 §10.3).
type registrar struct {
	cfg *Config

	mu       sync.Mutex
	accounts map[identity.AOR]*account
}

// account is one local account with at least one phone, or one whose bindings
// are being changed.
type account struct {
	aor      identity.AOR
	bindings []Binding
	users    int           // who hold or wait for turn
	turn     chan struct{} // held while a change is published
}

func newRegistrar(cfg *Config) *registrar {
	return &registrar{cfg: cfg, accounts: make(map[identity.AOR]*account)}
}

// update is what one REGISTER asks for.
type update struct {
	aor       identity.AOR
	star      bool
	contacts  []Binding // Expires is zero for one to be removed
	callID    string
	cseq      uint32
	canonical []string // of contacts
	claim     claim
}

// take gets the turn to change an account's bindings. release must follow.
func (r *registrar) take(ctx context.Context, aor identity.AOR) (*account, *Refusal) {
	r.mu.Lock()
	a := r.accounts[aor]
	if a == nil {
		if len(r.accounts) >= MaxAccounts {
			r.mu.Unlock()
			return nil, Overloaded("too many accounts have a phone here", time.Minute)
		}
		a = &account{aor: aor, turn: make(chan struct{}, 1)}
		r.accounts[aor] = a
	}
	a.users++
	r.mu.Unlock()
	select {
	case a.turn <- struct{}{}:
		return a, nil
	case <-ctx.Done():
		r.leave(a)
		return nil, TimedOut("the registration before this one takes too long")
	}
}

func (r *registrar) release(a *account) {
	<-a.turn
	r.leave(a)
}

func (r *registrar) leave(a *account) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.users--; a.users == 0 && len(a.bindings) == 0 && r.accounts[a.aor] == a {
		delete(r.accounts, a.aor)
	}
}

// refresh applies an update that nobody else needs to hear of, if it is one
// and no other is in progress: it extends bindings, or asks for them.
func (r *registrar) refresh(u *update) (live []Binding, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[u.aor]
	if a == nil || a.users > 0 {
		return nil, a == nil && !u.star && len(u.contacts) == 0
	}
	next, refusal := u.apply(a.bindings, r.cfg.Now())
	if refusal != nil || visible(a.bindings, next) {
		return nil, false
	}
	a.bindings = next
	return slices.Clone(next), true
}

// set replaces the bindings of an account whose turn the caller has, and
// returns those before.
func (r *registrar) set(a *account, next []Binding) (before []Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, a.bindings = a.bindings, next
	return before
}

// current returns an account's bindings for its holder.
func (r *registrar) current(a *account) []Binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(a.bindings)
}

// live returns the bindings that have not expired, the most preferred first
// and among equals the most recently refreshed.
func (r *registrar) live(aor identity.AOR) []Binding {
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[aor]
	if a == nil {
		return nil
	}
	out := slices.DeleteFunc(slices.Clone(a.bindings), func(b Binding) bool { return !b.Expires.After(now) })
	slices.SortStableFunc(out, func(x, y Binding) int {
		return cmp.Or(cmp.Compare(y.Q, x.Q), y.Expires.Compare(x.Expires))
	})
	return out
}

// all returns every account's registration.
func (r *registrar) all() []Registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Registration
	for _, a := range r.accounts {
		out = append(out, Registration{a.aor, slices.Clone(a.bindings)})
	}
	return out
}

// overdue returns the accounts that have an expired binding and are not being
// changed.
func (r *registrar) overdue() []identity.AOR {
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []identity.AOR
	for _, a := range r.accounts {
		if a.users == 0 && slices.ContainsFunc(a.bindings, func(b Binding) bool { return !b.Expires.After(now) }) {
			out = append(out, a.aor)
		}
	}
	return out
}

// note writes what a probe found into the bindings of that contact.
func (r *registrar) note(aor identity.AOR, contact string, direct, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[aor]
	if a == nil {
		return
	}
	next := slices.Clone(a.bindings)
	for i := range next {
		if next[i].Contact == contact {
			next[i].Direct, next[i].DirectWhy = direct, why
		}
	}
	a.bindings = next
}

func (r *registrar) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, a := range r.accounts {
		n += len(a.bindings)
	}
	return n
}

// apply works an update into the bindings (RFC 3261 §10.3, steps 6 and 7) and
// returns the new ones; old is left as it is.
func (u *update) apply(old []Binding, now time.Time) ([]Binding, *Refusal) {
	next := slices.DeleteFunc(slices.Clone(old), func(b Binding) bool { return !b.Expires.After(now) })
	for _, b := range next {
		if (u.star || u.names(&b)) && b.CallID == u.callID && u.cseq < b.CSeq {
			return nil, refuse(500, "Server Internal Error", "an older REGISTER came after a newer one")
		}
	}
	if u.star {
		return nil, nil
	}
	for i := range u.contacts {
		c := &u.contacts[i]
		at := slices.IndexFunc(next, func(b Binding) bool { return canonical(b.Contact) == u.canonical[i] })
		switch {
		case at >= 0 && next[at].CallID == u.callID && next[at].CSeq == u.cseq:
			// The same REGISTER once more.
		case c.Expires.IsZero():
			if at >= 0 {
				next = slices.Delete(next, at, at+1)
			}
		default:
			if at >= 0 {
				c.Direct, c.DirectWhy = next[at].Direct, next[at].DirectWhy
				next[at] = *c
			}
			next = slices.DeleteFunc(next, func(b Binding) bool { return u.replaces(c, &b) })
			if at < 0 {
				next = append(next, *c)
			}
		}
	}
	if len(next) > MaxBindings {
		return nil, Forbidden("this account has as many phones as it may have; unregister one")
	}
	return next, nil
}

// names tells whether the update is about this binding.
func (u *update) names(b *Binding) bool { return slices.Contains(u.canonical, canonical(b.Contact)) }

// replaces tells whether the contact c comes from the same phone as b,
// which has moved: the same instance, or the same Call-ID in an older request.
func (u *update) replaces(c, b *Binding) bool {
	if u.names(b) {
		return false
	}
	return c.Instance != "" && c.Instance == b.Instance || b.CallID == u.callID && b.CSeq < u.cseq
}

// visible tells whether the two lists differ in more than lifetimes.
func visible(before, after []Binding) bool {
	return !slices.EqualFunc(before, after, func(x, y Binding) bool {
		return x.Contact == y.Contact && x.Q == y.Q && x.Transport == y.Transport
	})
}

func canonical(contact string) string {
	u, err := message.ParseURI([]byte(contact))
	if err != nil {
		return contact
	}
	return u.Canonical()
}

// restore sets the bindings of an account that has none.
func (r *registrar) restore(aor identity.AOR, list []Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(list) == 0 || r.accounts[aor] != nil || len(r.accounts) >= MaxAccounts {
		return
	}
	r.accounts[aor] = &account{aor: aor, bindings: list, turn: make(chan struct{}, 1)}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
