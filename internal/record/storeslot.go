package record

import (
	"bytes"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

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
	if len(row) == 0 {
		s.order = nil
	}
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
		s.order = nil
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
