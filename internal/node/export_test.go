package node

import (
	"context"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// RingView is how a node shows its ring to its directory.
func RingView(ring *chord.Node, store *record.Store) directory.Ring { return ringView{ring, store} }

// OverlayTime is the overlay's time as the node sees it.
func (n *Node) OverlayTime() time.Time { return n.time.Now() }

// TimeIsSynced tells whether others have confirmed it.
func (n *Node) TimeIsSynced() bool { return n.time.Synced() }

// Notary is what a node verifies and signs members' descriptors with.
type Notary = notary

// NewNotary returns one.
func NewNotary(trust *identity.Trust, key identity.PrivateKey, chain [][]byte, refused func(string)) (*Notary, error) {
	return newNotary(trust, time.Now, key, chain, refused)
}

// Watched is a ring as a guard sees it.
func Watched(ring *chord.Node) evidence.Ring { return watched{ring} }

// Guarded is a transport that calls nobody whom a guard has evicted.
func Guarded(t evidence.Transport, g *evidence.Guard) chord.Transport { return guarded{t, g} }

// Keep is what becomes of a Store or StoreMany of a peer that a link has verified.
func (n *Node) Keep(ctx context.Context, from wire.Peer, req wire.Message) wire.Message {
	return n.keep(ctx, n.Ring(), from, req)
}
