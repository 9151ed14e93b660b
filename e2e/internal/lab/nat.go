//go:build linux

package lab

import (
	"net/netip"
	"strings"
)

// HostBehind adds a host that stands alone behind a router of its own. The router has the LAN's next address and
// translates as masquerading does: from the LAN nothing comes in that the host has not asked for at that address and port.
func (l *Lab) HostBehind(name string) *Host {
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
	l.ip("netns", "exec", router.ns, "nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100 ; }; add rule ip nat out oifname eth0 masquerade")
	return h
}
