// Package adapter is the daemon beside the phone: it speaks plain SIP to the
// phone through the bridge and the signed, encrypted protocol to the other
// adapters on the ring. It runs the two flows: a phone's REGISTER becomes an
// enrolment (once) and a registration on the ring; a phone's INVITE becomes a
// resolution, an exchange of signed INVITE and REDIRECT with the callee's
// adapter, and a 302 or a carried call.
package adapter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Config of an adapter.
type Config struct {
	State     string           // the state folder, made when missing
	Join      *joinlink.Link   // optional: an invitation, or the way to an open overlay
	Listen    netip.AddrPort   // UDP, port 0 = any
	Advertise []netip.AddrPort // where others reach us; guessed when empty

	SIP sipbridge.Config // Listen, Redirect, Path, digest accounts; the adapter fills in the rest

	CacheFor time.Duration             // how long a resolution may be reused; 0 = 60 s
	Limits   link.Limits               // zero value = the documented defaults
	CallRate int                       // INVITEs a caller may send per callee: burst; 0 = 5, one more a second
	Clock    *identity.Clock           // overlay time; nil = the state folder's
	Version  string                    // of the program, for status
	Log      zerolog.Logger            // zero value logs nothing
	Refused  func(room, reason string) // counts refusals; nil = ignored
	Called   func(admin.Call)          // hears of every answered call attempt; nil = ignored
}

// Adapter is one adapter. New, then Run once.
type Adapter struct {
	cfg      Config
	log      zerolog.Logger
	state    *state
	clock    *identity.Clock
	pins     *identity.Pins
	bridge   *sipbridge.Bridge
	nodeKey  identity.PrivateKey
	refusals *node.Counter
	started  time.Time

	enrolling singleflight.Group
	enrolTurn sync.Mutex
	saving    sync.Mutex // orders writes of accounts
	gate      gate
	calls     callLog

	mu         sync.Mutex
	member     *member // nil before the first enrolment
	trust      *identity.Trust
	node       *node.Node // nil before the first enrolment
	accounts   map[string]*account
	published  map[string]*publication // by user part
	nodeUp     chan struct{}           // closed when node is set
	renewTried map[string]time.Time    // by user part; only keepPublished touches it
	runCtx     context.Context         // of Run
	start      func(func() error)      // runs a goroutine within Run; nil before and after
}

// New opens the state folder and builds the bridge; nothing runs yet.
func New(cfg Config) (*Adapter, error) {
	a := &Adapter{
		cfg: cfg, log: cfg.Log, started: time.Now(), refusals: node.NewCounter(cfg.Refused),
		accounts: map[string]*account{}, published: map[string]*publication{}, renewTried: map[string]time.Time{}, nodeUp: make(chan struct{}),
	}
	var err error
	if a.state, err = openState(cfg.State); err != nil {
		return nil, err
	}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.state.db.Close())
	}
	return a, nil
}

func (a *Adapter) open() (err error) {
	if a.clock = a.cfg.Clock; a.clock == nil {
		if a.clock, err = identity.NewClock(filepath.Join(a.cfg.State, "clock"), time.Now); err != nil {
			return err
		}
	}
	a.calls.told = a.cfg.Called
	a.gate.init(a.clock.Now, a.cfg.CallRate)
	if a.pins, err = identity.LoadPins(filepath.Join(a.cfg.State, "pins")); err != nil {
		return err
	}
	if a.nodeKey, err = a.state.nodeKey(); err != nil {
		return err
	}
	if a.accounts, err = a.state.accounts(); err != nil {
		return err
	}
	if err := a.loadMember(); err != nil {
		return err
	}
	sip := a.cfg.SIP
	// Phones' lifetimes run on the system's own clock: overlay time may jump when it is learnt.
	sip.Directory, sip.Overlay, sip.Now = a, a.member.Overlay, time.Now
	sip.Log, sip.Refused = a.log.With().Str("room", "sip").Logger(), func(reason string) { a.refusals.Count("sip", reason) }
	sip.Refreshed = func(r sipbridge.Registration) { a.spawn(func(context.Context) { a.saveBindings(r) }) }
	a.mu.Lock()
	for user := range a.accounts {
		if !slices.Contains(sip.Accounts, user) {
			sip.Accounts = append(sip.Accounts, user)
		}
	}
	a.mu.Unlock()
	sip.Carry.OnEvent = a.calls.carried
	if sip.Carry.Echo == nil {
		refused := func(reason string) { a.refusals.Count("media", reason) }
		if sip.Carry.Echo, err = media.NewEcho(media.EchoConfig{Refused: refused}); err != nil {
			return err
		}
	}
	a.bridge, err = sipbridge.New(sip)
	return err
}

// loadMember reads what the state folder knows of the overlay, or takes it
// from the join link; the two must not contradict each other.
func (a *Adapter) loadMember() error {
	m := &member{}
	known, err := a.state.get(bucketMeta, metaMember, m)
	if err != nil {
		return err
	}
	j := a.cfg.Join
	switch {
	case known && j != nil && m.Overlay != j.Overlay:
		return fmt.Errorf("this state folder belongs to %q, the join link to %q: choose another folder with --state, or leave --join away", m.Overlay, j.Overlay)
	case known && j != nil && m.RootHash != j.Root:
		return fmt.Errorf("the join link names another root key for %q than this state folder knows: it is for another overlay of the same name, or forged; choose another folder with --state if you trust it", m.Overlay)
	case !known && j == nil:
		return errors.New("this adapter belongs to no overlay yet: start it once with --join LINK; 'secp2psip invite NAME' on the bootstrap server prints one")
	case !known:
		m = &member{Overlay: j.Overlay, RootHash: j.Root}
	}
	a.member = m
	if j != nil {
		a.accept(j)
		if err := a.state.put(bucketMeta, metaMember, m); err != nil {
			return err
		}
	}
	if len(m.Chain) == 0 {
		return nil
	}
	return a.buildNode()
}

// buildNode makes the node of the ring from the member's certificates.
func (a *Adapter) buildNode() error {
	m := a.member
	root, _, err := identity.RootKey(m.Root)
	if err != nil {
		return fmt.Errorf("root certificate: %w", err)
	}
	charter, err := m.Charter.Verify(root)
	if err != nil {
		return fmt.Errorf("charter: %w", err)
	}
	trust, err := identity.NewTrust(m.Root, charter)
	if err != nil {
		return err
	}
	n, err := node.New(node.Config{
		DB: a.state.db, Key: a.nodeKey, Chain: m.Chain, Trust: trust, Clock: a.clock, Pins: a.pins,
		Listen: a.cfg.Listen, Advertise: a.cfg.Advertise, Extra: a, CacheFor: a.cfg.CacheFor, Limits: a.cfg.Limits,
		Log: a.log, Refused: a.refusals.Count,
	})
	if err != nil {
		return err
	}
	n.Seed(m.Servers)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trust, a.node = trust, n
	close(a.nodeUp)
	if a.start != nil {
		a.start(a.runNode)
	}
	return nil
}

// leaveTimeout bounds how long a leaving adapter tidies up: unpublishing its
// phones and handing its records over.
const leaveTimeout = 5 * time.Second

// Run serves until ctx ends; then it takes its registrations back, leaves the
// ring and closes the state.
func (a *Adapter) Run(ctx context.Context) error {
	defer a.state.db.Close()
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, gctx := errgroup.WithContext(inner)
	if err := a.restoreBindings(); err != nil {
		return err
	}
	a.mu.Lock()
	a.start = func(f func() error) { g.Go(f) }
	a.runCtx = gctx
	if a.node != nil {
		g.Go(a.runNode)
	}
	a.mu.Unlock()
	g.Go(func() error { return a.bridge.Run(gctx) })
	g.Go(func() error { return a.keepPublished(gctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			a.depart()
			stop()
		case <-gctx.Done():
		}
		return nil
	})
	err := g.Wait()
	return errors.Join(err, a.clock.Save())
}

// spawn runs f in a goroutine that Run waits for; outside Run it does nothing.
func (a *Adapter) spawn(f func(context.Context)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.start != nil {
		ctx := a.runCtx
		a.start(func() error { f(ctx); return nil })
	}
}

func (a *Adapter) runNode() error { return a.node.Run(a.runCtx) }

// depart takes the registrations back and leaves the ring, within leaveTimeout.
func (a *Adapter) depart() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	a.mu.Lock()
	a.start = nil
	n := a.node
	a.mu.Unlock()
	if n == nil {
		return
	}
	a.unpublishAll(ctx)
	if err := n.Leave(ctx); err != nil {
		a.log.Warn().Err(err).Msg("left the ring without farewell; it repairs itself")
	}
}

// Bridge is the SIP side, for its addresses and statistics.
func (a *Adapter) Bridge() *sipbridge.Bridge { return a.bridge }

// Node is this adapter's node of the ring, nil before the first enrolment.
func (a *Adapter) Node() *node.Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.node
}
