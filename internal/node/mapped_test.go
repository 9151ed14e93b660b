package node_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/portmap"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// pmpRouter plays a router that speaks NAT-PMP (RFC 6886) on a loopback address
// of this process alone, and says that a port leads to the host.
type pmpRouter struct {
	sock   *net.UDPConn
	says   netip.AddrPort            // what it says is mapped
	mapped func(host netip.AddrPort) // hears of a mapping; nil = nobody
	asked  atomic.Int64
	gone   atomic.Int64 // mappings taken back
}

func newPMPRouter(t *testing.T, i byte, says netip.AddrPort, mapped func(netip.AddrPort)) *pmpRouter {
	t.Helper()
	pid := os.Getpid()
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 120 + byte(pid>>16&7), byte(pid >> 8), byte(pid)&^1 | i}), 5351)
	r := &pmpRouter{sock: must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at)))(t), says: says, mapped: mapped}
	done := make(chan struct{})
	go func() { defer close(done); r.run() }()
	t.Cleanup(func() { r.sock.Close(); <-done })
	return r
}

func (r *pmpRouter) run() {
	b := make([]byte, 64)
	for {
		n, from, err := r.sock.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		answer := make([]byte, 16)
		answer[1] = b[1] | 0x80
		if n == 2 {
			ip := r.says.Addr().As4()
			copy(answer[8:], ip[:])
			answer = answer[:12]
		} else {
			r.asked.Add(1)
			copy(answer[8:], b[4:6])
			binary.BigEndian.PutUint16(answer[10:], r.says.Port())
			copy(answer[12:], b[8:12])
			switch {
			case binary.BigEndian.Uint32(b[8:]) == 0:
				r.gone.Add(1)
			case r.mapped != nil:
				r.mapped(netip.AddrPortFrom(from.Addr(), binary.BigEndian.Uint16(b[4:])))
			}
		}
		_, _ = r.sock.WriteToUDPAddrPort(answer, from)
	}
}

// asks has a node use the router.
func (r *pmpRouter) asks(c *node.Config) {
	route := portmap.Route{Gateway: r.sock.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), Local: loopback.Addr()}
	c.PortMapping = &portmap.Config{Route: func() (portmap.Route, error) { return route, nil }}
}

// forwarder is a router's port outside: what comes there goes to a host, and back.
type forwarder struct {
	sock *net.UDPConn
	to   atomic.Pointer[netip.AddrPort]
}

func newForwarder(t *testing.T) *forwarder {
	t.Helper()
	f := &forwarder{sock: must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback)))(t)}
	var work sync.WaitGroup
	flows := map[netip.AddrPort]*net.UDPConn{}
	work.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := f.sock.ReadFromUDPAddrPort(b)
			to := f.to.Load()
			if err != nil {
				for _, c := range flows {
					c.Close()
				}
				return
			}
			if to == nil {
				continue
			}
			inside := flows[from]
			if inside == nil {
				if inside, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(*to)); err != nil {
					continue
				}
				flows[from] = inside
				work.Go(func() {
					b := make([]byte, 2048)
					for {
						n, err := inside.Read(b)
						if err != nil {
							return
						}
						_, _ = f.sock.WriteToUDPAddrPort(b[:n], from)
					}
				})
			}
			_, _ = inside.Write(b[:n])
		}
	})
	t.Cleanup(func() { f.sock.Close(); work.Wait() })
	return f
}

func (f *forwarder) at() netip.AddrPort { return f.sock.LocalAddr().(*net.UDPAddr).AddrPort() }

func statusOf(p *peer) (s admin.Status) {
	p.FillStatus(&s)
	return s
}

// Behind a translator that lets nobody in, a node that asks the router for a port
// becomes a member at the address that the router names, once others have called
// it there, and takes the port back at the end.
func TestMappedPortMakesMember(t *testing.T) {
	o := newOverlay(t)
	first := o.start("first", func(c *node.Config) { c.Role = node.RolePeer })
	o.start("second", nil, first)
	nat, out := new(testnet.NAT), newForwarder(t)
	router := newPMPRouter(t, 0, out.at(), func(host netip.AddrPort) { nat.Open(true); out.to.Store(&host) })
	c := o.start("client", func(c *node.Config) { c.Socket = nat.Socket; router.asks(c) }, first)
	eventually(t, "the client becomes a member at the mapped address", func() bool {
		return !c.Standing().Client && slices.Contains(c.Self().Addrs, out.at())
	})
	status := statusOf(c)
	if m := status.Reach.PortMapping; m == nil || !m.Proven || m.Protocol != "nat-pmp" || m.External != out.at().String() {
		t.Errorf("%+v", m)
	}
	c.stop()
	if router.gone.Load() != 1 {
		t.Errorf("taken back %d times", router.gone.Load())
	}
}

// Whoever answers as the router can name any address. Nobody calls this node
// there, so nothing is published, and who is at that address gets next to nothing.
func TestRouterNamesSomebodyElse(t *testing.T) {
	o := newOverlay(t)
	first := o.start("first", func(c *node.Config) { c.Role = node.RolePeer })
	o.start("second", nil, first)
	bystander := newVictim(t)
	type lied struct {
		*peer
		router *pmpRouter
	}
	var clients []lied
	for i, says := range []netip.AddrPort{bystander.at, first.Self().Addrs[0]} {
		router := newPMPRouter(t, byte(i), says, nil)
		c := o.start("client of "+says.String(), func(c *node.Config) {
			// A client by choice has nobody else call it: the others' patience with one host is bounded.
			c.Role, c.Socket = node.RoleClient, new(testnet.NAT).Socket
			router.asks(c)
		}, first)
		clients = append(clients, lied{c, router})
	}
	for _, c := range clients {
		eventually(t, "it is put to the proof", func() bool {
			s := statusOf(c.peer)
			return s.Reach != nil && s.Reach.PortMapping != nil && s.Reach.PortMapping.Silent > 0
		})
		m := statusOf(c.peer).Reach.PortMapping
		if m.Proven || m.External != c.router.says.String() || slices.Contains(c.Self().Addrs, c.router.says) || !c.Standing().Client {
			t.Errorf("%+v, published %v", m, c.Self().Addrs)
		}
		if c.router.asked.Load() == 0 {
			t.Error("the router was not asked")
		}
	}
	t.Logf("a router's lie costs whom it names %d bytes", bystander.bytes.Load())
	if bystander.packets.Load() == 0 {
		t.Error("the bystander was not even tried: this proves nothing")
	}
}
