package node

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of dialling others back. A node that asks must not be able to aim
// this one at somebody else: only addresses that are its own as far as can be
// seen are dialled, with few bytes, and one that does not answer is left alone
// for a while.
const (
	dialBacksAtOnce = 32
	dialBackBurst   = 6                // of one node at once
	dialBackEvery   = 5 * time.Second  // and one more in this time
	silentMost      = 10 * time.Minute // after many times
	silentHostBurst = 8                // ports of one host that do not answer
	silentHostEvery = 10 * time.Second
)

// DialBackGain is how many bytes a DialBack may cause for each of its own.
const DialBackGain = 3

// The reasons with which the room "node" refuses.
const (
	reasonDialBackRate    = "dial_back_rate"    // a node asks too often, or too many ask at once
	reasonDialBackForeign = "dial_back_foreign" // an address that may be somebody else's
	reasonDialBackSilent  = "dial_back_silent"  // an address at which nobody answered just now
)

// dialBacks is the memory behind the bounds.
type dialBacks struct {
	now   func() time.Time
	first time.Duration // before an address that did not answer is dialled again

	asks *askers

	mu     sync.Mutex
	silent map[netip.AddrPort]silence
	hosts  map[netip.Addr]*rate.Limiter // one token for each address that did not answer
}

type silence struct {
	until time.Time
	wait  time.Duration
}

func newDialBacks(now func() time.Time, first time.Duration) *dialBacks {
	return &dialBacks{
		now: now, first: first, asks: newAskers(dialBackEvery, dialBackBurst, dialBacksAtOnce),
		silent: map[netip.AddrPort]silence{}, hosts: map[netip.Addr]*rate.Limiter{},
	}
}

// mayDial tells whether an address may be dialled, which counts as silent until
// answered says otherwise: so nobody dials it twice at once.
func (d *dialBacks) mayDial(a netip.AddrPort) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	s := d.silent[a]
	if s.wait == 0 {
		d.forgetSilent(now)
	}
	host := d.hosts[a.Addr()]
	if s.until.After(now) || len(d.silent) >= maxRemembered || host != nil && host.TokensAt(now) < 1 {
		return false
	}
	wait := min(max(2*s.wait, d.first), silentMost)
	d.silent[a] = silence{now.Add(wait), wait}
	return true
}

// answered takes back what mayDial has noted.
func (d *dialBacks) answered(a netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.silent, a)
}

// missed holds an address that did not answer against its host, too.
func (d *dialBacks) missed(a netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	host := d.hosts[a.Addr()]
	if host == nil {
		forgetFull(d.hosts, now)
		if len(d.hosts) >= maxRemembered {
			return
		}
		host = rate.NewLimiter(rate.Every(silentHostEvery), silentHostBurst)
		d.hosts[a.Addr()] = host
	}
	host.AllowN(now, 1)
}

// forgetSilent drops what has been left alone for twice its time.
func (d *dialBacks) forgetSilent(now time.Time) {
	if len(d.silent) < maxRemembered/2 {
		return
	}
	for a, s := range d.silent {
		if now.Sub(s.until) > s.wait {
			delete(d.silent, a)
		}
	}
}

// serveDialBack dials the asking node at its addresses, one after the other
// until one answers.
func (n *Node) serveDialBack(ctx context.Context, from *link.Conn, m *wire.DialBack) wire.Message {
	refuse := func(reason string) wire.Message {
		n.cfg.Refused("node", reason)
		e := wire.Errorf(wire.CodeTooMany, "not dialled back now")
		e.Retry = uint32(n.dialBacks.first / time.Millisecond)
		return e
	}
	if from.Relayed() || !n.dialBacks.asks.begin(from.ID(), n.dialBacks.now()) {
		return refuse(reasonDialBackRate)
	}
	defer n.dialBacks.asks.end()
	asked, err := wire.Encode(m)
	if err != nil {
		return wire.Errorf(wire.CodeMalformed, "%v", err)
	}
	budget := DialBackGain * len(asked)
	answer := &wire.Dialed{Others: n.othersThan(from.Owner())}
	left := false
	for _, a := range m.Addrs {
		if nets, seen := localNets(), from.RemoteAddr().Addr(); !ownAddress(a.Addr(), seen, nets) {
			if aimed(a.Addr(), seen, nets) {
				n.cfg.Refused("node", reasonDialBackForeign)
			}
			continue
		}
		if slices.Contains(answer.Silent, a) || budget < link.LeastProbe {
			continue
		}
		if !n.dialBacks.mayDial(a) {
			n.cfg.Refused("node", reasonDialBackSilent)
			left = true
			continue
		}
		sent, err := n.link.Probe(ctx, from.Certificate(), a, budget)
		budget -= sent
		if err == nil {
			n.dialBacks.answered(a)
			answer.Reached = append(answer.Reached, a)
			return answer
		}
		n.dialBacks.missed(a)
		answer.Silent = append(answer.Silent, a)
	}
	if left && len(answer.Silent) == 0 {
		return refuse(reasonDialBackSilent)
	}
	return answer
}

// ownAddress tells whether an address can only be the asking node's own, seen
// from here: the one that its packets come from, or a private one on a network
// that this host has, too, asked for from a private address. A node on the
// internet cannot make us dial our neighbours, nor a neighbour our own host.
func ownAddress(a, observed netip.Addr, nets []netip.Prefix) bool {
	switch {
	case a == observed:
		return true
	case a.IsLoopback(), observed.IsLoopback():
		return a.IsLoopback() && observed.IsLoopback()
	case !a.IsPrivate() || !observed.IsPrivate():
		return false
	}
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) && p.Addr() != a })
}

// aimed tells whether an address that is not the asking node's own, seen from
// here, may be somebody's whom it wants to have dialled. Honest nodes name all
// that they have: private ones of networks elsewhere, and those of the family by
// which they are not seen.
func aimed(a, observed netip.Addr, nets []netip.Prefix) bool {
	near := slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
	switch {
	case a.IsLoopback() || near:
		return true
	case a.IsPrivate() || a.IsLinkLocalUnicast():
		return false
	}
	return a.Is4() == observed.Is4()
}

// localNets lists the networks that this host is on, each with its own address.
func localNets() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var nets []netip.Prefix
	for _, a := range addrs {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(ipnet.IP)
		if ones, bits := ipnet.Mask.Size(); ok && ones > 0 && ones < bits {
			nets = append(nets, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return nets
}

// othersThan names some members, each of another owner than the asking node's
// and this one's.
func (n *Node) othersThan(asker identity.OwnerTag) []wire.Peer {
	ring := n.Ring()
	if ring == nil {
		return nil
	}
	owners := map[identity.OwnerTag]bool{asker: true, n.owner: true}
	var out []wire.Peer
	for _, p := range ring.Known() {
		if len(out) < wire.MaxOthers && !owners[p.Owner] {
			owners[p.Owner] = true
			out = append(out, p)
		}
	}
	return out
}
