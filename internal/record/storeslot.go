package record

import (
	"bytes"
	"slices"
	"time"

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
// says so, and the keys that it follows.
type nameKey struct {
	digest [32]byte
	slots  int
	before []earlierKey
}

// earlierKey is a key that another one has followed, and when it ends.
type earlierKey struct {
	digest [32]byte
	until  time.Time
}

// learn takes in the key of a slot: the one that follows counts.
func (n *nameKey) learn(o *slot) {
	follows := func(k earlierKey) bool { return k.digest == n.digest }
	if o.digest != n.digest && slices.ContainsFunc(o.before, follows) || o.digest == n.digest && len(o.before) > len(n.before) {
		n.digest, n.before = o.digest, o.before
	}
}

// admits judges a record of a name that is held already: one by its key, by a
// key that follows it, or a registration by an earlier key that has not ended
// yet. Other records of an earlier key are old.
func (n *nameKey) admits(v *Verified, digest [32]byte, now time.Time) Outcome {
	if _, follows := v.Follows(n.digest); n.digest == digest || follows {
		return 0
	}
	for _, k := range n.before {
		switch {
		case k.digest != digest:
		case v.Body.Kind != KindRegistration:
			return OutcomeStale
		case !now.After(k.until) && !time.UnixMilli(v.Body.Time).After(k.until):
			return 0
		}
	}
	return OutcomeKeyConflict
}

type slot struct {
	// What is asked of every slot now and then stands together.
	id    slotID
	since uint64        // the revision with which it came
	due   time.Duration // monotonic; when a live record dies
	live  bool          // record is there; else only seq and digest count
	tomb  bool
	gone  bool // from the store
	kind  Kind

	record Record // never changed
	aor    string
	owner  ownerKey
	seq    uint64
	size   uint64
	age    uint64

	keyed    bool // digest is set
	digest   [32]byte
	before   []earlierKey  // that its account's certificate says its key follows
	former   *former       // the record of an earlier key that this one has replaced
	floor    int64         // Unix ms; the latest signed expiry seen, grace included
	floorDue time.Duration // monotonic; when the slot may go
}

// former is a record of an earlier key, kept until that key ends: readers who
// know no other key still find enough of it while the new records spread.
type former struct {
	record Record
	size   uint64
	due    time.Duration // monotonic
}

// keepFormer has o go on with the record that it replaces, or with what that
// one went on with.
func (o *slot) keepFormer(old *slot, v *Verified, now time.Time, mono time.Duration) {
	if old == nil || o.kind == KindRegistration || !o.keyed || !old.keyed {
		return
	}
	if old.digest == o.digest {
		o.former = old.former
	} else if until, ok := v.Follows(old.digest); ok && old.live && !old.tomb && !now.IsZero() {
		o.former = &former{old.record, uint64(old.record.Size()), min(old.due, mono+until.Sub(now))}
	}
	if o.former != nil && o.former.due <= mono {
		o.former = nil
	}
	if o.former != nil {
		o.size += o.former.size
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
	if known := &o.record; len(known.Signed) == len(v.Record.Signed) && &known.Signed[0] == &v.Record.Signed[0] {
		return OutcomeSame
	}
	held, _, err := o.record.open()
	offered, _, errOffered := v.Record.open()
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
	if v.Account != nil {
		for _, r := range v.Account.Rotations {
			s.before = append(s.before, earlierKey{r.Old.Digest(), r.Until()})
		}
	}
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
			s.digest, s.keyed, s.before = old.digest, old.keyed, old.before
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
		name.learn(n)
	}
	s.nextDue = min(s.nextDue, n.nextDue())
	s.touchLocked(n.id)
	n.since = s.revision
	s.total++
	if s.latest = append(s.latest, n); len(s.latest) > s.total+s.total/4+32 {
		s.latest = slices.DeleteFunc(s.latest, func(o *slot) bool { return o.gone })
	}
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
	o.gone = true
	s.total--
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
	s.gone = s.revision
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
	g.gone, g.live, g.tomb, g.record, g.size, g.former = false, false, false, Record{}, slotOverhead, nil
	return &g
}
