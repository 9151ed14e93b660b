package record

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// flushBatch is how many slots one transaction writes.
const flushBatch = 1024

// bucketName names the bucket of a store. Its keys are resource (16 bytes) and
// part (8 bytes, big-endian); its values are diskSlot in CBOR.
func bucketName() []byte { return []byte("records") }

type diskSlot struct {
	_      struct{} `cbor:",toarray"`
	Record Record
	Live   bool
	Kind   Kind
	AOR    string
	Owner  [8]byte
	Seq    uint64
	Keyed  bool
	Digest [32]byte
	Floor  int64 // Unix ms
}

func (id slotID) bytes() []byte {
	return binary.BigEndian.AppendUint64(id.resource[:], id.part)
}

// write is one change to the bucket: a value, or nil to delete.
type write struct {
	id    slotID
	value []byte
}

// Flush writes what has changed to the disk. What fails is tried again by the
// next flush and shows in Stats; memory is right in any case.
func (s *Store) Flush() error {
	if s.cfg.DB == nil {
		return nil
	}
	return s.flushTo(s.Revision())
}

// Sync returns when what was put before the call is on disk, or says why it is
// not. Callers at the same time share one transaction. While the disk fails it
// fails at once: Run finds out whether there is room again.
func (s *Store) Sync() error {
	if s.cfg.DB == nil {
		return nil
	}
	if err := s.Failing(); err != nil {
		return err
	}
	return s.flushTo(s.Revision())
}

// Failing returns an error that wraps ErrDisk from a flush that failed until
// one succeeds. Meanwhile a holder should take nothing from others: what it
// says that it holds would be gone with the power.
func (s *Store) Failing() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.failing
}

// flushTo writes until nothing older than the revision is missing on disk.
func (s *Store) flushTo(revision uint64) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	for {
		s.mu.RLock()
		done := s.flushed >= revision && s.failing == nil
		s.mu.RUnlock()
		if done {
			return nil
		}
		batch, upTo, err := s.takeDirty()
		if err == nil && len(batch) > 0 {
			err = s.cfg.DB.Update(func(tx *bbolt.Tx) error { return apply(tx, batch) })
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrDisk, err)
			s.giveBack(batch, err)
			s.cfg.Refused(ReasonDisk)
			return err
		}
		s.wrote(upTo)
	}
}

func apply(tx *bbolt.Tx, batch []write) error {
	b, err := tx.CreateBucketIfNotExists(bucketName())
	if err != nil {
		return err
	}
	for _, w := range batch {
		if w.value == nil {
			err = b.Delete(w.id.bytes())
		} else {
			err = b.Put(w.id.bytes(), w.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeDirty returns some of what has to be written, and the revision that is on
// disk when that is: 0 when there is more.
func (s *Store) takeDirty() (batch []write, upTo uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.dirty {
		if len(batch) == flushBatch {
			return batch, 0, nil
		}
		w := write{id: id}
		if o := s.findLocked(id); o != nil {
			value, err := canon.Marshal(o.disk())
			if err != nil {
				return batch, 0, err
			}
			w.value = value
		}
		batch = append(batch, w)
		delete(s.dirty, id)
	}
	return batch, s.revision, nil
}

// giveBack takes in that a batch could not be written.
func (s *Store) giveBack(batch []write, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range batch {
		s.dirty[w.id] = struct{}{}
	}
	s.failing = err
	s.stats.DiskError = err.Error()
}

func (s *Store) wrote(upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed = max(s.flushed, upTo)
	s.failing = nil
	s.stats.DiskError = ""
}

func (o *slot) disk() diskSlot {
	return diskSlot{
		Record: o.record, Live: o.live, Kind: o.kind, AOR: o.aor, Owner: o.owner, Seq: o.seq,
		Keyed: o.keyed, Digest: o.digest, Floor: o.floor,
	}
}

// load fills the empty store from the disk.
func (s *Store) load() error {
	if s.cfg.DB == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, mono := s.cfg.Now(), s.cfg.Monotonic()
	return s.cfg.DB.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketName())
		if b == nil {
			return nil
		}
		return b.ForEach(func(key, value []byte) error {
			if len(key) != identity.NodeIDLen+8 {
				return nil
			}
			id := slotID{identity.NodeID(key[:identity.NodeIDLen]), binary.BigEndian.Uint64(key[identity.NodeIDLen:])}
			o, err := s.revive(id, value, now, mono)
			if err != nil {
				s.cfg.Refused(reasonOf(err))
			}
			if o == nil {
				s.touchLocked(id) // delete it
				return nil
			}
			s.age++
			o.age = s.age
			s.addLocked(o)
			if o.live {
				delete(s.dirty, id)
			}
			return nil
		})
	})
}

// revive reads one slot from the disk; nil if nothing of it counts any more.
func (s *Store) revive(id slotID, value []byte, now time.Time, mono time.Duration) (*slot, error) {
	var d diskSlot
	if err := canon.Unmarshal(value, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	o := &slot{
		id: id, kind: d.Kind, aor: d.AOR, owner: d.Owner, seq: d.Seq, size: slotOverhead,
		keyed: d.Keyed, digest: d.Digest, floor: d.Floor,
	}
	o.floorDue = floorDue(d.Floor, now, mono, registrationMax*time.Second)
	if d.Live {
		// The clock may not be known yet; what is over by it dies below.
		v, err := Verify(d.Record, s.trust, time.Time{})
		if err != nil {
			return nil, err
		}
		if v.Resource() != id.resource || v.Body.Part != id.part {
			return nil, fmt.Errorf("%w: in another's place on disk", ErrMalformed)
		}
		o = newSlot(id, v, o, now, mono, s.trust.Charter())
		if o.due <= mono {
			o = o.ghost()
		}
	}
	if !o.live && o.floorDue <= mono {
		return nil, nil
	}
	return o, nil
}
