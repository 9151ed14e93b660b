package evidence

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// maxProofs bounds what a Guard keeps; each takes at most wire.MaxProof.
const maxProofs = 256

var bucketEvidence = []byte("evidence")

// Item is a proof that a Guard keeps.
type Item struct {
	ID       ID
	Finding  Finding
	Proof    []byte // encoded
	Received time.Time
	Own      bool      // found here, not told by another
	Until    time.Time // while the culprit is evicted; zero where nobody is

	culprit wire.Peer // where it was when it was caught, to be told
}

// stored is an Item on disk; what the proof says is read out of it anew.
type stored struct {
	_        struct{} `cbor:",toarray"`
	Proof    []byte
	Received int64
	Own      bool
	Forgiven bool
}

// load reads what the disk has. What does not verify any more is dropped.
func (g *Guard) load() error {
	if g.cfg.DB == nil {
		return nil
	}
	return g.cfg.DB.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketEvidence)
		if err != nil {
			return err
		}
		var gone [][]byte
		err = b.ForEach(func(k, v []byte) error {
			var s stored
			var f *Finding
			p := (*Proof)(nil)
			err := canon.Unmarshal(v, &s)
			if err == nil {
				p, err = Decode(s.Proof)
			}
			if err == nil {
				f, err = p.Verify(g.cfg.Trust, g.cfg.Now())
			}
			if err != nil {
				gone = append(gone, slices.Clone(k))
				return nil
			}
			g.items[f.Key()] = g.item(f, &s)
			return nil
		})
		for _, k := range gone {
			err = cmp.Or(err, b.Delete(k))
		}
		return err
	})
}

func (g *Guard) item(f *Finding, s *stored) *Item {
	it := &Item{ID: f.Key(), Finding: *f, Proof: slices.Clone(s.Proof), Received: time.UnixMilli(s.Received), Own: s.Own}
	if f.Node != (identity.NodeID{}) && f.Node != g.cfg.Self && !s.Forgiven {
		it.Until = f.When.Add(oldest)
	}
	return it
}

// save writes an item; what cannot be written stays in memory.
func (g *Guard) save(it *Item, forgiven bool) {
	if g.cfg.DB == nil {
		return
	}
	v, err := canon.Marshal(&stored{Proof: it.Proof, Received: it.Received.UnixMilli(), Own: it.Own, Forgiven: forgiven})
	if err == nil {
		err = g.cfg.DB.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketEvidence)
			if err != nil {
				return err
			}
			return b.Put(it.ID[:], v)
		})
	}
	if err != nil {
		g.cfg.Log.Warn().Err(err).Msg("evidence is not written down")
	}
}

// keep adds what has been verified. It returns nil where as much is known
// already.
func (g *Guard) keep(f *Finding, proof []byte, own bool) *Item {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.items[f.Key()]; known {
		return nil
	}
	if len(g.items) >= maxProofs && !g.dropLocked() {
		g.cfg.Refused(ReasonFull)
		return nil
	}
	it := g.item(f, &stored{Proof: proof, Received: g.cfg.Now().UnixMilli(), Own: own})
	g.items[it.ID] = it
	g.save(it, false)
	return it
}

// dropLocked makes room: an item that evicts nobody any more goes.
func (g *Guard) dropLocked() bool {
	now := g.cfg.Now()
	for id, it := range g.items {
		if it.Until.Before(now) && !it.Own {
			g.removeLocked(id)
			return true
		}
	}
	return false
}

func (g *Guard) removeLocked(id ID) {
	delete(g.items, id)
	if g.cfg.DB == nil {
		return
	}
	err := g.cfg.DB.Update(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketEvidence); b != nil {
			return b.Delete(id[:])
		}
		return nil
	})
	if err != nil {
		g.cfg.Log.Warn().Err(err).Msg("evidence is not removed")
	}
}

// Items returns what is kept, the newest first.
func (g *Guard) Items() []Item {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Item, 0, len(g.items))
	for _, it := range g.items {
		out = append(out, *it)
	}
	slices.SortFunc(out, func(a, b Item) int {
		return cmp.Or(b.Received.Compare(a.Received), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	return out
}

// Forgive ends an eviction: the proof is kept, so that it does not begin again
// when somebody tells of it.
func (g *Guard) Forgive(text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(ID{}) {
		return fmt.Errorf("%w: %q is no name of evidence", ErrUnknown, text)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	it := g.items[ID(b)]
	if it == nil {
		return fmt.Errorf("%w: %s", ErrUnknown, text)
	}
	it.Until = time.Time{}
	g.save(it, true)
	return nil
}
