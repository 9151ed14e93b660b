package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// bucketBulletins has the bulletins by ID, each as storedBulletin in CBOR.
var bucketBulletins = []byte("bulletins")

// storedBulletin is one as kept on disk.
type storedBulletin struct {
	_    struct{} `cbor:",toarray"`
	Seen int64    // Unix ms, overlay time
	Item identity.SignedBulletin
}

// Announce puts bulletins on the board, on the disk, and tells the overlay.
func (n *Node) Announce(items ...identity.SignedBulletin) error {
	_, err := n.bulletins.take(identity.NodeID{}, items)
	return err
}

// Board has the overlay's bulletins as this node knows them.
func (n *Node) Board() *identity.Board { return n.cfg.Trust.Board() }

// loadBulletins puts on the board what was on it before the restart. What does
// not verify any more is dropped.
func loadBulletins(db *bbolt.DB, board *identity.Board, now time.Time) error {
	if db == nil {
		return nil
	}
	var stored []storedBulletin
	var bad [][]byte
	err := db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketBulletins)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			var s storedBulletin
			if canon.Unmarshal(v, &s) != nil {
				bad = append(bad, slices.Clone(k))
				return nil
			}
			stored = append(stored, s)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("the bulletins cannot be read: %w", err)
	}
	// What the issuer says comes first, by age: a veto counts by what it is against.
	slices.SortFunc(stored, func(a, b storedBulletin) int { return int(a.Seen/1000 - b.Seen/1000) })
	for _, s := range stored {
		if _, _, err := board.Post(s.Item, time.UnixMilli(s.Seen), now); err != nil {
			id := s.Item.ID()
			bad = append(bad, id[:])
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, k := range bad {
			if err := tx.Bucket(bucketBulletins).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// keepBulletins writes bulletins to the disk, and forgets there what is no
// longer on the board.
func (n *Node) keepBulletins(posted []*identity.Posted) error {
	if n.cfg.DB == nil {
		return nil
	}
	err := n.cfg.DB.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketBulletins)
		if err != nil {
			return err
		}
		for _, p := range posted {
			v, err := canon.Marshal(storedBulletin{Seen: p.Seen.UnixMilli(), Item: p.Signed})
			if err != nil {
				return err
			}
			if err := b.Put(p.ID[:], v); err != nil {
				return err
			}
		}
		if b.Stats().KeyN <= n.Board().Len() {
			return nil
		}
		c := b.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if len(k) != len(identity.BulletinID{}) || n.Board().Get(identity.BulletinID(k)) == nil {
				if err := c.Delete(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		n.cfg.Log.Warn().Err(err).Msg("bulletins cannot be saved; after a restart they are asked for again: make room on the disk of the state folder")
		return fmt.Errorf("the bulletins cannot be saved: %w; is the disk full?", err)
	}
	return nil
}

// bulletinsIn lets bulletins take effect: what they revoke is dropped wherever
// it is.
func (n *Node) bulletinsIn(posted []*identity.Posted) {
	for _, p := range posted {
		n.cfg.Log.Info().Stringer("kind", p.Kind).Str("subject", p.Subject.String()[:16]).Str("note", p.Note).Msg("a bulletin of the overlay")
	}
	n.noteRevokedIssuer(posted)
	if dropped := n.store.Recheck(); dropped > 0 {
		n.cfg.Log.Info().Int("records", dropped).Msg("records were dropped because their keys are revoked")
	}
	n.farewell(posted)
	n.link.Recheck()
	if r := n.rooms.Load(); r != nil {
		r.dir.Recheck()
		n.forgetRevoked(r)
	}
	if err := n.Revoked(); err != nil {
		n.cfg.Log.Error().Msg("this device has been revoked: nobody talks to it any more; ask the operator for an invitation and enrol anew")
	}
	if n.cfg.Posted != nil {
		n.cfg.Posted(posted)
	}
}

// farewellTime bounds how long a revoked node is listened to any more.
const farewellTime = 500 * time.Millisecond

// farewell lets revoked nodes that are connected know why they will not be: an
// honest program then tells its user.
func (n *Node) farewell(posted []*identity.Posted) {
	var items []identity.SignedBulletin
	for _, p := range posted[:min(len(posted), wire.MaxItems)] {
		items = append(items, p.Signed)
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewellTime)
	defer cancel()
	var work sync.WaitGroup
	for _, c := range n.link.Revoked() {
		work.Go(func() { _, _ = c.Call(ctx, &wire.Post{Items: items}) })
	}
	work.Wait()
}

// forgetRevoked takes members whose certificate is revoked out of look-ups; the
// ring then finds out that nobody can call them. Those that have shown another
// one on a link stay: their descriptor with that is on its way.
func (n *Node) forgetRevoked(r *rooms) {
	for _, d := range r.ring.View().Descriptors() {
		if n.notary.revoked(d.Certificate) && n.link.Direct(d.ID) == nil {
			r.ring.Suspect(d.ID)
		}
	}
}

// Revoked returns an error that wraps identity.ErrRevoked once this node's own
// certificate is revoked.
func (n *Node) Revoked() error {
	_, err := n.cfg.Trust.VerifyOwn(*n.chain.Load())
	if errors.Is(err, identity.ErrRevoked) {
		return err
	}
	return nil
}

// tellBulletins spreads bulletins until ctx ends.
func (n *Node) tellBulletins(ctx context.Context) {
	n.bulletins.run(ctx, nearby{n}, n.link.Call)
}

// nearby are the nodes that this one can ask and tell.
type nearby struct{ n *Node }

func (h nearby) connected() (out []wire.Peer) {
	for _, p := range h.n.link.Peers() {
		peer := wire.Peer{ID: p.ID, Owner: p.Owner}
		if p.Via == (identity.NodeID{}) && !slices.ContainsFunc(out, func(o wire.Peer) bool { return o.ID == p.ID }) {
			out = append(out, peer)
		}
	}
	return out
}

func (h nearby) known() []wire.Peer { return h.n.Ring().Known() }
