package wire

import (
	"net/netip"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Peer names a node and tells where it can be reached. It is hearsay until a
// link to it has shown its certificate.
//
//	[ ID: id, owner: tag, addresses: addr*8 ]
type Peer struct {
	_     struct{} `cbor:",toarray"`
	ID    identity.NodeID
	Owner identity.OwnerTag
	Addrs []netip.AddrPort // no zone, no IPv4 inside IPv6, port not 0
}

func (p *Peer) check() error { return checkAddrs(p.Addrs) }
