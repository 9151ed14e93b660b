package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// FillStatus writes what every node has to tell into s.
func (n *Node) FillStatus(s *admin.Status) {
	s.NodeID = n.id
	s.Overlay = n.cfg.Trust.Overlay()
	s.Listen = n.link.Addr().String()
	s.Advertised = texts(n.Self().Addrs)
	s.ClockOffsetMS, s.ClockSynced = n.cfg.Clock.Offset().Milliseconds(), n.cfg.Clock.Synced()
	for _, p := range n.link.Peers() {
		s.Links = append(s.Links, admin.Link{ID: p.ID, Addr: p.Addr.String(), RTTMS: float64(p.RTT.Microseconds()) / 1000, Since: p.Since})
	}
	stats := n.store.Stats()
	s.Store = admin.Store{Records: stats.Records, Bytes: int64(stats.Bytes), MaxBytes: int64(n.cfg.Trust.Charter().StoreBytes)}
	if stats.DiskError != "" {
		s.Warnings = append(s.Warnings, "records cannot be written to disk ("+stats.DiskError+"): make room; until then they live in memory only")
	}
	if offset := n.cfg.Clock.Offset(); offset.Abs() > clockWarning {
		s.Warnings = append(s.Warnings, fmt.Sprintf("this machine's clock is off by %v: set it", offset.Round(time.Second)))
	}
	s.Phase, s.Ring.Phase = "starting", "starting"
	ring := n.Ring()
	if ring == nil {
		return
	}
	st := ring.Status()
	s.Phase = st.Phase.String()
	s.Ring = admin.Ring{Phase: st.Phase.String(), Members: st.Members, SmallRing: st.Small}
	if st.Pred.ID != (identity.NodeID{}) {
		s.Ring.Pred = neighbour(st.Pred)
	}
	for _, p := range st.Succ {
		s.Ring.Succ = append(s.Ring.Succ, *neighbour(p))
	}
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

// Lookup resolves a name and reports the evidence, whatever came out.
func (n *Node) Lookup(ctx context.Context, req admin.LookupRequest) (*admin.LookupResult, error) {
	name, err := identity.ParseAOR(req.Name)
	if err != nil {
		if name, err = identity.NewAOR(req.Name, n.cfg.Trust.Overlay()); err != nil {
			return nil, admin.Errorf(admin.CodeBadRequest, "%v", err)
		}
	}
	if name.Overlay() != n.cfg.Trust.Overlay() {
		return nil, admin.Errorf(admin.CodeBadRequest, "%s is another overlay; this is %s", name.Overlay(), n.cfg.Trust.Overlay())
	}
	dir := n.Directory()
	if dir == nil {
		return &admin.LookupResult{Asked: req.Name, Outcome: admin.OutcomeRingDown, Message: ErrNotJoined.Error()}, nil
	}
	res, err := dir.Resolve(ctx, name, directory.Options{Fresh: req.Fresh})
	out := &admin.LookupResult{Asked: req.Name, Outcome: outcome(err)}
	if err != nil {
		out.Message = err.Error()
	}
	if res != nil {
		n.fillLookup(out, res)
	}
	return out, nil
}

func (n *Node) fillLookup(out *admin.LookupResult, res *directory.Resolution) {
	out.AOR, out.Cached = res.AOR.String(), res.Cached
	if !res.Alias.IsZero() {
		out.Number = res.Alias.User()
	}
	if !res.Key.IsZero() {
		out.Key, out.Fingerprint, out.KeyVersion = res.Key.String(), res.Key.Fingerprint(), res.Version
	}
	if n.cfg.Pins != nil {
		if pin, ok := n.cfg.Pins.Get(res.AOR); ok {
			out.Pinned = pin.First
		}
	}
	for _, d := range res.Devices {
		out.Devices = append(out.Devices, admin.Device{
			Part: d.Part, Node: d.Node, Addrs: texts(d.Addrs), Fingerprint: d.Key.Fingerprint(), Expires: d.Expires, Features: d.Features,
		})
	}
	ev := &res.Evidence
	out.Evidence = admin.Evidence{K: ev.K, N: ev.N, DistinctOwners: ev.DistinctOwners, SmallRing: ev.SmallRing, ElapsedMS: ev.ElapsedMS}
	for _, a := range ev.Asked {
		p := admin.Position{Kind: a.Kind, Index: a.Replica, At: a.Position, Outcome: a.Outcome, RTTMS: a.RTTMS}
		if a.Holder != nil {
			p.Holder, p.Owner = a.Holder.Node, a.Holder.Owner.String()
		}
		out.Evidence.Positions = append(out.Evidence.Positions, p)
	}
	for _, s := range ev.Shares {
		out.Evidence.SharesUsed = append(out.Evidence.SharesUsed, int(s.X))
	}
	for _, b := range ev.Bad {
		out.Evidence.BadShares = append(out.Evidence.BadShares, admin.BadShare{X: int(b.X), Holder: b.Holder.Node, Reason: b.Kind + ": " + b.Reason})
	}
}

// outcome is the admin word for what a resolution ended with.
func outcome(err error) string {
	if err == nil {
		return admin.OutcomeVerified
	}
	for _, o := range []struct {
		err  error
		word string
	}{
		{directory.ErrNoSuchName, admin.OutcomeNotFound},
		{directory.ErrNotRegistered, admin.OutcomeNotRegistered},
		{directory.ErrKeyChanged, admin.OutcomeKeyChanged},
		{directory.ErrKeyConflict, admin.OutcomeKeyConflict},
		{directory.ErrNotEnoughShares, admin.OutcomeTooFewShares},
		{directory.ErrRingDown, admin.OutcomeRingDown},
	} {
		if errors.Is(err, o.err) {
			return o.word
		}
	}
	return admin.OutcomeTimeout
}

// Checks are what doctor can say about any node: ring, clock, disk and, for
// who wants calls, other nodes.
func (n *Node) Checks() []admin.Check {
	var checks []admin.Check
	var s admin.Status
	n.FillStatus(&s)
	ring := admin.Check{Name: "ring", Result: admin.CheckOK, Detail: fmt.Sprintf("joined, %d members known, %d links open", s.Ring.Members, len(s.Links))}
	switch {
	case s.Phase != "joined":
		ring.Result, ring.Detail = admin.CheckFail, "not a member of the ring: "+s.Phase
		ring.Mend = "see that another node or the bootstrap server runs and that UDP reaches it"
	case s.Ring.Members <= 1:
		ring.Result, ring.Detail = admin.CheckWarn, "this node is alone on the ring"
		ring.Mend = "start other adapters; if they run, see that UDP to " + s.Listen + " is let through"
	}
	clock := admin.Check{Name: "clock", Result: admin.CheckOK, Detail: fmt.Sprintf("within %v of the overlay's time", n.cfg.Clock.Offset().Abs().Round(time.Millisecond))}
	if offset := n.cfg.Clock.Offset(); offset.Abs() > clockWarning {
		clock.Result, clock.Detail = admin.CheckWarn, fmt.Sprintf("this machine's clock is off by %v; calls work by the overlay's time", offset.Round(time.Second))
		clock.Mend = "set the clock, for example with chrony or timedatectl"
	}
	disk := admin.Check{Name: "store", Result: admin.CheckOK, Detail: fmt.Sprintf("%d records, %d of %d bytes", s.Store.Records, s.Store.Bytes, s.Store.MaxBytes)}
	if e := n.store.Stats().DiskError; e != "" {
		disk.Result, disk.Detail, disk.Mend = admin.CheckFail, "records cannot be written to disk: "+e, "make room on the disk of the state folder"
	}
	checks = append(checks, ring, clock, disk, n.certificateCheck())
	return checks
}

func (n *Node) certificateCheck() admin.Check {
	check := admin.Check{Name: "certificate", Result: admin.CheckOK}
	cert, err := n.cfg.Trust.VerifyNode(n.cfg.Chain, time.Time{})
	if err != nil {
		return admin.Check{Name: "certificate", Result: admin.CheckFail, Detail: err.Error(), Mend: "enrol again with a new invitation"}
	}
	left := cert.NotAfter.Sub(n.cfg.Clock.Now())
	check.Detail = fmt.Sprintf("valid for %d days", int(left.Hours()/24))
	if left < 0 {
		check.Result, check.Detail = admin.CheckWarn, fmt.Sprintf("expired %d days ago; the overlay's grace still covers it", int(-left.Hours()/24))
		check.Mend = "start the bootstrap server, which renews it"
	}
	return check
}
