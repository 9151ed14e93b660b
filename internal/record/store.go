package record

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/bbolt"

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
	return names[o] // #nosec G602 -- checked above
}

// Held tells whether the record is with the holder now.
func (o Outcome) Held() bool { return o == OutcomeStored || o == OutcomeSame }

// The reasons with which a store counts refusals.
const (
	ReasonMalformed   = "malformed"
	ReasonTooLarge    = "too_large"
	ReasonUntrusted   = "untrusted"
	ReasonExpired     = "expired"
	ReasonRevoked     = "revoked" // by or about a key that is revoked
	ReasonFuture      = "future"
	ReasonStale       = "stale"
	ReasonConflict    = "conflict"
	ReasonKeyConflict = "key_conflict"
	ReasonQuota       = "owner_quota"
	ReasonEvicted     = "evicted" // the store was full
	ReasonDisk        = "disk"    // a flush failed; tried again
	ReasonNoDisk      = "no_disk" // not taken from another node, since the disk fails
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

// Store holds records in memory, with a copy on disk that lags by a second
// where nobody waits for it with Sync.
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
	order    []identity.NodeID           // the resources, sorted; nil = to be made again
	latest   []*slot                     // in the order in which they came; some are gone
	total    int                         // slots
	owners   map[ownerKey]*ownerUse
	names    map[string]*nameKey
	count    int // live records
	bytes    uint64
	age      uint64        // counts stored records, for "oldest"
	nextDue  time.Duration // no slot is due before
	revision uint64
	gone     uint64 // the revision with which something was last removed
	flushed  uint64 // the revision of which nothing is missing on disk
	failing  error  // of the last flush; nil when it succeeded
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

// Put verifies a record and stores it in memory if the rules allow; Sync waits
// for the disk. The error is nil if and only if the record is held afterwards;
// Verified is nil only for OutcomeInvalid.
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
		{identity.ErrRevoked, ReasonRevoked},
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
		if n := s.names[v.Body.AOR]; n != nil {
			if o := n.admits(v, digest, now); o != 0 {
				s.countLocked(o)
				return o, 0
			}
		}
	}
	fresh := newSlot(id, v, old, now, mono, c)
	fresh.keepFormer(old, v, now, mono)
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

// Run lets records die and keeps the copy on disk until ctx ends; then it
// flushes once more. It returns nil.
func (s *Store) Run(ctx context.Context) error {
	const (
		every     = time.Second
		afterFail = 5 * time.Second
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
