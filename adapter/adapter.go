// Package adapter is the daemon beside the phone: it speaks plain SIP to the
// phone through the bridge and the signed, encrypted protocol to the other
// adapters on the ring. It runs the two flows: a phone's REGISTER becomes an
// enrolment (once) and a registration on the ring; a phone's INVITE becomes a
// resolution, an exchange of signed INVITE and REDIRECT with the callee's
// adapter, and a 302 or a carried call.
package adapter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
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
	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/internal/media/relay"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/portmap"
	"github.com/secp2psip/secp2psip/internal/seal"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Config of an adapter.
type Config struct {
	State      string      // the state folder, made when missing
	Passphrase seal.Source // of the keys in it; zero value = none

	Join      *joinlink.Link   // optional: an invitation, or the way to an open overlay
	Listen    netip.AddrPort   // UDP, port 0 = any
	Advertise []netip.AddrPort // where others reach us; guessed when empty

	SIP sipbridge.Config // Listen, Redirect, Path, digest accounts; the adapter fills in the rest

	NoRecords  bool      // calls are not written to the state folder
	MediaPorts [2]uint16 // UDP ports towards phones on protected calls, first and last; 0 = 40100 and 1,000 of them

	Role    node.Role        // what the adapter is to the ring; "" = as it can be reached
	Reach   node.ReachTiming // zero value = the documented defaults
	Clients node.Clients     // whom it passes sealed packets on to; zero value = the documented defaults
	// PortMapping has the router before this host asked for a port.
	PortMapping bool
	// RingBytes is what keeping the ring together may cost, in bytes a second; 0 =
	// the documented default.
	RingBytes int
	// Stores bounds what others may store here.
	Stores node.StoreLimits
	// OpenNetworks are those of which any number of nodes are known.
	OpenNetworks []netip.Prefix
	// Socket opens the link's UDP sockets; nil = the system's.
	Socket func(at netip.AddrPort) (net.PacketConn, error)

	// HideLookups asks for others' records through other members, so that their
	// holders do not learn who asks, and refuses calls where that is not possible.
	HideLookups bool
	CacheFor    time.Duration             // how long a resolution may be reused; 0 = 60 s
	Limits      link.Limits               // zero value = the documented defaults
	CallRate    int                       // calls and texts of one person to one other, in both directions: burst; 0 = 5, one more a second
	Clock       *identity.Clock           // overlay time; nil = the state folder's
	Version     string                    // of the program, for status
	Log         zerolog.Logger            // zero value logs nothing
	Refused     func(room, reason string) // counts refusals; nil = ignored
	Called      func(admin.Call)          // hears of every answered call attempt; nil = ignored
}

// Adapter is one adapter. New, then Run once.
type Adapter struct {
	cfg      Config
	log      zerolog.Logger
	state    *state
	time     *node.Timekeeper
	pins     *identity.Pins
	relay    *relay.Relay
	records  *records // nil: calls are not written down
	talks    *talks
	bridge   *sipbridge.Bridge
	nodeKey  identity.PrivateKey
	refusals *node.Counter
	started  time.Time

	enrolling singleflight.Group // by user part
	enrolTurn chan struct{}      // holds one token: enrolments come one after the other
	saving    sync.Mutex         // held while accounts, member or bindings are changed
	gate      gate
	calls     callLog
	leaving   chan struct{} // closed when Run begins to end

	mu         sync.Mutex
	member     *member
	node       *node.Node // nil before the first enrolment
	accounts   map[string]*account
	screens    map[string]*screening          // by user part
	screened   map[string]uint64              // by user part: callers kept out since the start
	published  map[string]*publication        // by user part
	news       chan struct{}                  // holds one token after bulletins have come
	owed       chan struct{}                  // holds one token while something renewed is to go to the ring
	nodeUp     chan struct{}                  // closed when node is set
	lasting    map[[16]byte]*lasting          // carried calls by their names
	renewTried map[string]time.Time           // by user part; only keepPublished touches it
	tickets    map[string]uint64              // by user part: counts changes of bindings
	saved      map[string]uint64              // by user part: the change that was last saved; saving's
	restored   map[string][]sipbridge.Binding // as read at the start; Run's and keepPublished's
	runCtx     context.Context                // of Run
	start      func(func() error)             // runs a goroutine within Run; nil before and after
}

// New opens the state folder and builds the bridge; nothing runs yet.
func New(cfg Config) (*Adapter, error) {
	a := &Adapter{
		cfg: cfg, log: cfg.Log, started: time.Now(), refusals: node.NewCounter(cfg.Refused),
		published: map[string]*publication{}, renewTried: map[string]time.Time{}, tickets: map[string]uint64{}, saved: map[string]uint64{}, lasting: map[[16]byte]*lasting{},
		news: make(chan struct{}, 1), owed: make(chan struct{}, 1), nodeUp: make(chan struct{}), leaving: make(chan struct{}), enrolTurn: make(chan struct{}, 1),
	}
	var err error
	if a.state, err = openState(cfg.State, cfg.Passphrase); err != nil {
		return nil, err
	}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.state.db.Close())
	}
	return a, nil
}

func (a *Adapter) open() (err error) {
	clock := a.cfg.Clock
	if clock == nil {
		if clock, err = identity.NewClock(filepath.Join(a.cfg.State, "clock"), time.Now); err != nil {
			return err
		}
	}
	a.time = node.NewTimekeeper(clock, a.log)
	a.calls.told = a.cfg.Called
	a.talks = newTalks(a.state, a.log)
	a.calls.talks = a.talks.note
	if !a.cfg.NoRecords {
		a.records = newRecords(a.cfg.State, a.state.file.Box, func() { a.refusals.Count("adapter", reasonRecordLost) }, a.log)
		a.calls.ended = a.records.add
	}
	a.gate.init(a.time.Now, a.cfg.CallRate)
	if a.pins, err = identity.LoadSealedPins(filepath.Join(a.cfg.State, pinsFile), a.state.file.Box); err != nil {
		return err
	}
	if a.nodeKey, err = a.state.nodeKey(); err != nil {
		return err
	}
	if a.accounts, err = a.state.accounts(); err != nil {
		return err
	}
	if err := a.loadScreens(); err != nil {
		return err
	}
	ports := relay.Config{MinPort: a.cfg.MediaPorts[0], MaxPort: a.cfg.MediaPorts[1]}
	// While a call rings, every device of the callee has media of its own.
	ports.MaxCalls = 2 * cmp.Or(a.cfg.SIP.Carry.MaxCalls, limits.CarriedCalls)
	ports.Refused = func(reason string) { a.refusals.Count("media", reason) }
	if a.relay, err = relay.New(ports); err != nil {
		return err
	}
	if err := a.loadMember(); err != nil {
		return err
	}
	sip := a.cfg.SIP
	sip.Directory, sip.Overlay, sip.Now = a, a.member.Overlay, a.time.Steady
	sip.Log, sip.Refused = a.log.With().Str("room", "sip").Logger(), func(reason string) { a.refusals.Count("sip", reason) }
	sip.Refreshed = a.refreshed
	sip.CallBurst = cmp.Or(sip.CallBurst, a.cfg.CallRate)
	sip.Accounts = slices.Clone(sip.Accounts)
	for user := range a.accounts {
		a.publication(user).repair.Rest(time.Now())
		if !slices.Contains(sip.Accounts, user) {
			sip.Accounts = append(sip.Accounts, user)
		}
	}
	sip.Carry.OnEvent = a.calls.carried
	sip.Carry.Relay = a.relay
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
	enrolled := len(m.Chain) > 0
	switch {
	case !known && j == nil:
		return errors.New("this adapter belongs to no overlay yet: start it once with --join LINK; 'secp2psip invite NAME' on the bootstrap server prints one")
	case enrolled && j != nil && m.Overlay != j.Overlay:
		return fmt.Errorf("this state folder belongs to %q, the join link to %q: choose another folder with --state, or leave --join away", m.Overlay, j.Overlay)
	case enrolled && j != nil && m.RootHash != j.Root:
		return fmt.Errorf("the join link names another root key for %q than this state folder knows: it is for another overlay of the same name, or forged; choose another folder with --state if you trust it", m.Overlay)
	case !enrolled && j != nil && (m.Overlay != j.Overlay || m.RootHash != j.Root):
		m = &member{Overlay: j.Overlay, RootHash: j.Root} // an earlier link led nowhere
	}
	if j != nil {
		if m, err = a.accept(m, j); err != nil {
			return err
		}
	}
	a.member = m
	if len(m.Chain) == 0 {
		return nil
	}
	n, err := a.newNode(m)
	if err != nil {
		return err
	}
	a.node = n
	close(a.nodeUp)
	return nil
}

// newNode makes the node of the ring from the member's certificates.
func (a *Adapter) newNode(m *member) (*node.Node, error) {
	trust, err := m.trust()
	if err != nil {
		return nil, fmt.Errorf("state file: %w; %s", err, mendState)
	}
	n, err := node.New(node.Config{
		DB: a.state.db, Key: a.nodeKey, Chain: m.Chain, Trust: trust, Charter: m.Charter, KeepCharter: a.keepCharter, Time: a.time, Pins: a.pins, Keys: a.openingKeys, Changed: filepath.Join(a.cfg.State, node.ChangedFile), Box: a.state.file.Box,
		Listen: a.cfg.Listen, Advertise: a.cfg.Advertise, Extra: a, CacheFor: a.cfg.CacheFor, HideLookups: a.cfg.HideLookups, Limits: a.cfg.Limits,
		Role: a.cfg.Role, Reach: a.cfg.Reach, Clients: a.cfg.Clients, RingBytes: a.cfg.RingBytes, Stores: a.cfg.Stores, OpenNetworks: a.cfg.OpenNetworks, Socket: a.cfg.Socket, PortMapping: a.portMapping(),
		Log: a.log, Refused: a.refusals.Count, Posted: a.posted,
	})
	if err != nil {
		return nil, err
	}
	n.Link().HandleDatagrams(link.DatagramMedia, func(from *link.Conn, b []byte) { a.relay.Receive(from, b) })
	n.Seed(m.Servers)
	return n, nil
}

// portMapping says how the router is asked for a port; nil = not at all.
func (a *Adapter) portMapping() *portmap.Config {
	if !a.cfg.PortMapping {
		return nil
	}
	return &portmap.Config{}
}

// trust verifies what belongs to the overlay, whose root certificate must be
// the one that the join link named.
func (m *member) trust() (*identity.Trust, error) {
	if sha256.Sum256(m.Root) != m.RootHash {
		return nil, errors.New("the root certificate is not the one that the join link names")
	}
	root, _, err := identity.RootKey(m.Root)
	if err != nil {
		return nil, fmt.Errorf("root certificate: %w", err)
	}
	charter, err := m.Charter.Verify(root)
	if err != nil {
		return nil, fmt.Errorf("charter: %w", err)
	}
	if charter.Overlay != m.Overlay {
		return nil, fmt.Errorf("%w: the charter is for %q", identity.ErrOtherOverlay, charter.Overlay)
	}
	return identity.NewTrust(m.Root, charter)
}

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
	left, err := a.state.interrupted()
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.start = func(f func() error) { g.Go(f) }
	a.runCtx = gctx
	n := a.node
	a.mu.Unlock()
	if n != nil {
		g.Go(func() error { return n.Run(gctx) })
	} else if err := node.TryPort(a.cfg.Listen); err != nil {
		return err
	}
	g.Go(func() error { return a.bridge.Run(gctx) })
	g.Go(func() error { return a.keepPublished(gctx) })
	g.Go(func() error { return a.keepIssued(gctx) })
	if a.cfg.HideLookups {
		g.Go(func() error { a.keepDecoys(gctx); return nil })
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
			a.depart()
			stop()
		case <-gctx.Done():
			a.closeDoors()
		}
		return nil
	})
	g.Go(func() error { a.hangUpLeft(gctx, left); return nil })
	written, noted := a.records.start(), a.talks.start()
	err = g.Wait()
	written() // the calls that the end has ended, too
	noted()
	return errors.Join(err, a.time.Save())
}

// spawn runs f in a goroutine that Run waits for; outside Run it does nothing
// and returns false.
func (a *Adapter) spawn(f func(context.Context)) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.start != nil {
		ctx := a.runCtx
		a.start(func() error { f(ctx); return nil })
	}
	return a.start != nil
}

// Bounds of leaving: all of it, and of it the time to take registrations back.
// What is not done by then ends by itself: registrations soon, and records
// have other holders.
const (
	leaveTimeout     = 2500 * time.Millisecond
	unpublishTimeout = time.Second
)

// closeDoors lets nothing new begin.
func (a *Adapter) closeDoors() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.start = nil
	close(a.leaving)
}

// depart takes the registrations back and leaves the ring, within leaveTimeout.
func (a *Adapter) depart() {
	a.closeDoors()
	n := a.Node()
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	ctx, stop := n.WhileOthersStay(ctx)
	defer stop()
	a.unpublishAll(ctx, n)
	if err := n.Leave(ctx); err != nil {
		a.log.Debug().Err(err).Msg("left the ring without farewell; it repairs itself")
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
