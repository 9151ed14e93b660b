package sipbridge

import (
	"context"
	"slices"
	"sync"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// Offer tells the hub which paths a verified caller may be given to a local
// phone. It returns a *Refusal (480) if no phone of the callee is there. It
// may wait up to half a second for a phone's answer.
func (b *Bridge) Offer(ctx context.Context, in Inbound) (Offer, error) {
	phones, r := b.phones(ctx, in.Callee)
	if r != nil {
		return Offer{}, r
	}
	allows := func(path string) bool {
		return slices.Contains(b.cfg.choice(), path) && (len(in.Paths) == 0 || slices.Contains(in.Paths, path))
	}
	o := Offer{Carried: allows(PathCarried), Protected: allows(PathProtected)}
	switch {
	case !allows(PathDirect):
		o.Why = "the direct path is not allowed"
	case o.Protected && len(in.Paths) > 0 && in.Paths[0] == PathProtected:
		o.Why = "the protected path is preferred" // and nobody need wait for an OPTIONS
	case len(phones) > 1 && (o.Carried || o.Protected):
		o.Why = "several phones are registered; all of them ring only if the call is carried"
	default:
		c := b.direct(&phones[0], in.LocalIP, in.RemoteIP)
		if o.Why = c.why; o.Why == "" {
			o.Why = c.verdict(b.probes.ask(ctx, c.key, c.uri, probeFresh, probeInCall))
		}
		if o.Why == "" {
			o.Direct = c.uri
		}
	}
	if o.Direct == "" && !o.Carried && !o.Protected {
		return o, Unreachable(o.Why)
	}
	return o, nil
}

// phones returns the callee's phones that are there.
func (b *Bridge) phones(ctx context.Context, callee identity.AOR) ([]Binding, *Refusal) {
	live := b.registrar.live(callee)
	if len(live) == 0 {
		return nil, NotRegistered("")
	}
	there := make([]bool, len(live))
	var wg sync.WaitGroup
	for i := range live {
		wg.Go(func() { there[i] = b.there(ctx, &live[i], probeFresh, probeInCall) })
	}
	wg.Wait()
	var out []Binding
	for i, ok := range there {
		if ok {
			out = append(out, live[i])
		}
	}
	if len(out) == 0 {
		return nil, NotRegistered("the phone is registered but does not answer; it may be switched off")
	}
	return out, nil
}

// Ring rings the callee's phones for a call that came in over t. It returns
// when the call is over and t is closed, or with a *Refusal if nothing rang.
func (b *Bridge) Ring(ctx context.Context, in Inbound, t carry.Tunnel) error {
	ring := carry.Ring{Caller: in.Caller, Callee: in.Callee, CallID: in.CallID, Path: in.Path}
	for _, v := range b.registrar.live(in.Callee) {
		if f, ok := b.flowTo(&v); ok && len(ring.Targets) < carry.MaxTargets {
			ring.Targets = append(ring.Targets, carry.Target{URI: v.target(), Flow: f})
		}
	}
	if len(ring.Targets) == 0 {
		_ = t.Close()
		return NotRegistered("")
	}
	return b.engine.Ring(ctx, ring, t)
}

// Calls returns the calls that are being carried.
func (b *Bridge) Calls() []carry.Info { return b.engine.Calls() }

// HangUp ends, at its phone, a call that an earlier run of this program was
// carrying when it died. Call it after Ready.
func (b *Bridge) HangUp(l carry.Left, why string) error { return b.engine.HangUp(l, why) }

// Bindings returns an account's live bindings, the preferred one first.
func (b *Bridge) Bindings(aor identity.AOR) []Binding { return b.registrar.live(aor) }

// Restore gives back bindings from before a restart; those that have expired
// or cannot be read are left out, and an account that has bindings keeps them.
// It publishes nothing. It may be called before Run.
func (b *Bridge) Restore(aor identity.AOR, list []Binding) {
	now := b.cfg.Now()
	var keep []Binding
	for _, v := range list {
		u, err := message.ParseURI([]byte(v.Contact))
		if err == nil && u.IsSIP() && v.Expires.After(now) && v.Source.IsValid() && len(keep) < MaxBindings {
			v.Expires = earlier(v.Expires, now.Add(b.cfg.MaxExpires))
			keep = append(keep, v)
		}
	}
	b.registrar.restore(aor, keep)
	b.owners.restore(aor, keep)
}
