package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// Checks are what doctor can say about any node: ring, clock, disk,
// certificate and keys.
func (n *Node) Checks() []admin.Check {
	var s admin.Status
	n.FillStatus(&s)
	return []admin.Check{n.ringCheck(&s), n.reachCheck(&s), n.natCheck(&s), n.mappingCheck(&s), n.clockCheck(), n.storeCheck(&s), n.certificateCheck(), n.keyCheck()}
}

func (n *Node) ringCheck(s *admin.Status) admin.Check {
	c := admin.Check{Name: "ring", Result: admin.CheckOK, Detail: fmt.Sprintf("joined, %d members known, %d links open", s.Ring.Members, len(s.Links))}
	switch {
	case s.Phase == chord.PhaseClient.String() && s.Ring.Members > 0:
		c.Detail = fmt.Sprintf("client of the ring, %d members known, %d links open", s.Ring.Members, len(s.Links))
	case s.Phase != "joined":
		c.Result, c.Detail = admin.CheckFail, "not a member of the ring: "+s.Phase
		c.Mend = "see that another node or the bootstrap server runs and that UDP reaches it"
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
		c.Detail = fmt.Sprintf("dialled back by nodes of %d other people", len(r.By))
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
		c.Mend = fmt.Sprintf("nothing; calls are faster when UDP port %d is let through to this host and advertise names an address that others reach", port)
	}
	return c
}

// natCheck names the kind of address translator before this node, what has been
// tried, and what to do.
func (n *Node) natCheck(s *admin.Status) admin.Check {
	c := admin.Check{Name: "nat", Result: admin.CheckOK}
	if s.Reach == nil || len(s.Reach.Observed) == 0 {
		c.Result, c.Detail = admin.CheckWarn, "no other node has told at which address it sees this one (asked by STUN)"
		c.Mend = "see that another node runs and that UDP reaches it; ask again in a few seconds"
		return c
	}
	port := n.link.Addr().Port()
	forward := fmt.Sprintf("let the router forward UDP port %d to this host", port) + n.asksRouter()
	tried := n.tried(s)
	switch Mapping(s.Reach.Mapping) {
	case MappingNone:
		c.Detail = "no address translator: others see this host's own address; " + tried
	case MappingUnknown, "":
		c.Result, c.Detail = admin.CheckWarn, "an address translator of unknown kind: only one host has told what it sees; "+tried
		c.Mend = "nothing; more members at other addresses tell more"
	case MappingIndependent:
		c.Detail = "an address translator with endpoint-independent mapping: everybody sees " + s.Reach.Observed[0].As + "; others come to talk to this node directly, through holes that both sides open; " + tried
	default:
		c.Result = admin.CheckWarn
		c.Detail = "an address translator with " + mappingText(Mapping(s.Reach.Mapping)) + ": others see different ports; calls to other people behind such a router are passed on by members, sealed; " + tried
		c.Mend = "nothing has to be done; for direct calls " + forward
	}
	return c
}

func mappingText(m Mapping) string {
	switch m {
	case MappingAddress:
		return "address-dependent mapping"
	case MappingSymmetric:
		return "address- and port-dependent (symmetric) mapping"
	}
	return "address-dependent or symmetric mapping"
}

// tried says what has been done to be reached.
func (n *Node) tried(s *admin.Status) string {
	parts := []string{fmt.Sprintf("%d nodes asked by STUN", len(s.Reach.Observed))}
	if len(s.Reach.By) > 0 {
		parts = append(parts, fmt.Sprintf("dialled back by %d", len(s.Reach.By)))
	} else {
		parts = append(parts, "dialled back by nobody")
	}
	opened, failed := n.punches.figures()
	return strings.Join(append(parts, fmt.Sprintf("%d direct ways opened, %d not", opened, failed)), ", ")
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
		c.Result, c.Detail, c.Mend = admin.CheckFail, e+"; this node stores nothing for others", "make room on the disk of the state folder; no restart is needed"
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
