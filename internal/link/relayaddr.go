package link

import (
	"net"
	"net/netip"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// A sealed packet is one QUIC packet of a connection between two nodes, in a
// datagram of the link to the peer that passes it on:
//
//	02 │ 00 │ ID of the receiver, 16 │ packet      to the peer
//	02 │ 01 │ ID of the sender, 16   │ packet      from the peer
//
// The peer sees no more than a stranger on the path would: the packets are
// those of a connection whose ends know each other by their certificates.
const (
	sealedOn   = 0 // pass this on
	sealedFrom = 1 // this was passed on
	sealedHead = 2 + len(identity.NodeID{})
)

// sealedPacket is the length of the packets inside: RFC 9000 §14.1 wants no
// less, and with its head it fits the datagrams of a connection whose packets
// have the least length that this package sends.
const sealedPacket = 1200

// splitSealed reads the head of a sealed packet. The packet is part of b.
func splitSealed(b []byte) (direction byte, node identity.NodeID, packet []byte, ok bool) {
	if len(b) <= sealedHead || len(b) > sealedHead+sealedPacket || b[0] != DatagramSealed || b[1] > sealedFrom {
		return 0, identity.NodeID{}, nil, false
	}
	return b[1], identity.NodeID(b[2:sealedHead]), b[sealedHead:], true
}

func appendSealed(dst []byte, direction byte, node identity.NodeID, packet []byte) []byte {
	dst = append(dst, DatagramSealed, direction)
	dst = append(dst, node[:]...)
	return append(dst, packet...)
}

// relayAddr is an end of a connection whose packets a peer passes on.
type relayAddr struct {
	node identity.NodeID // the other end
	via  identity.NodeID // the peer
}

// Network implements net.Addr.
func (relayAddr) Network() string { return "sealed" }

// String implements net.Addr.
func (a relayAddr) String() string { return a.node.String() + " via " + a.via.String() }

// hostOf returns what stands for the host behind an address in quotas. Where a
// peer passes packets on, that is the node.
func hostOf(a net.Addr) netip.Addr {
	if r, ok := a.(relayAddr); ok {
		return netip.AddrFrom16(r.node)
	}
	return addrPort(a).Addr()
}
