//go:build e2e && linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/e2e/internal/phone"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// office is a LAN on which the program runs: a bootstrap server, and people who each have a host with an adapter and a phone.
type office struct {
	t       testing.TB
	lab     *lab.Lab
	server  *daemon
	people  map[string]*person
	routers map[string]*lab.Proc // what listens to who asks for ports, by the user behind it
	order   []*person
	links   map[string]string // of people with several devices
}

// daemon is one running program with its state folder.
type daemon struct {
	t     testing.TB
	host  *lab.Host
	name  string
	state string
	argv  func() []string // of the next start
	proc  *lab.Proc
}

// person is somebody with a phone.
type person struct {
	spec
	*daemon
	phone  phone.Phone
	domain string // what the phone writes behind the @
	link   string // empty once used
	busy   sync.Mutex
}

// spec says how somebody calls.
type spec struct {
	user    string
	device  string // of a person's further devices, which have hosts of their own: a name for it
	devices int    // of a person's first device: how many there are
	number  string // digits that lead to the name too
	kind    string // of phone: "baresip" or "linphonec"
	proxy   bool   // the phone uses the adapter as outbound proxy, and the overlay's own name
	tcp     bool   // between phone and adapter
	// loopback: the phone listens on 127.0.0.1 and nowhere else.
	loopback bool
	nat      lab.Translator // the host stands behind a router of its own that translates addresses so; empty for none
	only     string         // "-4" or "-6": the host has lost the other family's addresses on the LAN
	asking   lab.Asking     // that router lets the host ask for ports; empty for not
	desk     bool           // the phone is a host of its own and proves a password to the adapter
	manual   bool           // the phone rings and does not answer
	silence  int            // seconds without sound after which the phone hangs up; 0 for its own default
	disk     string         // size of a disk of its own for the adapter's state folder, as tmpfs spells it; empty for none
	hz       float64
	peers    []string // users whom this one writes to
	adapter  adapterOptions
}

// uri is how the person's phone spells a name.
func (p *person) uri(user string) string { return "sip:" + user + "@" + p.domain }

// newOffice brings up an office in which every phone is registered and every node knows all others.
func newOffice(t testing.TB, specs ...spec) *office {
	t.Helper()
	return newOfficeOf(t, "", specs...)
}

// newOfficeOf is newOffice in an overlay with call paths of its own.
func newOfficeOf(t testing.TB, paths string, specs ...spec) *office {
	t.Helper()
	return newOfficeOn(t, lab.Plan{}, paths, specs...)
}

// newOfficeOn is newOfficeOf on a LAN with addresses of its own.
func newOfficeOn(t testing.TB, plan lab.Plan, paths string, specs ...spec) *office {
	t.Helper()
	lab.Require(t, "baresip", "linphonec")
	o := &office{t: t, lab: lab.NewOn(t, plan), people: make(map[string]*person), routers: make(map[string]*lab.Proc), links: make(map[string]string)}
	host := o.lab.Host("bootstrap")
	o.server = &daemon{t: t, host: host, name: "bootstrap", state: filepath.Join(host.Dir, "state")}
	o.server.argv = func() []string { return bootstrapCommand(o.server.state, o.listens(host), paths) }
	o.server.start()
	o.server.wait("the overlay is made", func(s admin.Status) bool { return s.Phase == "joined" })
	for _, s := range specs {
		o.hire(s)
	}
	for _, p := range o.order {
		must(t, p.phone.WaitRegistered(within(t, starting)))
	}
	o.settled(1 + len(specs))
	return o
}

// hire invites somebody and switches adapter and phone on.
func (o *office) hire(s spec) *person {
	o.t.Helper()
	host := o.hostFor(s)
	p := &person{spec: s, daemon: &daemon{t: o.t, host: host, name: "adapter", state: filepath.Join(host.Dir, "state")}, link: o.linkOf(s)}
	p.argv = func() []string {
		link := p.link
		p.link = ""
		return adapterCommand(p.state, o.listens(host), link, p.adapter)
	}
	if s.disk != "" {
		smallDisk(o.t, p.state, s.disk)
	}
	c := phone.Config{Host: host, User: s.user, Domain: "127.0.0.1", Port: 5062, TCP: s.tcp, Manual: s.manual, Silence: s.silence, Loopback: s.loopback, Tone: toneFile(o.t, o.lab, s.hz)}
	if s.proxy {
		c.Domain, c.Proxy = overlay, proxyAddr
	}
	if s.desk {
		c.Host, c.Domain, c.Password = o.lab.Host(s.user+"-desk"), host.Addr.String(), password
		p.adapter.config = deskConfig(o.t, host, s.user)
	}
	p.domain = c.Domain
	for _, peer := range s.peers {
		c.Peers = append(c.Peers, p.uri(peer))
	}
	p.start()
	p.wait("the phone can be switched on", func(s admin.Status) bool { return len(s.SIP) > 0 })
	p.phone = newPhone(o.t, s.kind, c)
	must(o.t, p.phone.Start(within(o.t, starting)))
	o.people[s.user+s.device], o.order = p, append(o.order, p)
	return p
}

// listens is the address at which the program listens for others: all of them where there are two families.
func (o *office) listens(h *lab.Host) netip.Addr {
	if o.lab.Plan().IPv6 {
		return netip.IPv6Unspecified()
	}
	return h.Addr
}

// hostFor is the person's host.
func (o *office) hostFor(s spec) *lab.Host {
	if lost := map[string]string{"-4": "-6", "-6": "-4"}[s.only]; lost != "" {
		h := o.lab.Host(s.user)
		h.Lose(lost)
		return h
	}
	if s.nat != "" {
		h := o.lab.HostBehind(s.user+s.device, s.nat)
		if s.asking != "" {
			o.routers[s.user] = h.Router.Maps(s.asking)
		}
		return h
	}
	return o.lab.Host(s.user + s.device)
}

const password = "correct-horse-battery"

// deskConfig writes the configuration of an adapter that serves a phone on another host.
func deskConfig(t testing.TB, host *lab.Host, user string) string {
	t.Helper()
	path := filepath.Join(host.Dir, "adapter.toml")
	text := fmt.Sprintf("[sip]\nlisten = [\"udp:%s:5060\"]\n[[sip.accounts]]\nuser = %q\npassword = %q\n", host.Addr, user, password)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// linkOf gives a join link for a person's device; further devices come by that of the first.
func (o *office) linkOf(s spec) string {
	o.t.Helper()
	if s.device == "" {
		o.links[s.user] = o.invite(s.user, s.number, s.devices)
	}
	return o.links[s.user]
}

// invite asks the bootstrap server for a join link.
func (o *office) invite(user, number string, devices int) string {
	o.t.Helper()
	out, err := o.server.host.Run(within(o.t, starting), command(o.t, inviteCommand(o.server.state, user, number, devices))...)
	must(o.t, err)
	var result admin.InviteResult
	if err := json.Unmarshal(out, &result); err != nil || result.Link == "" {
		o.t.Fatalf("invite %s: %v in %s", user, err, out)
	}
	return result.Link
}

// settled waits until every running node has joined and knows n nodes, itself included, and every account is published.
func (o *office) settled(n int) {
	o.t.Helper()
	running := make([]*daemon, 0, 1+len(o.order))
	running = append(running, o.server)
	for _, p := range o.order {
		running = append(running, p.daemon)
	}
	for _, d := range running {
		if d.proc == nil {
			continue
		}
		d.wait(fmt.Sprintf("the ring has %d nodes", n), func(s admin.Status) bool {
			for _, a := range s.Accounts {
				if !a.Published {
					return false
				}
			}
			return s.Phase == "joined" && s.Ring.Members == n
		})
	}
}

// start runs the program.
func (d *daemon) start() {
	d.t.Helper()
	proc, err := d.host.Start(d.name, nil, command(d.t, d.argv())...)
	must(d.t, err)
	d.proc = proc
}

// kill ends the program as a power cut would.
func (d *daemon) kill() {
	d.proc.Kill()
	d.proc = nil
}

// stop ends the program as an operator does; it must leave with exit code 0.
func (d *daemon) stop() {
	d.t.Helper()
	must(d.t, d.proc.Stop(closing))
	d.proc = nil
}

// status asks the program itself, without a process for each question.
func (d *daemon) status(ctx context.Context) (admin.Status, error) {
	var s admin.Status
	err := admin.Dial(d.state).Call(ctx, admin.MethodStatus, nil, &s)
	return s, err
}

// wait asks for the status until it is as wanted.
func (d *daemon) wait(what string, holds func(admin.Status) bool) admin.Status {
	d.t.Helper()
	ctx := within(d.t, starting)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := d.status(ctx)
		if err == nil && holds(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-d.proc.Done():
			d.t.Fatalf("%s on %s ended (%s) while the test waited until %s", d.name, d.host.Name, d.proc.State(), what)
		case <-ctx.Done():
			last, _ := json.Marshal(s)
			d.t.Fatalf("%s on %s: not within %v: %s; last status: %s, %v", d.name, d.host.Name, starting, what, last, err)
		}
	}
}

// run runs a short command of the program on the daemon's host and decodes the JSON that it prints.
func (d *daemon) run(args []string, out any) {
	d.t.Helper()
	data, err := d.host.Run(within(d.t, starting), command(d.t, args)...)
	must(d.t, err)
	if err := json.Unmarshal(data, out); err != nil {
		d.t.Fatalf("%v prints no JSON: %v: %s", args, err, data)
	}
}
