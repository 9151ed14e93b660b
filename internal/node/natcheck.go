package node

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// natView is what the line about the address translator is made of.
type natView struct {
	reach          *admin.Reach // nil while nothing is known
	port           uint16
	opened, failed int    // direct ways
	router         string // what was asked of the router
	orAsk          string // part of a mend
}

func (n *Node) natView(s *admin.Status) natView {
	v := natView{reach: s.Reach, port: n.link.Addr().Port(), router: n.mappedText(), orAsk: n.asksRouter()}
	v.opened, v.failed = n.punches.figures()
	return v
}

// check names the kind of address translator before a node, what has been tried,
// and what to do.
func (v natView) check() admin.Check {
	c := admin.Check{Name: "nat", Result: admin.CheckOK}
	if v.reach == nil || len(v.reach.Observed) == 0 {
		c.Result, c.Detail = admin.CheckWarn, "no other node has told at which address it sees this one (asked by STUN)"
		c.Mend = fmt.Sprintf("see that another node runs, and that no firewall drops UDP from and to port %d; ask again in a few seconds", v.port)
		return c
	}
	forward := fmt.Sprintf("let the router forward UDP port %d to this host", v.port) + v.orAsk
	kind := Mapping(v.reach.Mapping)
	switch kind {
	case MappingNone:
		c.Detail = "no address translator: others see this host's own address"
	case MappingUnknown, "":
		c.Result, c.Detail = admin.CheckWarn, "an address translator of unknown kind: only one host has told what it sees"
		c.Mend = "nothing; more members at other addresses tell more"
	case MappingIndependent:
		c.Detail = "an address translator with endpoint-independent mapping: everybody sees " + v.reach.Observed[0].As + "; others come to talk to this node directly, through holes that both sides open"
	default:
		c.Result = admin.CheckWarn
		c.Detail = "an address translator with " + mappingText(kind) + ": others see different ports; calls to other people behind such a router are passed on by members, sealed"
		c.Mend = "nothing has to be done; for direct calls " + forward
		if !v.reach.Client {
			c.Result, c.Mend = admin.CheckOK, ""
			c.Detail = "an address translator with " + mappingText(kind) + ", but others call this node all the same"
		}
	}
	if v.reach.STUNSilent {
		c.Result = admin.CheckWarn
		c.Detail = "nobody answers by STUN any more; when somebody did: " + c.Detail
		c.Mend = fmt.Sprintf("see that this host is on the network, and that no firewall, here or at the router, drops UDP from and to port %d", v.port)
	}
	c.Detail += "; tried: " + v.tried()
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
func (v natView) tried() string {
	var asked []string
	for _, o := range v.reach.Observed {
		asked = append(asked, o.By)
	}
	back := "dialled back by nobody"
	if n := len(v.reach.By); n > 0 {
		back = "dialled back by " + counted(n, "node", "nodes")
	}
	parts := []string{
		"STUN from " + strings.Join(asked, " and "), back,
		fmt.Sprintf("hole punching: %d direct ways opened, %d not", v.opened, v.failed), v.router,
	}
	if n := len(v.reach.Attached); n > 0 {
		parts = append(parts, "relayed by "+counted(n, "member", "members"))
	}
	return strings.Join(parts, "; ")
}

// addressCheck says which families this host has.
func (n *Node) addressCheck() admin.Check { return families(interfaceAddrs()) }

func families(at []netip.Addr) admin.Check {
	c := admin.Check{Name: "addresses", Result: admin.CheckOK}
	usable := func(four bool) bool {
		return slices.ContainsFunc(at, func(a netip.Addr) bool { return a.IsGlobalUnicast() && a.Is4() == four })
	}
	switch four, six := usable(true), usable(false); {
	case four && six:
		c.Detail = "this host has IPv4 and IPv6"
	case four:
		c.Detail = "this host has IPv4 and no IPv6: people whose hosts have IPv6 only are reached through members that have both"
	case six:
		c.Detail = "this host has IPv6 and no IPv4: people whose hosts have IPv4 only are reached through members that have both"
	default:
		c.Result, c.Detail = admin.CheckWarn, "this host has a loopback address and no other: it is on no network"
		c.Mend = "connect it; calls between phones on this host work meanwhile"
	}
	return c
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
