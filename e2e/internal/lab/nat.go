//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"
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
	inside := fmt.Sprintf("192.168.%d", router.Addr.As4()[3])
	h := &Host{Name: name, Addr: netip.MustParseAddr(inside + ".2"), Dir: router.Dir, Router: router, lab: l, ns: l.id + "-" + name}
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

// Asking is a protocol by which a host can have its router map a port.
type Asking string

const (
	NATPMP Asking = "enable_natpmp=yes\nenable_upnp=no\n"
	UPnP   Asking = "enable_natpmp=no\nenable_upnp=yes\n"
)

// portRules are the tables that miniupnpd writes its rules to.
const portRules = `table inet ports {
	chain forward { type filter hook forward priority 0; jump mapped_forward; }
	chain mapped_forward { }
	chain prerouting { type nat hook prerouting priority -100; jump mapped; }
	chain mapped { }
	chain postrouting { type nat hook postrouting priority 90; jump mapped_out; }
	chain mapped_out { }
}
`

// Maps starts miniupnpd on a router: from then on the host behind it can ask for ports.
func (h *Host) Maps(by Asking) *Proc {
	t := h.lab.t
	t.Helper()
	Require(t, "miniupnpd")
	rules, conf := filepath.Join(h.Dir, "ports.nft"), filepath.Join(h.Dir, "miniupnpd.conf")
	text := "ext_ifname=eth0\nlistening_ip=eth1\nhttp_port=0\nsecure_mode=yes\nupnp_table_name=ports\nupnp_nat_table_name=ports\n" +
		"upnp_forward_chain=mapped_forward\nupnp_nat_chain=mapped\nupnp_nat_postrouting_chain=mapped_out\nallow 1024-65535 192.168.0.0/16 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n" + string(by)
	for path, content := range map[string]string{rules: portRules, conf: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.lab.ip("netns", "exec", h.ns, "nft", "-f", rules)
	p, err := h.Start("miniupnpd", nil, "miniupnpd", "-d", "-f", conf, "-P", filepath.Join(h.Dir, "miniupnpd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	// Which line comes last depends on what is enabled; the port is bound by then.
	ready := regexp.MustCompile(`HTTP listening on port|Listening for NAT-PMP`)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := p.Log.Wait(ctx, 0, ready); err != nil {
		t.Fatalf("miniupnpd: %v", err)
	}
	return p
}

// Mapped lists the rules by which a router lets others in to the host behind it.
func (h *Host) Mapped(ctx context.Context) (string, error) {
	out, err := h.Run(ctx, "nft", "list", "chain", "inet", "ports", "mapped")
	return string(out), err
}
