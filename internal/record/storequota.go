package record

import "github.com/secp2psip/secp2psip/internal/identity"

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
