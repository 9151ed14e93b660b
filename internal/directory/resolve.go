package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/keyshare"
)

// maxDisputes bounds the conflicts that are kept.
const maxDisputes = 256

// pinEvery is how long pins are collected before they are written.
const pinEvery = time.Second

// touchAfter is how old the last sighting in a pin may be before it is renewed.
const touchAfter = 24 * time.Hour

// Options of Resolve.
type Options struct {
	Fresh bool // ask the ring even if there is an answer in the cache
	NoPin bool // look only: do not pin the key at first use

	// Key is what the address itself says of the key. It decides where the ring
	// says different things, and another key is ErrOtherKey; a pin counts all the
	// same.
	Key identity.KeyTag

	// For hidden look-ups only. Through is the member that they go through first,
	// such as the one of the person who is looked up, who learns nothing new by it;
	// zero is one that a known device of the name is at, else one drawn at random.
	// Stranger has one drawn in any case.
	Through  identity.NodeID
	Stranger bool
	// Within has a hidden look-up begin at a random moment within so long. A callee
	// looks the caller up just after the caller has looked up the callee; who holds
	// records of both may know them by that.
	Within time.Duration

	by Fetcher // that an earlier part of the same resolution asked with; nil = none
}

// entry is a cached resolution. It outlives its use as an answer, for the
// sequences that it has seen.
type entry struct {
	res   *Resolution
	until time.Time // monotonic
	seen  floor
}

// dispute is a conflict that this node has evidence of.
type dispute struct {
	conflict *keyshare.Conflict
	blocked  bool // met before the name was pinned: nobody can say which key is right
}

// Resolve turns a name, or a number, into its verified key and live devices.
// Concurrent calls for one name share one resolution. The Resolution is never
// nil, except with ErrBusy, ErrClosed and names of another overlay
// (identity.ErrOtherOverlay); see there what it holds beside an error. When
// ctx ends first the error is ErrTimeout.
func (d *Directory) Resolve(ctx context.Context, name identity.AOR, opt Options) (*Resolution, error) {
	if name.Overlay() != d.Trust().Overlay() {
		return nil, fmt.Errorf("%w: %s", identity.ErrOtherOverlay, name.Overlay())
	}
	if isNumber(name) {
		return d.resolveNumber(ctx, name, opt)
	}
	return d.resolve(ctx, name, opt)
}

func (d *Directory) resolve(ctx context.Context, aor identity.AOR, opt Options) (*Resolution, error) {
	f, res, err := d.enter(aor, opt)
	if f == nil {
		return res, err
	}
	select {
	case <-f.done:
		return f.res, f.err
	case <-ctx.Done():
		return &Resolution{AOR: aor}, fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	}
}

// enter returns the flight to wait for, or the result if there is one.
func (d *Directory) enter(aor identity.AOR, opt Options) (*flight, *Resolution, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.standing(aor); err != nil {
		return nil, &Resolution{AOR: aor}, err
	}
	keyed := !opt.Key.IsZero()
	if x, ok := d.conflicts.get(aor); ok && x.blocked && !keyed && !d.recovered(x.conflict) {
		return nil, &Resolution{AOR: aor, Evidence: Evidence{Conflict: x.conflict}}, x.conflict
	}
	if !opt.Fresh {
		if e, ok := d.cache.get(aor); ok && time.Now().Before(e.until) && (!keyed || opt.Key.Leads(e.res.Account)) {
			return nil, e.res, nil
		}
	}
	if f := d.active[aor]; f != nil && !keyed {
		return f, nil, nil
	}
	switch {
	case d.closed:
		return nil, nil, ErrClosed
	case len(d.active) >= d.cfg.MaxActive || keyed && d.running >= 2*d.cfg.MaxActive:
		d.cfg.Refused(ReasonBusy)
		return nil, nil, ErrBusy
	}
	f := &flight{d: d, aor: aor, noPin: opt.NoPin, want: opt.Key, done: make(chan struct{})}
	if d.cfg.Hidden != nil {
		f.within = opt.Within
	}
	f.by = d.askingLocked(aor, opt, hiddenKinds()...)
	if !keyed { // what it would wait for is another question
		d.active[aor] = f
	}
	d.running++
	d.work.Go(f.run)
	return f, nil, nil
}

// standing refuses names whose account has been revoked.
func (d *Directory) standing(aor identity.AOR) error {
	note, revoked := d.Trust().Board().RevokedName(aor, d.cfg.Now())
	switch {
	case !revoked:
		return nil
	case note != "":
		return fmt.Errorf("%w by the operator: %s", ErrRevoked, note)
	}
	return fmt.Errorf("%w by the operator", ErrRevoked)
}

// recovered tells whether two keys of a name contradict each other only because
// the operator has given it the one for the other, in public.
func (d *Directory) recovered(c *keyshare.Conflict) bool {
	board, now := d.Trust().Board(), d.cfg.Now()
	return board.Recovered(c.AOR, c.First.Digest, c.Second.Digest, now) || board.Recovered(c.AOR, c.Second.Digest, c.First.Digest, now)
}

// Recheck forgets all cached resolutions, because something was revoked that
// may be in them. What was seen of sequences stays known.
func (d *Directory) Recheck() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.cache.all() {
		e.until = time.Time{}
	}
}

// landed makes a finished resolution known: cache, first-use pin, alarms.
func (d *Directory) landed(f *flight) {
	d.mu.Lock()
	if d.active[f.aor] == f {
		delete(d.active, f.aor)
	}
	d.keepLocked(f)
	if f.res.Evidence.Pin == pinFirst && (f.err == nil || errors.Is(f.err, ErrNotRegistered)) {
		now := d.cfg.Now()
		d.pending[f.aor] = identity.Pin{Key: f.res.Key, Version: f.res.Version, First: now, Last: now}
	}
	followed := f.res.Evidence.Pin == pinFollows && !f.noPin && (f.err == nil || errors.Is(f.err, ErrNotRegistered)) && !f.res.Key.IsZero()
	if followed {
		pin := *f.r.known.Pin
		pin.Key, pin.Version, pin.Last = f.res.Key, f.res.Version, d.cfg.Now()
		d.pending[f.aor] = pin
	}
	d.mu.Unlock()
	if followed {
		d.cfg.Log.Info().Str("old", f.r.known.Pin.Key.Fingerprint()).Str("new", f.res.Key.Fingerprint()).
			Msg("a person has changed keys, which the old key has signed; the new one counts from now on")
		d.cfg.Followed(Followed{f.aor, f.r.known.Pin.Key, f.res.Key, f.r.known.Pin.Version, f.res.Version})
	}

	if f.conflict != nil {
		d.alarm(f)
	}
	if f.res.Evidence.Pin == pinMatches {
		d.cfg.Matched(f.aor)
	}
	if errors.Is(f.err, ErrOtherKey) {
		d.cfg.Refused(ReasonOtherAddress)
	}
	var changed *KeyChangedError
	if errors.As(f.err, &changed) {
		d.cfg.Refused(ReasonKeyChanged)
		d.cfg.Log.Error().Str("old", changed.Old.Fingerprint()).Str("new", changed.New.Fingerprint()).
			Msg("a person's key is not the one of earlier calls; refused until somebody decides")
		d.cfg.Changed(changed)
	}
}

// keepLocked caches a success, for no longer than its registrations live, and
// remembers the sequences that it has shown.
func (d *Directory) keepLocked(f *flight) {
	now := d.cfg.Now()
	e := &entry{seen: f.r.sequences(now)}
	if f.err == nil {
		left := d.cfg.CacheFor
		for _, dev := range f.res.Devices {
			left = min(left, dev.Expires.Sub(now))
		}
		res := *f.res
		res.Cached = true
		e.res, e.until = &res, time.Now().Add(left)
	}
	if e.res != nil || len(e.seen) > 0 {
		d.cache.put(f.aor, e)
	}
}

// ended sees to the pin of a flight whose listening is over. All that end
// within pinEvery are written together: a pin is a file written anew and
// synced, which costs as much as resolving a name does. Until then the pin
// holds in memory. It returns when d ends, at the latest.
func (d *Directory) ended(f *flight) {
	_, pins := d.toPin(f)
	d.mu.Lock()
	d.running--
	if pins {
		d.toWrite = append(d.toWrite, f)
	}
	writes := pins && len(d.toWrite) == 1 // the others leave theirs to the first
	d.mu.Unlock()
	if !writes {
		return
	}
	wait := time.NewTimer(pinEvery)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-d.ctx.Done():
	}
	d.writePins()
}

func (d *Directory) writePins() {
	d.pinning.Lock() // a person's decision, Accept, is not to be overwritten
	defer d.pinning.Unlock()
	d.mu.Lock()
	flights := d.toWrite
	d.toWrite = nil
	d.mu.Unlock()
	pins := make(map[identity.AOR]identity.Pin, len(flights))
	for _, f := range flights {
		if pin, ok := d.toPin(f); ok { // still
			pins[f.aor] = pin
		}
	}
	if err := d.cfg.Pins.SetAll(pins); err != nil {
		d.cfg.Log.Warn().Err(err).Int("keys", len(pins)).Msg("keys could not be pinned")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for aor := range pins {
		delete(d.pending, aor)
	}
}

// toPin returns what a flight leaves to be written: the pin of a first use, or
// one that says that the key was seen again a day later.
func (d *Directory) toPin(f *flight) (identity.Pin, bool) {
	d.mu.Lock()
	pin, waits := d.pending[f.aor]
	d.mu.Unlock()
	if waits && pin.Key == f.res.Key {
		return pin, true
	}
	pin, known := d.cfg.Pins.Get(f.aor)
	if f.res.Evidence.Pin != pinMatches || !known || pin.Key != f.res.Key || d.cfg.Now().Sub(pin.Last) < touchAfter {
		return pin, false
	}
	pin.Last, pin.Version = d.cfg.Now(), f.res.Version
	return pin, true
}

// overfull tells whether so many flights listen that this one should not.
func (d *Directory) overfull() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running > 2*d.cfg.MaxActive
}

func (d *Directory) pinOf(aor identity.AOR) (identity.Pin, bool) {
	d.mu.Lock()
	pin, ok := d.pending[aor]
	d.mu.Unlock()
	if ok {
		return pin, true
	}
	return d.cfg.Pins.Get(aor)
}

func (d *Directory) floorOf(aor identity.AOR) floor {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.cache.get(aor); ok {
		return e.seen
	}
	return nil
}

// Invalidate forgets the cached resolution of a name: the next one asks the
// ring. What was seen of the name's sequences stays known.
func (d *Directory) Invalidate(aor identity.AOR) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if target, ok := d.aliases.get(aor); ok {
		d.aliases.drop(aor)
		aor = target
	}
	if e, ok := d.cache.get(aor); ok {
		e.until = time.Time{}
	}
}

// alarm records a conflict, closes the name if no pin stands for one of the
// keys, and tells the operator.
func (d *Directory) alarm(f *flight) {
	if d.recovered(f.conflict) {
		d.Invalidate(f.aor)
		return // the old key's revocation is on its way
	}
	d.mu.Lock()
	known, again := d.conflicts.get(f.aor)
	blocked := f.r.known.Pin == nil && f.want.IsZero()
	d.conflicts.put(f.aor, &dispute{conflict: f.conflict, blocked: blocked || again && known.blocked})
	if blocked {
		delete(d.pending, f.aor)
		if e, ok := d.cache.get(f.aor); ok {
			e.until = time.Time{}
		}
	}
	d.mu.Unlock()
	d.cfg.Refused(ReasonKeyConflict)
	if again {
		return
	}
	d.cfg.Log.Error().Uint32("first_version", f.conflict.First.Version).Uint32("second_version", f.conflict.Second.Version).
		Msg("the issuer has signed two keys for one name; the evidence is kept")
	d.cfg.Conflict(f.conflict)
}

// Conflicts returns the evidence against the issuer that this node has, the
// newest first.
func (d *Directory) Conflicts() []*keyshare.Conflict {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.conflicts.all()
	out := make([]*keyshare.Conflict, len(all))
	for i, x := range all {
		out[i] = x.conflict
	}
	return out
}
