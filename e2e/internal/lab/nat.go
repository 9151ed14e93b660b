//go:build linux

package lab

import (
	"net/netip"
	"strings"
)

// Translator is how a router translates addresses (RFC 4787).
type Translator string

const (
	// PortKeeping maps a port to the same one for everybody, and lets in what the host has asked for at that address and port.
	PortKeeping Translator = "masquerade"
	// Symmetric maps a port to another one for each address and port that is sent to, and filters as PortKeeping does.
	Symmetric Translator = "masquerade random,fully-random"
	// Open maps as PortKeeping does and has one port forwarded by its owner: there everything comes in.
	Open Translator = "masquerade "
)

// OpenPort is the UDP port that an Open router forwards.
const OpenPort = "5871"

// HostBehind adds a host that stands alone behind a router of its own. The router has the LAN's next address.
func (l *Lab) HostBehind(name string, kind Translator) *Host {
	l.t.Helper()
	Require(l.t, "nft")
	router := l.Host(name + "-nat")
	l.mu.Lock()
	defer l.mu.Unlock()
	inside := strings.Replace(router.Addr.String(), "10.0.0.", "192.168.", 1)
	h := &Host{Name: name, Addr: netip.MustParseAddr(inside + ".2"), Dir: router.Dir, lab: l, ns: l.id + "-" + name}
	l.ip("netns", "add", h.ns)
	l.hosts = append(l.hosts, h)
	l.ip("-n", h.ns, "link", "set", "lo", "up")
	l.ip("-n", router.ns, "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", h.ns)
	l.ip("-n", router.ns, "addr", "add", inside+".1/24", "dev", "eth1")
	l.ip("-n", router.ns, "link", "set", "eth1", "up")
	l.ip("-n", h.ns, "addr", "add", h.Addr.String()+"/24", "dev", "eth0")
	l.ip("-n", h.ns, "link", "set", "eth0", "up")
	l.ip("-n", h.ns, "route", "add", "default", "via", inside+".1")
	l.ip("netns", "exec", router.ns, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	l.ip("netns", "exec", router.ns, "nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100 ; }; add rule ip nat out oifname eth0 "+string(kind))
	// As routers do, it drops what comes to itself from outside. One that lets it in, only to refuse it, remembers it, and
	// gives what the host then sends the same way another port.
	l.ip("netns", "exec", router.ns, "nft", "add table ip guard; add chain ip guard in { type filter hook input priority 0 ; }; add rule ip guard in iifname eth0 meta l4proto udp drop")
	if kind == Open {
		l.ip("netns", "exec", router.ns, "nft", "add chain ip nat in { type nat hook prerouting priority -100 ; }; add rule ip nat in iifname eth0 udp dport "+OpenPort+" dnat to "+h.Addr.String())
	}
	return h
}
