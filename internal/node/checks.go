package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// Checks are what doctor can say about any node: ring, clock, disk,
// certificate and keys. It asks anew how others see this node, which takes 2 s
// where somebody does not answer.
func (n *Node) Checks(ctx context.Context) []admin.Check {
	n.observe(ctx)
	var s admin.Status
	n.FillStatus(&s)
	return []admin.Check{n.ringCheck(&s), n.addressCheck(), n.reachCheck(&s), n.natView(&s).check(), n.mappingCheck(&s), n.clockCheck(), n.storeCheck(&s), n.certificateCheck(), n.keyCheck()}
}

func (n *Node) ringCheck(s *admin.Status) admin.Check {
	c := admin.Check{Name: "ring", Result: admin.CheckOK, Detail: fmt.Sprintf("joined, %d members known, %d links open", s.Ring.Members, len(s.Links))}
	switch {
	case s.Phase == chord.PhaseClient.String() && s.Ring.Members > 0:
		c.Detail = fmt.Sprintf("client of the ring, %d members known, %d links open", s.Ring.Members, len(s.Links))
	case s.Phase != "joined":
		c.Result, c.Detail = admin.CheckFail, "not a member of the ring: "+s.Phase
		c.Mend = "see that another node or the bootstrap server runs, that this host is on the network, and that no firewall drops UDP"
	case n.CutOff():
		c.Result, c.Detail = admin.CheckFail, "this node reaches none of the others that it knows"
		c.Mend = fmt.Sprintf("see that this host is on the network, and that no firewall, here or at the router, drops UDP from and to port %d", n.link.Addr().Port())
	case s.Ring.Members <= 1:
		c.Result, c.Detail = admin.CheckWarn, "this node is alone on the ring"
		c.Mend = "start other adapters; if they run, see that UDP to " + s.Listen + " is let through"
	}
	return c
}

// reachCheck says whether others can call this node, and what to do if not.
func (n *Node) reachCheck(s *admin.Status) admin.Check {
	c := admin.Check{Name: "reach", Result: admin.CheckOK}
	r := s.Reach
	port := n.link.Addr().Port()
	switch {
	case r == nil:
		c.Result, c.Detail, c.Mend = admin.CheckWarn, "not known yet whether others can call this node", "ask again in a few seconds"
	case !r.Client && len(r.By) > 0:
		c.Detail = "dialled back by the nodes of " + counted(len(r.By), "other person", "other people")
	case !r.Client:
		c.Detail = "nobody else has been there to dial this node back"
	case n.cfg.Role == RoleClient:
		c.Detail = fmt.Sprintf("a client by choice, called through %d members", len(r.Attached))
	case len(r.Attached) == 0:
		c.Result, c.Detail = admin.CheckFail, "others cannot call this node, and no member passes packets on to it: "+r.Why
		c.Mend = fmt.Sprintf("let UDP port %d through to this host at its firewall or router", port)
	default:
		c.Result = admin.CheckWarn
		c.Detail = fmt.Sprintf("others cannot call this node directly (%s); it is called through %d members", r.Why, len(r.Attached))
		c.Mend = fmt.Sprintf("nothing; calls are faster when UDP port %d is let through to this host and advertise names an address that others reach", port) + n.asksRouter()
	}
	return c
}

func (n *Node) clockCheck() admin.Check {
	offset := n.time.Offset()
	c := admin.Check{Name: "clock", Result: admin.CheckOK, Detail: fmt.Sprintf("within %v of the overlay's time", offset.Abs().Round(time.Millisecond))}
	switch {
	case offset.Abs() > clockWarning:
		c.Result, c.Detail = admin.CheckWarn, fmt.Sprintf("this machine's clock is off by %v; calls work by the overlay's time", offset.Round(time.Second))
		c.Mend = "set the clock, for example with chrony or timedatectl"
	case !n.time.Synced():
		c.Result, c.Detail = admin.CheckWarn, "nobody has confirmed this machine's clock since the start"
		c.Mend = "nothing, if the clock is right; the bootstrap server or three other people's adapters confirm it"
	}
	return c
}

func (n *Node) storeCheck(s *admin.Status) admin.Check {
	c := admin.Check{Name: "store", Result: admin.CheckOK, Detail: fmt.Sprintf("%d records, %d of %d bytes", s.Store.Records, s.Store.Bytes, s.Store.MaxBytes)}
	if e := n.store.Stats().DiskError; e != "" {
		c.Result, c.Detail, c.Mend = admin.CheckFail, e+"; this node stores nothing for others until there is room, and keeps its own records in memory; calls go on", "make room on the disk of the state folder; no restart is needed"
	}
	return c
}

func (n *Node) certificateCheck() admin.Check {
	cert, err := n.cfg.Trust.VerifyOwn(*n.chain.Load())
	if why := n.issuingKey(); why != "" && err == nil {
		return admin.Check{Name: "certificate", Result: admin.CheckWarn, Detail: why, Mend: "nothing has to be done while the bootstrap server runs; if this stays, start it"}
	}
	if err != nil {
		return admin.Check{Name: "certificate", Result: admin.CheckFail, Detail: err.Error(), Mend: "enrol again with a new invitation"}
	}
	left := cert.NotAfter.Sub(n.time.Now())
	c := admin.Check{Name: "certificate", Result: admin.CheckOK, Detail: fmt.Sprintf("valid for %d days", int(left.Hours()/24))}
	if left < 0 {
		c.Result, c.Detail = admin.CheckWarn, fmt.Sprintf("expired %d days ago; the overlay's grace still covers it", int(-left.Hours()/24))
		c.Mend = "start the bootstrap server, which renews it"
	}
	if left < -n.cfg.Trust.Charter().GraceTime() {
		c.Result, c.Detail = admin.CheckFail, fmt.Sprintf("expired %d days ago, and the overlay's grace is over: other nodes refuse this one", int(-left.Hours()/24))
		c.Mend = "start the bootstrap server and enrol again with a new invitation"
	}
	return c
}

func (n *Node) keyCheck() admin.Check {
	alarms := n.Alarms()
	if len(alarms) == 0 {
		return admin.Check{Name: "keys", Result: admin.CheckOK, Detail: "no key has changed without a reason"}
	}
	return admin.Check{Name: "keys", Result: admin.CheckFail, Detail: strings.Join(alarms, "; "), Mend: "see there"}
}
