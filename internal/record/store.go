package record

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// Outcome is what became of a record that was to be stored. It travels.
type Outcome uint8

// The outcomes. Stored and Same mean that the record is held.
const (
	OutcomeStored      Outcome = 1
	OutcomeSame        Outcome = 2 // it was held already
	OutcomeStale       Outcome = 3 // a higher sequence number is held, or was until it expired
	OutcomeConflict    Outcome = 4 // the same sequence number with other data is held
	OutcomeKeyConflict Outcome = 5 // the name is held with another account key
	OutcomeQuota       Outcome = 6 // the owner has used up its quota here
	OutcomeInvalid     Outcome = 7 // it does not verify
)

// String returns one word.
func (o Outcome) String() string {
	names := [...]string{"unknown", "stored", "same", "stale", "conflict", "key_conflict", "quota", "invalid"}
	if int(o) >= len(names) {
		o = 0
	}
	return names[o]
}

// Held tells whether the record is with the holder now.
func (o Outcome) Held() bool { return o == OutcomeStored || o == OutcomeSame }

// The reasons with which a store counts refusals.
const (
	ReasonMalformed   = "malformed"
	ReasonTooLarge    = "too_large"
	ReasonUntrusted   = "untrusted"
	ReasonExpired     = "expired"
	ReasonFuture      = "future"
	ReasonStale       = "stale"
	ReasonConflict    = "conflict"
	ReasonKeyConflict = "key_conflict"
	ReasonQuota       = "owner_quota"
	ReasonEvicted     = "evicted" // the store was full
	ReasonDisk        = "disk"    // a flush failed; tried again
)

// slotOverhead is what a record costs beyond its bytes, in bytes.
const slotOverhead = 128

// StoreConfig is what a store needs. Quotas come from Trust's charter.
type StoreConfig struct {
	DB        *bbolt.DB // nil: memory only; the caller closes it after Run and Close
	Trust     *identity.Trust
	Now       func() time.Time     // overlay time, zero while it is unknown; nil = time.Now
	Monotonic func() time.Duration // never set back; nil = since OpenStore
	Refused   func(reason string)  // nil = ignore; must not call the store
}

// Store holds records in memory, with a copy on disk that lags by a second.
//
// A slot is the place of one (resource, part). It keeps the highest sequence
// number it has seen until that record's signed expiry, even when the record
// is gone, so that no older one comes back. Lifetimes count on the monotonic
// clock. Safe for concurrent use.
type Store struct {
	cfg     StoreConfig
	started time.Time

	mu       sync.RWMutex
	trust    *identity.Trust
	slots    map[identity.NodeID][]*slot // by resource, sorted by part
	owners   map[ownerKey]*ownerUse
	names    map[string]*nameKey
	count    int // live records
	bytes    uint64
	age      uint64        // counts stored records, for "oldest"
	nextDue  time.Duration // no slot is due before
	revision uint64
	dirty    map[slotID]struct{}
	stats    StoreStats

	flushing sync.Mutex // one flush at a time
}

// StoreStats is a store's state for people.
type StoreStats struct {
	Records      int    `json:"records"` // tombstones among them
	Slots        int    `json:"slots"`   // and those of records that have expired
	Owners       int    `json:"owners"`
	Bytes        uint64 `json:"bytes"`
	Evicted      uint64 `json:"evicted"`
	Conflicts    uint64 `json:"conflicts"`
	KeyConflicts uint64 `json:"key_conflicts"`
	Unflushed    int    `json:"unflushed"`            // slots not yet on disk
	DiskError    string `json:"disk_error,omitempty"` // of the last flush
}

// Placed is a record and one of the places where it belongs.
type Placed struct {
	_        struct{} `cbor:",toarray"`
	Position identity.NodeID
	Record   Record
}

type slotID struct {
	resource identity.NodeID
	part     uint64
}

// ownerKey is an owner tag, or for records that name none a hash of the name.
type ownerKey [8]byte

type ownerUse struct {
	slots map[slotID]*slot
	bytes uint64
}

// nameKey is the account key that a name is held with, as long as any slot
// says so.
type nameKey struct {
	digest [32]byte
	slots  int
}

type slot struct {
	id    slotID
	kind  Kind
	aor   string
	owner ownerKey
	seq   uint64
	size  uint64
	age   uint64

	live   bool // record is there; else only seq and digest count
	tomb   bool
	record Record
	due    time.Duration // monotonic; when a live record dies

	keyed    bool // digest is set
	digest   [32]byte
	floor    int64         // Unix ms; the latest signed expiry seen, grace included
	floorDue time.Duration // monotonic; when the slot may go
}

// OpenStore reads what DB holds, verifies it, and returns the store. Records
// on disk that no longer verify are dropped.
func OpenStore(cfg StoreConfig) (*Store, error) {
	if cfg.Trust == nil {
		return nil, errors.New("record: a store needs a trust")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	s := &Store{
		cfg: cfg, trust: cfg.Trust, started: time.Now(),
		slots:  make(map[identity.NodeID][]*slot),
		owners: make(map[ownerKey]*ownerUse),
		names:  make(map[string]*nameKey),
		dirty:  make(map[slotID]struct{}),
	}
	if s.cfg.Monotonic == nil {
		s.cfg.Monotonic = func() time.Duration { return time.Since(s.started) }
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// SetTrust replaces the trust, and with it the charter's quotas, from now on.
func (s *Store) SetTrust(t *identity.Trust) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trust = t
}

// Put verifies a record and stores it if the rules allow. The error is nil if
// and only if the record is held afterwards; Verified is nil only for
// OutcomeInvalid.
func (s *Store) Put(r Record) (Outcome, *Verified, error) {
	s.mu.RLock()
	trust := s.trust
	s.mu.RUnlock()
	now := s.cfg.Now()
	v, err := Verify(r, trust, now)
	if err != nil {
		s.cfg.Refused(reasonOf(err))
		return OutcomeInvalid, nil, err
	}
	s.mu.Lock()
	outcome, evicted := s.putLocked(v, now, trust.Charter())
	s.mu.Unlock()
	for range evicted {
		s.cfg.Refused(ReasonEvicted)
	}
	switch outcome {
	case OutcomeStale:
		s.cfg.Refused(ReasonStale)
		return outcome, v, ErrStale
	case OutcomeConflict:
		s.cfg.Refused(ReasonConflict)
		return outcome, v, ErrConflict
	case OutcomeKeyConflict:
		s.cfg.Refused(ReasonKeyConflict)
		return outcome, v, ErrKeyConflict
	case OutcomeQuota:
		s.cfg.Refused(ReasonQuota)
		return outcome, v, ErrQuota
	}
	return outcome, v, nil
}

func reasonOf(err error) string {
	for _, c := range []struct {
		err    error
		reason string
	}{
		{ErrTooLarge, ReasonTooLarge},
		{ErrFuture, ReasonFuture},
		{identity.ErrExpired, ReasonExpired},
		{identity.ErrUntrusted, ReasonUntrusted},
		{identity.ErrOtherOverlay, ReasonUntrusted},
	} {
		if errors.Is(err, c.err) {
			return c.reason
		}
	}
	return ReasonMalformed
}

func (s *Store) putLocked(v *Verified, now time.Time, c identity.Charter) (o Outcome, evicted int) {
	mono := s.cfg.Monotonic()
	id := slotID{v.Resource(), v.Body.Part}
	old := s.findLocked(id)
	if old != nil && old.floorDue <= mono {
		s.removeLocked(old)
		old = nil
	}
	if old != nil {
		if o := old.judge(v, mono); o != 0 {
			s.countLocked(o)
			return o, 0
		}
	}
	if digest, ok := v.KeyDigest(); ok {
		if n := s.names[v.Body.AOR]; n != nil && n.digest != digest {
			s.countLocked(OutcomeKeyConflict)
			return OutcomeKeyConflict, 0
		}
	}
	fresh := newSlot(id, v, old, now, mono, c)
	if !s.fitsLocked(fresh, old, c) {
		return OutcomeQuota, 0
	}
	if old != nil {
		s.removeLocked(old)
	}
	s.age++
	fresh.age = s.age
	s.addLocked(fresh)
	return OutcomeStored, s.makeRoomLocked(fresh, c.StoreBytes)
}

func (s *Store) countLocked(o Outcome) {
	switch o {
	case OutcomeConflict:
		s.stats.Conflicts++
	case OutcomeKeyConflict:
		s.stats.KeyConflicts++
	}
}

// judge compares a record with the one in its slot; 0 means that it may come in.
func (o *slot) judge(v *Verified, mono time.Duration) Outcome {
	switch {
	case v.Body.Seq > o.seq:
		return 0
	case v.Body.Seq < o.seq || !o.live || o.due <= mono:
		return OutcomeStale
	}
	held, err := canon.Payload(o.record.Signed)
	offered, errOffered := canon.Payload(v.Record.Signed)
	if err == nil && errOffered == nil && bytes.Equal(held, offered) {
		return OutcomeSame
	}
	return OutcomeConflict
}

func newSlot(id slotID, v *Verified, old *slot, now time.Time, mono time.Duration, c identity.Charter) *slot {
	s := &slot{
		id: id, kind: v.Body.Kind, aor: v.Body.AOR, seq: v.Body.Seq, live: true, tomb: v.Body.Tombstone,
		record: v.Record, size: uint64(v.Record.Size()) + slotOverhead,
	}
	s.digest, s.keyed = v.KeyDigest()
	life := time.Duration(v.Body.Lifetime) * time.Second
	s.floor = v.Body.Expires
	if v.Body.Kind != KindRegistration { // what an issuer signs has the charter's grace
		life += c.GraceTime()
		s.floor += c.GraceTime().Milliseconds()
	}
	left := life
	if !now.IsZero() {
		left = min(left, time.UnixMilli(s.floor).Sub(now))
	}
	s.due = mono + left
	switch {
	case !v.Owner.IsZero():
		s.owner = ownerKey(v.Owner)
	case old != nil:
		s.owner = old.owner
	default:
		h := identity.HashID(v.Body.AOR)
		s.owner = ownerKey(h[:8])
	}
	if old != nil {
		s.floor = max(s.floor, old.floor)
		if !s.keyed { // a tombstone does not free the name for another key
			s.digest, s.keyed = old.digest, old.keyed
		}
	}
	s.floorDue = floorDue(s.floor, now, mono, life)
	s.floorDue = max(s.floorDue, s.due)
	return s
}

// floorDue turns an absolute end into one on the monotonic clock; while the
// time is unknown it lies one lifetime ahead.
func floorDue(floor int64, now time.Time, mono, life time.Duration) time.Duration {
	if now.IsZero() {
		return mono + life
	}
	return mono + max(time.UnixMilli(floor).Sub(now), 0)
}

// fitsLocked checks the owner's quota with fresh in the place of old.
func (s *Store) fitsLocked(fresh, old *slot, c identity.Charter) bool {
	records, size := uint64(1), fresh.size
	if use := s.owners[fresh.owner]; use != nil {
		records += uint64(len(use.slots))
		size += use.bytes
	}
	if old != nil && old.owner == fresh.owner {
		records--
		size -= old.size
	}
	return records <= uint64(c.OwnerRecords) && size <= uint64(c.OwnerBytes)
}

// makeRoomLocked drops the largest owners' oldest slots until the store is
// within limit, but not keep. It returns how many.
func (s *Store) makeRoomLocked(keep *slot, limit uint64) (evicted int) {
	for s.bytes > limit {
		oldest := s.evictableLocked(keep)
		if oldest == nil {
			break
		}
		s.removeLocked(oldest)
		s.stats.Evicted++
		evicted++
	}
	return evicted
}

func (s *Store) evictableLocked(keep *slot) (oldest *slot) {
	var largest *ownerUse
	for owner, use := range s.owners {
		others := len(use.slots)
		if owner == keep.owner {
			others--
		}
		if others > 0 && (largest == nil || use.bytes > largest.bytes) {
			largest = use
		}
	}
	if largest == nil {
		return nil
	}
	for _, o := range largest.slots {
		if o != keep && (oldest == nil || o.age < oldest.age) {
			oldest = o
		}
	}
	return oldest
}

func (s *Store) findLocked(id slotID) *slot {
	row := s.slots[id.resource]
	i, ok := slices.BinarySearchFunc(row, id.part, comparePart)
	if !ok {
		return nil
	}
	return row[i]
}

func comparePart(a *slot, part uint64) int {
	switch {
	case a.id.part < part:
		return -1
	case a.id.part > part:
		return 1
	}
	return 0
}

func (s *Store) addLocked(n *slot) {
	row := s.slots[n.id.resource]
	i, _ := slices.BinarySearchFunc(row, n.id.part, comparePart)
	s.slots[n.id.resource] = slices.Insert(row, i, n)
	use := s.owners[n.owner]
	if use == nil {
		use = &ownerUse{slots: make(map[slotID]*slot)}
		s.owners[n.owner] = use
	}
	use.slots[n.id] = n
	use.bytes += n.size
	s.bytes += n.size
	if n.live {
		s.count++
	}
	if n.keyed {
		name := s.names[n.aor]
		if name == nil {
			name = &nameKey{digest: n.digest}
			s.names[n.aor] = name
		}
		name.slots++
	}
	s.nextDue = min(s.nextDue, n.nextDue())
	s.touchLocked(n.id)
}

func (s *Store) removeLocked(o *slot) {
	row := s.slots[o.id.resource]
	if i, ok := slices.BinarySearchFunc(row, o.id.part, comparePart); ok {
		row = slices.Delete(row, i, i+1)
	}
	if len(row) == 0 {
		delete(s.slots, o.id.resource)
	} else {
		s.slots[o.id.resource] = row
	}
	use := s.owners[o.owner]
	delete(use.slots, o.id)
	use.bytes -= o.size
	if len(use.slots) == 0 {
		delete(s.owners, o.owner)
	}
	s.bytes -= o.size
	if o.live {
		s.count--
	}
	if o.keyed {
		if name := s.names[o.aor]; name.slots > 1 {
			name.slots--
		} else {
			delete(s.names, o.aor)
		}
	}
	s.touchLocked(o.id)
}

func (s *Store) touchLocked(id slotID) {
	s.revision++
	if s.cfg.DB != nil {
		s.dirty[id] = struct{}{}
	}
}

// nextDue is when something happens to the slot next.
func (o *slot) nextDue() time.Duration {
	if o.live {
		return o.due
	}
	return o.floorDue
}

// expire lets die what is due.
func (s *Store) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	mono := s.cfg.Monotonic()
	if mono < s.nextDue {
		return
	}
	var due []*slot
	next := time.Duration(1<<63 - 1)
	for _, row := range s.slots {
		for _, o := range row {
			if o.nextDue() <= mono {
				due = append(due, o)
			} else {
				next = min(next, o.nextDue())
			}
		}
	}
	s.nextDue = next
	for _, o := range due {
		s.removeLocked(o)
		if o.floorDue > mono {
			s.addLocked(o.ghost())
		}
	}
}

// ghost is what stays of a slot whose record has died.
func (o *slot) ghost() *slot {
	g := *o
	g.live, g.tomb, g.record, g.size = false, false, Record{}, slotOverhead
	return &g
}

// Run lets records die and keeps the copy on disk until ctx ends; then it
// flushes once more. It returns nil.
func (s *Store) Run(ctx context.Context) error {
	const (
		every     = time.Second
		afterFail = 15 * time.Second
	)
	wait := time.NewTimer(every)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = s.Flush() // in Stats
			return nil
		case <-wait.C:
		}
		s.expire()
		if s.Flush() == nil {
			wait.Reset(every)
		} else {
			wait.Reset(afterFail)
		}
	}
}

// Close flushes. The store may still be read; the caller closes the DB.
func (s *Store) Close() error { return s.Flush() }
