// Package testnet runs real bootstrap servers, adapters and scripted phones
// on loopback for tests: real QUIC sockets, real SIP, real state folders.
// Nothing waits by sleeping: every step ends when what it waits for has
// happened, or the test at its deadline.
package testnet

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Deadline bounds what one step of a test may take on a busy machine.
const Deadline = 30 * time.Second

// Overlay is the name space of the tests.
const Overlay = "lan.example"

// LAN is one bootstrap server and the adapters that it enrols.
type LAN struct {
	t       testing.TB
	dir     string
	Server  *Daemon[*bootstrap.Server]
	Members map[string]*Member
	charter identity.Charter
	change  func(*bootstrap.Config)
}

// Daemon is something that runs until it is stopped.
type Daemon[T interface{ Run(context.Context) error }] struct {
	It   T
	stop context.CancelFunc
	done chan error
}

func start[T interface{ Run(context.Context) error }](t testing.TB, it T) *Daemon[T] {
	ctx, stop := context.WithCancel(context.Background())
	d := &Daemon[T]{it, stop, make(chan error, 1)}
	go func() { d.done <- it.Run(ctx) }()
	t.Cleanup(func() { d.Stop(t) })
	return d
}

// Stop ends the daemon as Ctrl-C does and waits for it. Twice does nothing.
func (d *Daemon[T]) Stop(t testing.TB) {
	t.Helper()
	d.stop()
	select {
	case err, open := <-d.done:
		if open {
			close(d.done)
		}
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(Deadline):
		t.Error("Run does not end")
	}
}

// Member is one person's adapter.
type Member struct {
	*Daemon[*adapter.Adapter]
	Name string
	lan  *LAN
	cfg  adapter.Config
}

// New starts a bootstrap server. change may adapt its configuration; nil leaves it.
func New(t testing.TB, change func(*bootstrap.Config)) *LAN {
	t.Helper()
	l := &LAN{t: t, dir: t.TempDir(), Members: map[string]*Member{}, change: change}
	l.charter = identity.DefaultCharter(Overlay, identity.PublicKey{}, time.Now())
	l.StartServer(netip.MustParseAddrPort("127.0.0.1:0"))
	return l
}

// StartServer starts the bootstrap server on its state folder, again after a Stop.
func (l *LAN) StartServer(at netip.AddrPort) {
	l.t.Helper()
	cfg := bootstrap.Config{State: filepath.Join(l.dir, "bootstrap"), Charter: l.charter, Listen: at, Version: "test", Log: logger(l.t)}
	if l.change != nil {
		l.change(&cfg)
	}
	s, err := bootstrap.New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.Server = start(l.t, s)
	await(l.t, s.Ready(), "the bootstrap server")
}

// Invite makes an invitation for a number of devices.
func (l *LAN) Invite(name string, devices int) *joinlink.Link {
	l.t.Helper()
	secret, _, err := l.Server.It.Invite(bootstrap.InviteParams{User: name, Devices: devices})
	if err != nil {
		l.t.Fatal(err)
	}
	link := l.Server.It.JoinLink()
	link.User, link.Secret = name, secret
	return &link
}

// Add invites a name and starts its adapter. change may adapt the
// configuration; nil leaves it.
func (l *LAN) Add(name string, change func(*adapter.Config)) *Member {
	l.t.Helper()
	return l.AddWith(name, name, l.Invite(name, 1), change)
}

// AddWith starts an adapter for a name, with a folder and an invitation of its own.
func (l *LAN) AddWith(name, folder string, link *joinlink.Link, change func(*adapter.Config)) *Member {
	l.t.Helper()
	m := &Member{Name: name, lan: l, cfg: adapter.Config{
		State: filepath.Join(l.dir, folder), Join: link, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Version: "test",
		Log: logger(l.t).With().Str("adapter", folder).Logger(),
		SIP: sipbridge.Config{Listen: []string{"127.0.0.1:0"}, Redirect: sipbridge.RedirectAlways},
	}}
	if change != nil {
		change(&m.cfg)
	}
	l.Members[folder] = m
	m.Start()
	return m
}

// State is the adapter's state folder.
func (m *Member) State() string { return m.cfg.State }

// Pin keeps the adapter's ports for its next start, as an installed one would.
func (m *Member) Pin() {
	m.cfg.SIP.Listen = []string{m.SIP().String()}
	if n := m.It.Node(); n != nil {
		m.cfg.Listen = n.Link().Addr()
	}
}

// Change adapts the configuration for the next start.
func (m *Member) Change(change func(*adapter.Config)) { change(&m.cfg) }

// Crash ends the adapter as a power cut does: the others hear no goodbye, and
// its registration stays on the ring.
func (m *Member) Crash() {
	m.lan.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := m.It.Node().Link().CloseGracefully(ctx); err != nil {
		m.lan.t.Errorf("%s's link: %v", m.Name, err)
	}
	m.Stop(m.lan.t)
}

// Accept restarts the adapter with an invitation for a further account.
func (m *Member) Accept(link *joinlink.Link) {
	m.lan.t.Helper()
	m.Pin()
	m.Stop(m.lan.t)
	m.cfg.Join = link
	m.Start()
	m.Joined()
}

// Start starts the adapter on its state folder, again after a Stop.
func (m *Member) Start() {
	m.lan.t.Helper()
	a, err := adapter.New(m.cfg)
	if err != nil {
		m.lan.t.Fatal(err)
	}
	m.Daemon = start(m.lan.t, a)
	await(m.lan.t, a.Bridge().Ready(), m.Name+"'s adapter")
	m.cfg.Join = nil // needed once
}

// SIP is where the adapter serves phones over UDP.
func (m *Member) SIP() netip.AddrPort {
	for _, at := range m.It.Bridge().Addrs() {
		if at.Network == "udp" {
			return at.Addr
		}
	}
	m.lan.t.Fatal("no UDP for phones")
	return netip.AddrPort{}
}

// Phone opens a scripted phone of this name at the adapter, registered.
func (m *Member) Phone(tone float64) *demo.Phone { return m.PhoneOf(m.Name, tone) }

// PhoneOf opens a phone of another account of the adapter, registered.
func (m *Member) PhoneOf(name string, tone float64) *demo.Phone {
	m.lan.t.Helper()
	p := m.Unregistered(name, tone)
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	if err := p.Register(ctx); err != nil {
		m.lan.t.Fatal(err)
	}
	return p
}

// Unregistered opens a scripted phone that has not registered.
func (m *Member) Unregistered(name string, tone float64) *demo.Phone {
	m.lan.t.Helper()
	p, err := demo.NewPhone(name, tone, m.SIP())
	if err != nil {
		m.lan.t.Fatal(err)
	}
	start(m.lan.t, p)
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	if err := p.Await(ctx); err != nil {
		m.lan.t.Fatal(err)
	}
	return p
}

// Lookup resolves a name at this adapter, past every cache.
func (m *Member) Lookup(name string) *admin.LookupResult {
	m.lan.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	res, err := m.It.Node().Lookup(ctx, admin.LookupRequest{Name: name, Fresh: true})
	if err != nil {
		m.lan.t.Fatal(err)
	}
	return res
}

// Joined waits until the adapter's node is a member of the ring.
func (m *Member) Joined() {
	m.lan.t.Helper()
	await(m.lan.t, m.It.Node().Joined(), m.Name+"'s node")
}

func await(t testing.TB, ready <-chan struct{}, who string) {
	t.Helper()
	select {
	case <-ready:
	case <-time.After(Deadline):
		t.Fatalf("%s does not get ready", who)
	}
}

// Eventually looks again and again, until what is true or the deadline is over.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.After(Deadline)
	for !is() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%s: still not so after %v", what, Deadline)
		}
	}
}

// logger writes warnings to the test's log.
func logger(t testing.TB) zerolog.Logger {
	return zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)
}
