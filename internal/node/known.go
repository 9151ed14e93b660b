package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// maxKnown is how many members are kept for the next start.
const maxKnown = 64

var (
	bucketNode = []byte("node")
	keyKnown   = []byte("known members") // JSON of []knownPeer
)

// knownPeer is a member as kept on disk.
type knownPeer struct {
	ID    identity.NodeID
	Owner identity.OwnerTag
	Addrs []netip.AddrPort
}

// saveKnown keeps some live members for the next start.
func (n *Node) saveKnown() {
	if ring := n.Ring(); ring != nil {
		n.keepKnown(ring.Known())
	}
}

// keepKnown writes the list of known members unless it says the same already.
// An empty list replaces nothing: rather the old ones than none.
func (n *Node) keepKnown(peers []wire.Peer) {
	var known []knownPeer
	for _, p := range peers {
		if p.ID != n.id && len(p.Addrs) > 0 && len(known) < maxKnown {
			known = append(known, knownPeer{p.ID, p.Owner, p.Addrs})
		}
	}
	if n.cfg.DB == nil || len(known) == 0 {
		return
	}
	data, err := json.Marshal(known)
	n.mu.Lock()
	same := bytes.Equal(data, n.kept)
	n.mu.Unlock()
	if err != nil || same {
		return
	}
	err = n.cfg.DB.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketNode)
		if err != nil {
			return err
		}
		return b.Put(keyKnown, data)
	})
	if err == nil {
		n.mu.Lock()
		n.kept = data
		n.mu.Unlock()
	} else if !errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		n.cfg.Log.Warn().Err(err).Msg("the known members cannot be saved: make room on the disk of the state folder")
	}
}

// loadKnown returns the members that were live when this node last looked.
func (n *Node) loadKnown() []wire.Peer {
	if n.cfg.DB == nil {
		return nil
	}
	var known []knownPeer
	err := n.cfg.DB.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketNode)
		if b == nil || b.Get(keyKnown) == nil {
			return nil
		}
		return json.Unmarshal(b.Get(keyKnown), &known)
	})
	if err != nil {
		n.cfg.Log.Warn().Err(err).Msg("the known members cannot be read; joining through the bootstrap server")
	}
	peers := make([]wire.Peer, 0, len(known))
	for _, p := range known[:min(len(known), maxKnown)] {
		peers = append(peers, wire.Peer{ID: p.ID, Owner: p.Owner, Addrs: p.Addrs})
	}
	return peers
}
