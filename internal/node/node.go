// Package node assembles one running node of the overlay: the link, the
// ring, the store of records and the directory, wired to one another. The
// adapter and the bootstrap server are both such nodes; what they do beyond
// it (calls, enrolment) they serve through Config.Extra.
package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/hidden"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/portmap"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/seal"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Extra serves the messages that are not the ring's: calls at an adapter,
// renewal at a bootstrap server.
type Extra interface {
	// ServeExtra answers one request, or returns nil for a message it does not know.
	ServeExtra(ctx context.Context, from *link.Conn, req wire.Message) wire.Message
	// ServeStream takes over a long-lived stream; it closes it.
	ServeStream(ctx context.Context, from *link.Conn, open wire.Message, s *link.Stream)
}

// Config describes a node. All fields without "optional" are required.
type Config struct {
	DB           *bbolt.DB           // for records and last-known peers; optional: nil keeps them in memory
	Key          identity.PrivateKey // the node key
	Chain        [][]byte            // node certificate and issuer certificate, DER
	Trust        *identity.Trust
	Charter      identity.SignedCharter // what Trust was made with; optional: without it nobody is told
	Time         *Timekeeper
	Pins         *identity.Pins
	Keys         func() []identity.PrivateKey // account keys, for registrations that are sealed for them; nil = none
	Changed      string                       // file of what is known of changed keys; "" keeps it in memory
	Box          *seal.Box                    // seals that file; nil = in the clear
	Listen       netip.AddrPort
	Advertise    []netip.AddrPort                                // optional: addresses others reach us at; guessed when empty
	Enrol        link.EnrolHandler                               // optional: only a bootstrap server enrols
	Extra        Extra                                           // optional
	LookEvery    time.Duration                                   // mean time between two looks at own records through others; 0 = the documented default, below 0 = never
	CacheFor     time.Duration                                   // how long a resolution may be reused; 0 = the directory's default
	HideLookups  bool                                            // ask for others' records through other members, so that holders do not learn who asks
	Limits       link.Limits                                     // zero value = the documented defaults
	Socket       func(at netip.AddrPort) (net.PacketConn, error) // of the link; nil = the system's
	Role         Role                                            // "" = RoleAuto
	Reach        ReachTiming                                     // zero value = the documented defaults
	PortMapping  *portmap.Config                                 // nil = the router is asked for nothing; the node fills in port, log and who is told
	Clients      Clients                                         // zero value = the documented defaults
	Stores       StoreLimits                                     // of others at this node
	RingBytes    int                                             // a second, to keep the ring together; 0 = chord.DefaultBudget
	OpenNetworks []netip.Prefix                                  // of which the table of members takes any number, as of private ones and this host's own; optional
	Alone        bool                                            // of the issuer: its clock is the overlay's, and it makes a ring at once when it knows nobody
	Log          zerolog.Logger                                  // zero value logs nothing
	Refused      func(room, reason string)                       // optional: counts what was refused
	Posted       func([]*identity.Posted)                        // optional: called with bulletins that are new here

	// KeepCharter writes down a later edition of the charter; optional.
	KeepCharter func(identity.SignedCharter) error
}

// Node is one running node. Its methods are safe for concurrent use.
type Node struct {
	cfg       Config
	time      *Timekeeper
	link      *link.Link
	store     *record.Store
	id        identity.NodeID
	owner     identity.OwnerTag
	chain     atomic.Pointer[[][]byte] // as shown to others now
	notary    *notary
	guard     *evidence.Guard
	hidden    *hidden.Relay
	rooms     atomic.Pointer[rooms] // set when the port is bound, since the ring names it
	joined    chan struct{}         // closed at the first join
	changed   *changedKeys
	strangers strangers
	dialBacks *dialBacks
	clients   *attachments
	holding   *holding
	reflected *reflection
	punches   *punches
	mapped    *mapped    // nil = the router is asked for nothing
	moving    sync.Mutex // held while this node's addresses are looked at
	bulletins *bulletins
	charters  *charters

	mu       sync.Mutex
	servers  []string    // host:port of bootstrap servers
	peers    []wire.Peer // where else to join
	kept     []byte      // the known members as last written
	standing standing

	issuerRevoked atomic.Pointer[time.Time] // when a bulletin said so last
	renewed       chan struct{}             // holds a token after this node's certificate was
}

// rooms are what can be built only when the address is known.
type rooms struct {
	self wire.Peer
	ring *chord.Node
	dir  *directory.Directory
}

// New checks the configuration and builds what needs no address; nothing runs
// yet.
func New(cfg Config) (*Node, error) {
	if cfg.Refused == nil {
		cfg.Refused = func(string, string) {}
	}
	if cfg.Role == "" {
		cfg.Role = RoleAuto
	}
	cfg.Reach = cfg.Reach.withDefaults()
	if err := loadBulletins(cfg.DB, cfg.Trust.Board(), time.Time{}); err != nil {
		return nil, err
	}
	cert, err := cfg.Trust.VerifyOwn(cfg.Chain)
	switch {
	case errors.Is(err, identity.ErrRevoked):
		return nil, fmt.Errorf("%w: this node has been revoked, and nobody in the overlay talks to it; ask the operator for an invitation and enrol from a new state folder", err)
	case err != nil:
		return nil, fmt.Errorf("node certificate: %w", err)
	}
	if !cert.Key.Equal(cfg.Key.Public()) {
		return nil, fmt.Errorf("node certificate: %w: it was issued for another key", identity.ErrUntrusted)
	}
	n := &Node{cfg: cfg, time: cfg.Time, id: cert.ID, owner: cert.Owner, joined: make(chan struct{}), dialBacks: newDialBacks(time.Now, cfg.Reach.Silent), clients: newAttachments(cfg.Clients, time.Now), holding: newHolding(), reflected: newReflectionKeeper(), punches: newPunches(), renewed: make(chan struct{}, 1)}
	n.chain.Store(&cfg.Chain)
	if cfg.PortMapping != nil {
		n.mapped = newMapped()
	}
	n.charters = newCharters(cfg.Charter)
	n.bulletins = newBulletins(cfg.Trust.Board(), n.recordTime, n.time.Now, n.count("node"))
	n.bulletins.keep, n.bulletins.effect = n.keepBulletins, n.bulletinsIn
	if n.changed, err = loadChanged(cfg.Changed, cfg.Box, cfg.Log); err != nil {
		return nil, err
	}
	n.changed.reconcile(cfg.Pins, n.time.Now())
	if n.notary, err = newNotary(cfg.Trust, n.time.Now, cfg.Key, cfg.Chain, n.count("chord")); err != nil {
		return nil, fmt.Errorf("node certificate: %w", err)
	}
	n.link, err = link.New(link.Config{
		Listen: cfg.Listen, Key: cfg.Key, Chain: cfg.Chain, Trust: cfg.Trust,
		Now: n.time.Now, ClockSynced: n.time.Synced,
		Handler: handler{n}, Enrol: cfg.Enrol, Limits: cfg.Limits, Socket: cfg.Socket, PassOn: n.passesOn, Across: across{n},
		Log: room(cfg.Log, "link"), Refused: n.count("link"),
	})
	if err != nil {
		return nil, err
	}
	n.store, err = record.OpenStore(record.StoreConfig{DB: cfg.DB, Trust: cfg.Trust, Now: n.recordTime, Refused: n.count("record")})
	if err != nil {
		return nil, err
	}
	if n.guard, err = n.newGuard(); err != nil {
		return nil, err
	}
	n.hidden, err = n.newHidden()
	return n, err
}

func room(log zerolog.Logger, name string) zerolog.Logger {
	return log.With().Str("room", name).Logger()
}

func (n *Node) count(room string) func(string) {
	return func(reason string) { n.cfg.Refused(room, reason) }
}

// Run binds the port, joins the ring and serves until ctx ends. It does not
// say goodbye to the ring; Leave does, before.
func (n *Node) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return listenError(n.link.Run(ctx), n.cfg.Listen) })
	g.Go(func() error { return n.store.Run(ctx) })
	g.Go(func() error {
		select {
		case <-n.link.Ready():
		case <-ctx.Done():
			return nil
		}
		if err := n.furnish(); err != nil {
			return err
		}
		r := n.rooms.Load()
		g.Go(func() error { return r.ring.Run(ctx) })
		g.Go(func() error { return r.dir.Run(ctx) })
		g.Go(func() error { return n.guard.Run(ctx) })
		g.Go(func() error { n.tellBulletins(ctx); return nil })
		g.Go(func() error { n.tellCharter(ctx); return nil })
		if n.mapped != nil {
			g.Go(func() error { n.keepMapped(ctx); return nil })
		}
		g.Go(func() error { n.renewLinks(ctx); return nil })
		return n.stayJoined(ctx)
	})
	err := g.Wait()
	n.saveKnown()
	return errors.Join(err, n.store.Close())
}

// furnish builds ring and directory, which need the bound address.
func (n *Node) furnish() error {
	self := wire.Peer{ID: n.id, Owner: n.owner, Addrs: AdvertisedAddrs(n.link.Addr(), n.cfg.Advertise, netip.Addr{})}
	if len(self.Addrs) == 0 {
		return errors.New("this host has no address that other nodes could reach; name one with --advertise")
	}
	ring, err := chord.New(chord.Config{
		Self: self, Transport: guarded{transport{n.link}, n.guard}, Records: n.store, Charter: n.cfg.Trust.Charter(), Now: n.time.Now,
		Verifier: n.notary, Signer: n.notary, Collision: n.guard.Collision, Log: room(n.cfg.Log, "chord"), Refused: n.count("chord"), Budget: n.cfg.RingBytes, Stores: n.cfg.Stores, OpenNetworks: append(ownNetworks(interfacePrefixes()), n.cfg.OpenNetworks...),
	})
	if err != nil {
		return err
	}
	dir, err := directory.New(directory.Config{
		Ring: ringView{ring, n.store}, Trust: n.cfg.Trust, Now: n.time.Now, Pins: n.cfg.Pins, Self: n.owner, Keys: n.cfg.Keys,
		CacheFor: n.cfg.CacheFor, Hidden: n.hide(ring), Changed: n.keyChanged, Conflict: n.keyConflict, Confirmed: n.guard.Confirmed, Matched: n.keyBack, Followed: n.keyFollowed, Log: room(n.cfg.Log, "directory"), Refused: n.count("directory"),
	})
	if err != nil {
		return err
	}
	n.rooms.Store(&rooms{self, ring, dir})
	return nil
}

// Joined is closed when the node has become a member of the ring.
func (n *Node) Joined() <-chan struct{} { return n.joined }

// Link is the node's port.
func (n *Node) Link() *link.Link { return n.link }

// Store is what the node holds for the ring.
func (n *Node) Store() *record.Store { return n.store }

// Trust verifies what belongs to the overlay.
func (n *Node) Trust() *identity.Trust { return n.cfg.Trust }

// ID is this node's Node-ID.
func (n *Node) ID() identity.NodeID { return n.id }

// Self, Ring and Directory are for use after Joined; before, Ring and
// Directory are nil.
func (n *Node) Self() wire.Peer {
	if r := n.rooms.Load(); r != nil {
		return r.self
	}
	return wire.Peer{ID: n.id, Owner: n.owner}
}

// Ring is the node's place on the ring.
func (n *Node) Ring() *chord.Node {
	if r := n.rooms.Load(); r != nil {
		return r.ring
	}
	return nil
}

// Directory publishes and resolves names.
func (n *Node) Directory() *directory.Directory {
	if r := n.rooms.Load(); r != nil {
		return r.dir
	}
	return nil
}

// SetIdentity takes a renewed certificate for the same key and Node-ID.
func (n *Node) SetIdentity(chain [][]byte) error {
	if err := n.link.SetIdentity(chain); err != nil {
		return err
	}
	n.chain.Store(&chain)
	if err := n.notary.setChain(chain); err != nil {
		return err
	}
	if ring := n.Ring(); ring != nil {
		ring.Renew()
	}
	select {
	case n.renewed <- struct{}{}:
	default:
	}
	return nil
}
