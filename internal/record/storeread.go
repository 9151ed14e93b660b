package record

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Get returns the live records of a resource, or of one of its parts, by
// rising part; tombstones among them. A share or account record of a key that
// another one has followed stands behind that one's until it ends. The records
// are not to be changed.
func (s *Store) Get(res identity.NodeID, part *uint64) []Record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	mono := s.cfg.Monotonic()
	row := s.slots[res]
	if part != nil {
		i, ok := slices.BinarySearchFunc(row, *part, comparePart)
		if !ok {
			return nil
		}
		row = row[i : i+1]
	}
	var out []Record
	for _, o := range row {
		if !o.alive(mono) {
			continue
		}
		out = append(out, o.record)
		if o.former != nil && mono < o.former.due {
			out = append(out, o.former.record)
		}
	}
	return out
}

// Seq returns the highest sequence number seen in a slot, that of a record
// which has expired included, and whether any is known.
func (s *Store) Seq(res identity.NodeID, part uint64) (uint64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o := s.findLocked(slotID{res, part})
	if o == nil || o.floorDue <= s.cfg.Monotonic() {
		return 0, false
	}
	return o.seq, true
}

// Held says what is in a slot, and for how long that has been so.
type Held struct {
	Record   *Record // nil: nothing live
	Seq      uint64  // of the record; 0 without one
	Since    uint64  // the slot has not changed since this revision
	Revision uint64  // the store's now
}

// Held returns what a slot holds. Of an empty slot Since may be later than it
// need be: the store remembers only when anything was last removed.
func (s *Store) Held(res identity.NodeID, part uint64) Held {
	s.expire() // so that what is dead by the clock is gone by the revision, too
	s.mu.RLock()
	defer s.mu.RUnlock()
	h := Held{Since: s.gone, Revision: s.revision}
	if o := s.findLocked(slotID{res, part}); o != nil && o.live {
		r := o.record
		h.Record, h.Seq, h.Since = &r, o.seq, o.since
	}
	return h
}

// All returns the live records, in no order.
func (s *Store) All() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Record, 0, s.count)
	for _, r := range s.allLocked() {
		out = append(out, *r)
	}
	return out
}

// Since returns the live records that have come after a revision, 0 for all of
// them, by rising resource and part. They are the store's own, not to be changed.
func (s *Store) Since(revision uint64) []*Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision == 0 {
		return s.allLocked()
	}
	mono := s.cfg.Monotonic()
	var late []*slot
	for i := len(s.latest) - 1; i >= 0 && s.latest[i].since > revision; i-- {
		if o := s.latest[i]; !o.gone && o.alive(mono) {
			late = append(late, o)
		}
	}
	slices.SortFunc(late, func(a, b *slot) int {
		return cmp.Or(a.id.resource.Compare(b.id.resource), cmp.Compare(a.id.part, b.id.part))
	})
	out := make([]*Record, len(late))
	for i, o := range late {
		out[i] = &o.record
	}
	return out
}

func (s *Store) allLocked() []*Record {
	mono := s.cfg.Monotonic()
	out := make([]*Record, 0, s.count)
	for _, res := range s.orderLocked() {
		for _, o := range s.slots[res] {
			if o.alive(mono) {
				out = append(out, &o.record)
			}
		}
	}
	return out
}

// orderLocked returns the resources in the order of their IDs: what a node does
// with its records must not hang on the order of a map.
func (s *Store) orderLocked() []identity.NodeID {
	if s.order == nil {
		s.order = slices.SortedFunc(maps.Keys(s.slots), identity.NodeID.Compare)
	}
	return s.order
}

// Between returns each live record at each of its places under c that lies in
// (from, to] on the circle; the whole circle if from = to.
func (s *Store) Between(from, to identity.NodeID, c identity.Charter) []Placed {
	s.mu.Lock()
	defer s.mu.Unlock()
	mono := s.cfg.Monotonic()
	arc := from.Distance(to)
	var out []Placed
	for _, res := range s.orderLocked() {
		for _, o := range s.slots[res] {
			if !o.alive(mono) {
				continue
			}
			for _, pos := range positions(o.id.resource, o.kind, o.id.part, c) {
				d := from.Distance(pos)
				if from == to || d != (identity.NodeID{}) && d.Compare(arc) <= 0 {
					out = append(out, Placed{Position: pos, Record: o.record})
				}
			}
		}
	}
	return out
}

// Drop forgets a slot entirely, its sequence number too: for a holder that is
// no longer responsible and has handed it over.
func (s *Store) Drop(res identity.NodeID, k Kind, part uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.findLocked(slotID{res, part}); o != nil && o.kind == k {
		s.removeLocked(o)
	}
}

// Recheck drops what has been revoked since it was stored, and returns how many
// records that were. Nothing is kept of them, so that the name is free for the
// key that a recovery gives it.
func (s *Store) Recheck() int {
	s.mu.RLock()
	trust := s.trust
	s.mu.RUnlock()
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var void []*slot
	for _, row := range s.slots {
		for _, o := range row {
			if o.revoked(trust, now) {
				void = append(void, o)
			}
		}
	}
	for _, o := range void {
		s.removeLocked(o)
	}
	return len(void)
}

func (o *slot) revoked(t *identity.Trust, now time.Time) bool {
	if o.keyed && t.Board().AccountRevoked(o.digest) {
		return true
	}
	if o.former != nil { // of a key that may well be what was revoked
		if _, err := Verify(o.former.record, t, now); errors.Is(err, identity.ErrRevoked) {
			o.former.due = 0
		}
	}
	if !o.live {
		return false
	}
	_, err := Verify(o.record, t, now)
	return errors.Is(err, identity.ErrRevoked)
}

// Revision rises with every change, so that a reader can tell whether there
// was any.
func (s *Store) Revision() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision
}

// Stats returns the store's state.
func (s *Store) Stats() StoreStats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.stats
	st.Records, st.Owners, st.Bytes, st.Unflushed = s.count, len(s.owners), s.bytes, len(s.dirty)
	for _, row := range s.slots {
		st.Slots += len(row)
	}
	return st
}

func (o *slot) alive(mono time.Duration) bool { return o.live && mono < o.due }
