package node

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// FillStatus writes what every node has to tell into s.
func (n *Node) FillStatus(s *admin.Status) {
	s.NodeID = n.id
	s.Overlay = n.cfg.Trust.Overlay()
	s.Listen = n.link.Addr().String()
	s.Advertised = texts(n.Self().Addrs)
	s.ClockOffsetMS, s.ClockSynced = n.time.Offset().Milliseconds(), n.time.Synced()
	for _, p := range n.link.Peers() {
		l := admin.Link{ID: p.ID, RTTMS: float64(p.RTT.Microseconds()) / 1000, Since: p.Since}
		if p.Via != (identity.NodeID{}) {
			l.Via = p.Via.String()
		} else {
			l.Addr = p.Addr.String()
		}
		s.Links = append(s.Links, l)
	}
	stats := n.store.Stats()
	s.Store = admin.Store{Records: stats.Records, Bytes: int64(stats.Bytes), MaxBytes: int64(n.cfg.Trust.Charter().StoreBytes), DiskFails: stats.DiskError != ""}
	if stats.DiskError != "" {
		s.Warnings = append(s.Warnings, stats.DiskError+": make room; until then this node stores nothing for others, and its own records live in memory only")
	}
	if offset := n.time.Offset(); offset.Abs() > clockWarning {
		s.Warnings = append(s.Warnings, fmt.Sprintf("this machine's clock is off by %v: set it", offset.Round(time.Second)))
	}
	if why := n.issuingKey(); why != "" {
		s.Warnings = append(s.Warnings, why)
	}
	s.Warnings = append(s.Warnings, n.Alarms()...)
	s.ChangedKeys = n.changed.all()
	s.Phase, s.Ring.Phase = "starting", "starting"
	ring := n.Ring()
	if ring == nil {
		return
	}
	st := ring.Status()
	s.Phase = st.Phase.String()
	s.Ring = admin.Ring{Phase: st.Phase.String(), Members: st.Members, SmallRing: st.Small}
	if v := ring.View(); n.cfg.HideLookups && (v.Attending() || v.Thin) {
		s.Warnings = append(s.Warnings, "look-ups are hidden (privacy.hidden_lookups), and this adapter cannot hide them, since it is no member that knows the whole ring: it calls nobody, and takes no calls; let others call it ('secp2psip doctor'), or switch that off")
	}
	s.Reach = n.reachStatus()
	if st.Pred.ID != (identity.NodeID{}) {
		s.Ring.Pred = neighbour(st.Pred)
	}
	for _, p := range st.Succ {
		s.Ring.Succ = append(s.Ring.Succ, *neighbour(p))
	}
}

// reachStatus says whether others can call this node; nil while that is open.
func (n *Node) reachStatus() *admin.Reach {
	st := n.Standing()
	if st.Since.IsZero() {
		return nil
	}
	r := &admin.Reach{Client: st.Client, Since: st.Since, Why: st.Why, By: []admin.Voucher{}, Clients: n.Clients()}
	seen := n.Reflection()
	r.Mapping, r.PortMapping = string(seen.Mapping), n.mappedStatus()
	r.STUNSilent = seen.Silent
	for _, s := range seen.Sightings {
		r.Observed = append(r.Observed, admin.Seen{By: s.Observer.String(), As: s.Seen.String()})
	}
	for _, v := range st.By {
		r.By = append(r.By, admin.Voucher{ID: v.Node, Addr: v.Addr.String(), At: v.At})
	}
	for _, a := range n.Attachments() {
		r.Attached = append(r.Attached, admin.Attached{ID: a.Peer.ID, Since: a.Since})
	}
	return r
}

func neighbour(p wire.Peer) *admin.Neighbour {
	return &admin.Neighbour{ID: p.ID, Addrs: texts(p.Addrs)}
}

func texts(addrs []netip.AddrPort) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}
