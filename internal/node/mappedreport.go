package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// mappedStatus tells what the router was asked for; nil where it is not asked.
func (n *Node) mappedStatus() *admin.PortMapping {
	if n.mapped == nil {
		return nil
	}
	n.mapped.mu.Lock()
	defer n.mapped.mu.Unlock()
	out := &admin.PortMapping{Silent: n.mapped.silent, Tried: []admin.Tried{}}
	if n.mapped.mapper == nil {
		return out
	}
	s := n.mapped.mapper.State()
	out.Protocol, out.Private, out.Since, out.Expires = s.Protocol, s.Private, s.Since, s.Expires
	out.Asked = s.Rounds > 0
	if s.Gateway.IsValid() {
		out.Gateway = s.Gateway.String()
	}
	if s.External.IsValid() {
		out.External = s.External.String()
		out.Proven = s.External == n.mapped.proven
	}
	for _, t := range s.Tried {
		out.Tried = append(out.Tried, admin.Tried{Protocol: t.Protocol, Error: t.Err})
	}
	return out
}

// mappingCheck says what came of asking the router for a port, and what to do.
func (n *Node) mappingCheck(s *admin.Status) admin.Check {
	c := admin.Check{Name: "port mapping", Result: admin.CheckOK}
	m := n.mappedStatus()
	port := n.link.Addr().Port()
	byHand := fmt.Sprintf("let the router forward UDP port %d to this host by hand", port)
	switch {
	case m == nil:
		c.Detail = "the router is not asked for a port: nat.port_mapping is off"
	case !m.Asked:
		c.Detail = "the router is being asked"
	case m.External != "" && m.Proven:
		c.Detail = fmt.Sprintf("%s; others have called this node there", m.Text(time.Now()))
	case m.External != "" && m.Private:
		c.Result = admin.CheckWarn
		c.Detail = fmt.Sprintf("%s, which is no address of the internet: another router stands before this one (double NAT), and others cannot call this node there", m.Text(time.Now()))
		c.Mend = "let the outer router forward the port to the inner one, or make the inner one a bridge; calls work meanwhile"
	case m.External != "":
		c.Result = admin.CheckWarn
		c.Detail = fmt.Sprintf("%s, but nobody has been able to call this node there: it is not published", m.Text(time.Now()))
		c.Mend = "look whether the router or the provider filters UDP; ask again in a minute; calls work meanwhile"
	default:
		c.Detail = "the router gives no port; tried: " + m.Failures()
		if r := s.Reach; r == nil || r.Client {
			c.Result = admin.CheckWarn
			c.Mend = "switch NAT-PMP or UPnP on at the router, or " + byHand + "; calls work meanwhile"
		}
	}
	return c
}

// asksRouter is the part of a mend that speaks of nat.port_mapping.
func (n *Node) asksRouter() string {
	if n.mapped != nil {
		return ""
	}
	return `, or set nat.port_mapping = "auto", which asks the router for that`
}

// mappedText is what was tried at the router, for the line about the address
// translator.
func (n *Node) mappedText() string {
	m := n.mappedStatus()
	switch {
	case m == nil:
		return "the router was not asked for a port"
	case m.Protocol != "":
		return "the router maps a port (" + m.Protocol + ")"
	case !m.Asked:
		return "the router is being asked for a port"
	}
	var names []string
	for _, t := range m.Tried {
		names = append(names, t.Protocol)
	}
	return "the router gives no port (" + strings.Join(names, ", ") + ")"
}
