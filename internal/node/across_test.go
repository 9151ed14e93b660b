package node_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// bothFamilies makes a node listen at 127.0.0.1 and at ::1.
func bothFamilies(t *testing.T) func(*node.Config) {
	t.Helper()
	conn := must(net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6unspecified}))(t)
	t.Cleanup(func() { _ = conn.Close() })
	port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return func(c *node.Config) {
		c.Listen = netip.AddrPortFrom(netip.IPv6Unspecified(), port)
		c.Advertise = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.AddrPortFrom(netip.IPv6Loopback(), port)}
		c.Socket = func(at netip.AddrPort) (net.PacketConn, error) {
			if at.Port() == port {
				return conn, nil
			}
			return net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		}
	}
}

// Whose host has IPv6 only uses a ring with members that have IPv4 only as a
// client of those that have both, and reaches every one: what these pass on is for
// such a client and such a member, and for nobody else.
func TestOneFamilyReachesTheOther(t *testing.T) {
	o := newOverlay(t)
	first := o.start("first", func(c *node.Config) { bothFamilies(t)(c); c.Role = node.RolePeer })
	second := o.start("second", bothFamilies(t), first)
	var fours []*peer
	for i := range 4 {
		fours = append(fours, o.start(fmt.Sprint("four ", i), nil, first))
	}
	six := o.start("six", func(c *node.Config) { c.Listen = netip.MustParseAddrPort("[::1]:0") }, first)
	eventually(t, "a client of those that have both families", func() bool {
		return six.Standing().Client && len(six.Attachments()) == 2 && six.Ring().Status().Members == 6
	})
	for _, m := range fours {
		if m.Standing().Client {
			t.Errorf("%s is a client: %s", m.name, m.Standing().Why)
		}
		conn := must(six.Link().Connect(limited(t), m.Self()))(t)
		if _, err := conn.Call(limited(t), &wire.Ping{}); err != nil || !conn.Relayed() || conn.ID() != m.ID() {
			t.Errorf("%s is not reached: %v", m.name, err)
		}
		if _, err := conn.Call(limited(t), &wire.GetState{}); err == nil {
			t.Errorf("%s lets a client be a neighbour that it cannot call", m.name)
		}
	}
	if n := six.refused.of("chord/unexpected"); n > 0 {
		t.Errorf("%d odd answers: %v", n, six.refused.all())
	}

	refused := func(p *peer, reason string, attack func()) {
		t.Helper()
		before := p.refused.of("link/" + reason)
		attack()
		eventually(t, p.name+" counts "+reason, func() bool { return p.refused.of("link/"+reason) > before })
	}
	stranger := o.liar("stranger")
	conn := must(stranger.Connect(limited(t), first.Self()))(t)
	sealed := func(direction byte, to *peer) []byte {
		id := to.ID()
		return append(append([]byte{link.DatagramSealed, direction}, id[:]...), make([]byte, 1200)...)
	}
	refused(first, "sealed_stranger", func() { _ = conn.SendDatagram(sealed(0, fours[0])) }) // of no client
	mine := must(six.Link().Connect(limited(t), first.Self()))(t)
	refused(first, "sealed_unasked", func() { _ = mine.SendDatagram(sealed(0, second)) }) // to one that it reaches itself
	own := must(stranger.Connect(limited(t), fours[0].Self()))(t)
	refused(fours[0], "sealed_foreign_peer", func() { _ = own.SendDatagram(sealed(1, six)) }) // passed on by no member
}
