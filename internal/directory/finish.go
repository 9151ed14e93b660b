package directory

import (
	"errors"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// finish makes the result and begins to listen on. It checks the pin last: a changed key outweighs
// that the name is not registered.
func (f *Resolving) finish(now time.Time, err error) {
	f.res = &Resolution{AOR: f.aor}
	if err == nil || errors.Is(err, ErrNotRegistered) {
		if e := f.fill(err == nil); e != nil {
			f.res, err = &Resolution{AOR: f.aor}, e
		}
	}
	f.err = err
	f.evidence.Conflict = f.conflict
	f.evidence.ElapsedMS = millis(now.Sub(f.began))
	f.res.Evidence = f.evidence
	f.res.Evidence.Asked = slices.Clone(f.evidence.Asked) // answers still come in
	f.res.Evidence.Bad = f.allBad()
	f.done = true
	f.beginListening(now)
}

// allBad names every answer that did not count, those too that were found
// wanting only when others had come.
func (f *Resolving) allBad() []Bad {
	bad := slices.Clone(f.evidence.Bad)
	for _, b := range f.col.Bad() {
		bad = append(bad, Bad{Kind: kindName(record.KindShare), X: b.X, Holder: f.holder(b.From), Reason: b.Reason})
	}
	for _, h := range f.heard {
		switch {
		case f.cert == nil || f.cert.Follows(h.cert.Key) || h.cert.Follows(f.cert.Key):
		case h.cert.Version < f.cert.Version:
			bad = append(bad, Bad{Kind: kindName(h.kind), Holder: h.holder, Reason: ReasonOldVersion})
		default:
			bad = append(bad, Bad{Kind: kindName(h.kind), Holder: h.holder, Reason: keyshare.ReasonOtherKey})
		}
	}
	return bad
}

func (f *Resolving) holder(node identity.NodeID) Holder {
	return Holder{Node: node, Owner: f.owners[node]}
}

func (f *Resolving) fill(devices bool) error {
	key, ok := f.col.Key()
	if !ok {
		return ErrNotEnoughShares
	}
	if f.cert != nil { // without one the key is nobody's word but the shares'
		if err := f.comparePin(key.Key, key.Version); err != nil {
			return err
		}
		f.res.Key, f.res.Version, f.res.Account = key.Key, key.Version, f.cert
		claim := claimOf(key)
		f.look.settled.Store(&claim)
	}
	f.evidence.Dealing = key.Dealing
	for _, u := range key.Used {
		f.evidence.Shares = append(f.evidence.Shares, ShareUse{X: u.X, Holder: f.holder(u.From)})
	}
	f.countOwners()
	if devices {
		f.res.Devices = f.deviceList()
	}
	return nil
}

func (f *Resolving) comparePin(key identity.PublicKey, version uint32) error {
	switch {
	case f.known.Pin == nil && f.known.NoPin:
	case f.known.Pin == nil:
		f.evidence.Pin = pinFirst
	case f.known.Pin.Key.Equal(key):
		f.evidence.Pin = pinMatches
	case f.cert.Follows(f.known.Pin.Key):
		f.evidence.Pin = pinFollows
	default:
		return f.changed(key, version)
	}
	return nil
}

func (f *Resolving) changed(key identity.PublicKey, version uint32) error {
	f.evidence.Pin = pinChanged
	return &KeyChangedError{
		AOR: f.aor, Old: f.known.Pin.Key, New: key, OldVersion: f.known.Pin.Version, NewVersion: version, Seen: f.sightings(key),
	}
}

// sightings names who spoke for a key.
func (f *Resolving) sightings(key identity.PublicKey) (out []Sighting) {
	for _, h := range f.heard {
		if h.cert.Key == key {
			out = append(out, Sighting{Kind: kindName(h.kind), Holder: h.holder})
		}
	}
	if k, ok := f.col.Key(); ok && k.Key == key {
		for _, u := range k.Used {
			out = append(out, Sighting{Kind: kindName(record.KindShare), X: u.X, Holder: f.holder(u.From)})
		}
	}
	return out[:min(len(out), maxSightings)]
}

// countOwners counts the people who hold the shares used, caller and callee
// not among them, and says what the count is worth.
func (f *Resolving) countOwners() {
	others := make(map[identity.OwnerTag]bool)
	for _, s := range f.evidence.Shares {
		if f.counts(s.Holder.Owner) {
			others[s.Holder.Owner] = true
		}
	}
	all := make(map[identity.OwnerTag]bool)
	for _, o := range f.owners {
		if f.counts(o) {
			all[o] = true
		}
	}
	k := int(f.charter.K)
	f.evidence.DistinctOwners = len(others)
	// Too small: too few members, or every position answered and still too few
	// people among them.
	f.evidence.SmallRing = len(others) < k && (f.set.Members() < k+2 || f.shares.spent() && len(all) < k)
	switch {
	case f.evidence.SmallRing:
		f.evidence.Note = noteSmallRing
	case len(others) < k:
		f.evidence.Note = noteFewOwners
	}
}

func (f *Resolving) counts(o identity.OwnerTag) bool {
	return o != (identity.OwnerTag{}) && o != f.set.Self && (f.cert == nil || o != f.cert.Owner)
}

func (f *Resolving) deviceList() []Device {
	out := make([]Device, 0, len(f.devices))
	for _, reg := range f.current() {
		if !reg.gone {
			out = append(out, reg.device)
		}
	}
	slices.SortFunc(out, func(a, b Device) int {
		switch {
		case a.Part < b.Part:
			return -1
		case a.Part > b.Part:
			return 1
		}
		return 0
	})
	return out
}
