package sipbridge

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// hosts knows which hosts in a URI mean this adapter.
type hosts struct {
	cfg   *Config
	own   []netip.AddrPort // the sockets
	ports []uint16         // their ports
	ips   atomic.Pointer[ipList]
	mu    sync.Mutex // for ways, and for refreshing ips
	ways  map[netip.Addr]netip.Addr
}

type ipList struct {
	list []netip.Addr
	read time.Time
}

// ipsFor is how long the host's addresses are taken for unchanged.
const ipsFor = 10 * time.Second

func (h *hosts) init(cfg *Config) {
	h.cfg = cfg
	h.ways = make(map[netip.Addr]netip.Addr)
}

// bound learns the sockets, before the first message.
func (h *hosts) bound(udp []*udpSocket, tcp []*tcpListener) {
	for _, l := range udp {
		h.own = append(h.own, l.local)
	}
	for _, l := range tcp {
		h.own = append(h.own, l.local)
	}
	for _, a := range h.own {
		if !slices.Contains(h.ports, a.Port()) {
			h.ports = append(h.ports, a.Port())
		}
	}
}

// addresses returns the host's own addresses.
func (h *hosts) addresses() []netip.Addr {
	if l := h.ips.Load(); l != nil && time.Since(l.read) < ipsFor {
		return l.list
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.ips.Load(); l != nil && time.Since(l.read) < ipsFor {
		return l.list
	}
	l := &ipList{append(slices.Clip(h.cfg.HostIPs()), interfaceIPs()...), time.Now()}
	h.ips.Store(l)
	clear(h.ways)
	return l.list
}

// isOwnIP tells whether a is an address of this host.
func (h *hosts) isOwnIP(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || slices.Contains(h.addresses(), a) ||
		slices.ContainsFunc(h.own, func(o netip.AddrPort) bool { return o.Addr() == a })
}

// isHere tells whether a message comes from this host. A phone that binds its
// LAN address, as baresip does, sends from there to 127.0.0.1 too; nothing
// from outside arrives at a loopback address (RFC 1122 §3.2.1.3).
func (h *hosts) isHere(f carry.Flow) bool {
	a := f.Remote.Addr()
	return a.IsLoopback() || f.Local.Addr().IsLoopback() && h.isOwnIP(a)
}

// isOwnSocket tells whether a is one of our own sockets, so that a message
// from there is our own.
func (h *hosts) isOwnSocket(a netip.AddrPort) bool { return slices.Contains(h.own, a) }

// meansUs tells whether a URI's host, whatever its port, is this adapter or
// the overlay.
func (h *hosts) meansUs(u *message.URI) bool {
	if a, ok := u.Addr(); ok {
		return h.isOwnIP(a)
	}
	return message.EqualFold(u.Host, h.cfg.Overlay) || message.EqualFold(u.Host, "localhost") ||
		h.cfg.HostName != "" && message.EqualFold(u.Host, h.cfg.HostName)
}

// isUs tells whether a Request-URI or Route leads to this adapter: a host of
// ours, and no port or one that we listen on.
func (h *hosts) isUs(u *message.URI) bool {
	return (u.Port == 0 || slices.Contains(h.ports, u.Port)) && h.meansUs(u)
}

// accepted says, for people, what can be dialled.
func (h *hosts) accepted() string {
	var own string
	if len(h.own) > 0 {
		own = " or bob@" + h.own[0].String()
	}
	return "dial a name of " + h.cfg.Overlay + ": bob@" + h.cfg.Overlay + own
}

// wayTo returns our own address on the way to a remote one. Loopback phones
// get the loopback address.
func (h *hosts) wayTo(remote netip.Addr) netip.Addr {
	if remote.IsLoopback() {
		if remote.Is4() {
			return netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		return netip.IPv6Loopback()
	}
	h.addresses() // forgets the ways when the addresses are read anew
	h.mu.Lock()
	defer h.mu.Unlock()
	if a, ok := h.ways[remote]; ok {
		return a
	}
	var a netip.Addr
	if c, err := net.Dial("udp", netip.AddrPortFrom(remote, 9).String()); err == nil { // sends nothing
		a = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		_ = c.Close()
	}
	if len(h.ways) < 1024 && a.IsValid() {
		h.ways[remote] = a
	}
	return a
}

// clip shortens text of a phone's for keeping.
func clip(b []byte, max int) string {
	return strings.ToValidUTF8(string(b[:min(len(b), max)]), "")
}
