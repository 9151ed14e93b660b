// Package demo runs a whole LAN in one process on loopback: a bootstrap
// server, adapters on real QUIC sockets and two scripted SIP phones that call
// each other by name. Nothing in it is simulated but the people.
package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Options of a demo.
type Options struct {
	Adapters int    // 2 to 64
	Path     string // of the calls; "" for a direct and a carried one
	Version  string // of the program
	Log      zerolog.Logger
	Tell     func(format string, args ...any) // narrates, one line a call; nil = silent
}

// Call is one call as it went, for people and scripts.
type Call struct {
	From       string  `json:"from"`
	To         string  `json:"to"`
	Path       string  `json:"path"`    // direct, carried or protected
	Status     int     `json:"status"`  // what the phone was answered first: 302, or 200 where no 302 came
	Contact    string  `json:"contact"` // where the 302 pointed
	SharesUsed []int   `json:"shares_used"`
	Positions  int     `json:"positions"` // that were asked on the ring
	Key        string  `json:"key"`       // fingerprint of the callee's rebuilt key
	Verified   bool    `json:"verified"`
	SetupMS    float64 `json:"setup_ms"` // INVITE to that first answer
	Answered   bool    `json:"answered"` // and each side heard the other's tone
}

// Report is what came out.
type Report struct {
	Overlay     string  `json:"overlay"`
	Nodes       int     `json:"nodes"`
	K           int     `json:"k"`
	N           int     `json:"n"`
	RingIdealMS float64 `json:"ring_ideal_ms"` // start to a ring in which every pointer is right
	FirstCallMS float64 `json:"first_call_ms"` // start to the first verified answer
	Calls       []Call  `json:"calls"`
	Wire        *Wire   `json:"wire,omitempty"` // of protected calls: what passed between the talking adapters and all others
}

// LAN is a running demo.
type LAN struct {
	opts     Options
	dir      string
	start    time.Time
	server   *bootstrap.Server
	adapters []*member
	phones   []*Phone
	taps     []*tap // beside the adapters that talk, where calls are protected
	group    *errgroup.Group
	stop     context.CancelFunc
}

// member is one person's adapter.
type member struct {
	user    string
	adapter *adapter.Adapter
}

// names are the people of the LAN; the third is for a phone of your own.
var names = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"}

func nameOf(i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("person%d", i+1)
}

// The two tones, far enough apart to tell who is heard.
const (
	toneAlice = 440
	toneBob   = 1000
	talkFor   = time.Second
)

// overlayName is the name space of the demo.
const overlayName = "demo.example"

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// Start brings the LAN up: server, adapters, enrolments, ring, two phones.
// Close ends it.
func Start(ctx context.Context, opts Options) (*LAN, error) {
	if opts.Tell == nil {
		opts.Tell = func(string, ...any) {}
	}
	dir, err := os.MkdirTemp("", "secp2psip-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the demo: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	l := &LAN{opts: opts, dir: dir, start: time.Now(), stop: stop}
	l.group, ctx = errgroup.WithContext(ctx)
	if err := l.up(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close ends everything and removes the state folders.
func (l *LAN) Close() error {
	l.stop()
	return errors.Join(l.group.Wait(), os.RemoveAll(l.dir))
}

func (l *LAN) up(ctx context.Context) error {
	if err := l.startServer(ctx); err != nil {
		return err
	}
	for i := range l.opts.Adapters {
		if err := l.startAdapter(ctx, nameOf(i)); err != nil {
			return err
		}
	}
	l.opts.Tell("%d adapters are up; each has an invitation for one name", l.opts.Adapters)
	for i := range 2 {
		if err := l.startPhone(ctx, l.adapters[i], []float64{toneAlice, toneBob}[i]); err != nil {
			return err
		}
	}
	// The others have no phone in the demo: the registration of a phone that
	// will never ring enrols them and brings their nodes into the ring.
	g, gctx := errgroup.WithContext(ctx)
	for _, m := range l.adapters[2:] {
		g.Go(func() error { return m.enrol(gctx) })
	}
	for _, p := range l.phones {
		g.Go(func() error { return p.Register(gctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	l.opts.Tell("alice's and bob's phones have registered: their keys were split into %d shares, any %d give them back", l.n(), l.k())
	return nil
}

func (l *LAN) k() int { return int(l.server.Node().Trust().Charter().K) }
func (l *LAN) n() int { return int(l.server.Node().Trust().Charter().N) }

func (l *LAN) startServer(ctx context.Context) error {
	charter := identity.DefaultCharter(overlayName, identity.PublicKey{}, time.Now())
	charter.Paths = []string{sipbridge.PathDirect, sipbridge.PathCarried}
	if l.opts.Path != "" {
		charter.Paths = []string{l.opts.Path}
	}
	server, err := bootstrap.New(bootstrap.Config{
		State: filepath.Join(l.dir, "bootstrap"), Charter: charter, Listen: anyPort, Version: l.opts.Version, Log: l.opts.Log,
	})
	if err != nil {
		return err
	}
	l.server = server
	l.group.Go(func() error { return server.Run(ctx) })
	select {
	case <-server.Ready():
	case <-ctx.Done():
		return errors.Join(ctx.Err(), errors.New("the bootstrap server did not start"))
	}
	l.opts.Tell("a bootstrap server made the overlay %s at %s", overlayName, server.Addr())
	return nil
}

// invite returns a join link for a name.
func (l *LAN) invite(user string) (*joinlink.Link, error) {
	secret, _, err := l.server.Invite(bootstrap.InviteParams{User: user})
	if err != nil {
		return nil, err
	}
	link := l.server.JoinLink()
	link.User, link.Secret = user, secret
	return &link, nil
}

func (l *LAN) startAdapter(ctx context.Context, user string) error {
	link, err := l.invite(user)
	if err != nil {
		return err
	}
	redirect := sipbridge.RedirectAlways
	if user == names[1] {
		redirect = sipbridge.RedirectNever // bob's phone shows the carried path
	}
	cfg := adapter.Config{
		State: filepath.Join(l.dir, user), Join: link, Listen: anyPort, Version: l.opts.Version, Log: l.opts.Log,
		SIP: sipbridge.Config{Listen: []string{"127.0.0.1:0"}, Redirect: redirect},
	}
	var t *tap
	if l.opts.Path == sipbridge.PathProtected && len(l.adapters) < 2 {
		if t, err = newTap(); err != nil {
			return err
		}
		cfg.Advertise = []netip.AddrPort{t.addr()}
	}
	a, err := adapter.New(cfg)
	if err != nil {
		return err
	}
	if t != nil {
		t.target = func() (netip.AddrPort, bool) {
			if n := a.Node(); n != nil && n.Link().Addr().IsValid() {
				return n.Link().Addr(), true
			}
			return netip.AddrPort{}, false
		}
		l.taps = append(l.taps, t)
		l.group.Go(func() error { return t.Run(ctx) })
	}
	l.adapters = append(l.adapters, &member{user, a})
	l.group.Go(func() error { return a.Run(ctx) })
	select {
	case <-a.Bridge().Ready():
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), fmt.Errorf("%s's adapter did not start", user))
	}
}

func (l *LAN) startPhone(ctx context.Context, m *member, tone float64) error {
	registrar, err := m.sip()
	if err != nil {
		return err
	}
	p, err := NewPhone(m.user, tone, registrar)
	if err != nil {
		return err
	}
	l.phones = append(l.phones, p)
	l.group.Go(func() error { return p.Run(ctx) })
	return p.Await(ctx)
}

// sip is where the member's adapter serves phones over UDP.
func (m *member) sip() (netip.AddrPort, error) {
	for _, at := range m.adapter.Bridge().Addrs() {
		if at.Network == "udp" {
			return at.Addr, nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("%s's adapter serves no phones over UDP", m.user)
}

// enrol registers and unregisters a name, as a phone that goes again would.
func (m *member) enrol(ctx context.Context) error {
	aor, err := m.adapter.Account(m.user)
	if err != nil {
		return err
	}
	return m.adapter.Register(ctx, sipbridge.Registration{AOR: aor})
}

// Script has alice call bob and bob call alice and reports how it went.
func (l *LAN) Script(ctx context.Context) (*Report, error) {
	alice, bob := l.phones[0], l.phones[1]
	type outcome struct {
		took time.Duration
		err  error
	}
	settled := make(chan outcome, 1)
	go func() {
		took, err := l.awaitIdeal(ctx)
		settled <- outcome{took, err}
	}()
	rep := &Report{Overlay: overlayName, Nodes: l.opts.Adapters + 1, K: l.k(), N: l.n()}
	first, err := l.call(ctx, alice, bob, l.adapters[0].adapter)
	if err != nil {
		return nil, err
	}
	rep.FirstCallMS = millis(time.Since(l.start) - talkFor)
	second, err := l.call(ctx, bob, alice, l.adapters[1].adapter)
	if err != nil {
		return nil, err
	}
	rep.Calls = []Call{*first, *second}
	if len(l.taps) > 0 {
		w := l.wire()
		rep.Wire = &w
	}
	ideal := <-settled
	rep.RingIdealMS = millis(ideal.took)
	return rep, ideal.err
}

// call makes one call and gathers what both phones and the adapter saw.
func (l *LAN) call(ctx context.Context, from, to *Phone, a *adapter.Adapter) (*Call, error) {
	l.opts.Tell("%s dials %s", from.User, to.User)
	out, err := from.Call(ctx, to.User, talkFor)
	if err != nil {
		return nil, err
	}
	c := &Call{From: from.User, To: to.User, Status: out.Status, SetupMS: millis(out.FirstFinal)}
	if out.Redirected {
		c.Status, c.Contact = 302, out.Contact
	}
	if err := l.evidence(ctx, a, c); err != nil {
		return nil, err
	}
	if out.Status != 200 {
		return c, fmt.Errorf("%s could not reach %s: %d %s", from.User, to.User, out.Status, out.Reason)
	}
	select {
	case heard := <-to.Answered():
		c.Answered = heard.Tone(from.Tone) && out.Heard.Tone(to.Tone)
		l.opts.Tell("they talked: %s got %d packets with %s's tone, %s got %d with %s's", to.User, heard.Packets, from.User, from.User, out.Heard.Packets, to.User)
	case <-ctx.Done():
		return c, ctx.Err()
	}
	return c, nil
}

// evidence adds what the caller's adapter knows of its last call and of the
// callee's key.
func (l *LAN) evidence(ctx context.Context, a *adapter.Adapter, c *Call) error {
	status := a.Status()
	if len(status.Calls) == 0 {
		return errors.New("the adapter has no record of the call")
	}
	last := status.Calls[0]
	c.Path, c.Verified = last.Path, last.Verified
	res, err := a.Node().Lookup(ctx, admin.LookupRequest{Name: c.To})
	if err != nil {
		return err
	}
	c.SharesUsed, c.Positions, c.Key = res.Evidence.SharesUsed, len(res.Evidence.Positions), res.Fingerprint
	l.opts.Tell("%s's adapter asked %d places on the ring, rebuilt %s's key from shares %v and verified the signed answer with it", c.From, c.Positions, c.To, c.SharesUsed)
	switch {
	case c.Path == sipbridge.PathProtected:
		how := "the adapters took the call over their encrypted link"
		if c.Status == 302 {
			how = "the phone was sent to " + c.Contact + ", its own adapter, which took the call over the encrypted link"
		}
		l.opts.Tell("%s, sound and all: %d after %.1f ms; each phone talks to 127.0.0.1 only", how, c.Status, c.SetupMS)
	case c.Status == 302:
		l.opts.Tell("the phone got 302 Moved Temporarily to %s after %.1f ms and followed it", c.Contact, c.SetupMS)
	default:
		l.opts.Tell("the adapters carried the call over their encrypted link: %d after %.1f ms", c.Status, c.SetupMS)
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
