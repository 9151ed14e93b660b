// Package bootstrap is the bootstrap server: it creates the overlay, enrols
// people by invitation or openly, deals the shares of their keys and stores
// them on the ring, renews what expires, and is itself a node of the ring.
// Once people are enrolled, calls need it no more. It never sees a private
// key of anybody but its own. Its state is one bbolt file.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/seal"
)

// Config of a bootstrap server.
type Config struct {
	State      string      // the state folder, made when missing
	Passphrase seal.Source // of the keys in it; zero value = none

	AnyName   bool             // resume an overlay of another name than the plan's
	Charter   identity.Charter // the plan for a new overlay: name, k, n, lifetimes …; an existing one keeps its own
	Listen    netip.AddrPort   // UDP, port 0 = any
	Advertise []netip.AddrPort // where others reach us; guessed when empty
	JoinAddrs []string         // host:port for join links; the advertised addresses when empty

	Open          bool     // enrol without invitation, within the quotas
	OpenPerSource int      // names one address may enrol in open mode; 0 = 16
	MaxNames      int      // names in all; 0 = 100,000
	Reserved      []string // names nobody may have, besides "echo"

	RotateEvery time.Duration // from one account key of a person to the next; 0 = 1 h

	Limits link.Limits
	// Socket opens the link's UDP sockets; nil = the system's.
	Socket  func(netip.AddrPort) (net.PacketConn, error)
	Clock   *identity.Clock           // overlay time; nil = the state folder's
	Version string                    // of the program, for status
	Log     zerolog.Logger            // zero value logs nothing
	Refused func(room, reason string) // counts refusals; nil = ignored
}

// Server is one bootstrap server.
type Server struct {
	cfg      Config
	db       *bbolt.DB
	file     *node.State // the same, with the box of its keys
	overlay  *overlay
	trust    *identity.Trust
	time     *node.Timekeeper
	node     *node.Node
	reserved []string
	nonceKey []byte // of this run
	log      zerolog.Logger
	started  time.Time
	refusals *node.Counter
	life     context.Context // ends when Run is to end
	stop     context.CancelFunc
	due      chan struct{} // holds one token when maintain has something to do
	cursor   string        // name after which the next round of republishing begins; only maintain touches it
}

// New opens the state folder, creating the overlay at the first start.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, started: time.Now(), nonceKey: secretBytes(32), due: make(chan struct{}, 1), refusals: node.NewCounter(cfg.Refused)}
	s.life, s.stop = context.WithCancel(context.Background())
	if s.cfg.MaxNames == 0 {
		s.cfg.MaxNames = 100_000
	}
	if s.cfg.OpenPerSource == 0 {
		s.cfg.OpenPerSource = 16
	}
	var err error
	if s.reserved, err = reservedNames(cfg.Reserved); err != nil {
		return nil, err
	}
	if s.file, err = openState(cfg.State, cfg.Passphrase); err != nil {
		return nil, err
	}
	s.db = s.file.DB
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// reservedNames are those nobody may have; "echo" is every adapter's own.
func reservedNames(names []string) ([]string, error) {
	out := []string{"echo"}
	for _, name := range names {
		user, err := identity.NormalizeUser(name)
		if err != nil {
			return nil, fmt.Errorf("reserved name: %w", err)
		}
		out = append(out, user)
	}
	return out, nil
}

// open reads or makes the overlay and builds the node.
func (s *Server) open() (err error) {
	clock := s.cfg.Clock
	if clock == nil {
		if clock, err = identity.NewClock(filepath.Join(s.cfg.State, "clock"), time.Now); err != nil {
			return err
		}
	}
	s.time = node.NewTimekeeper(clock, s.log)
	now := s.time.Now()
	fresh := false
	if s.overlay, fresh, err = loadOverlay(s.file, s.cfg.Charter, now); err != nil {
		return err
	}
	if s.trust, err = s.overlay.trust(); err != nil {
		return err
	}
	overlay := s.trust.Overlay()
	if plan := s.cfg.Charter.Overlay; !s.cfg.AnyName && plan != "" && plan != overlay {
		return fmt.Errorf("%w: it holds %q, not %q; choose another folder with --state or the overlay's own name", ErrOtherState, overlay, plan)
	}
	if fresh && now.Year() < thisProgram {
		s.log.Warn().Time("clock", now).Msg("this machine's clock is wrong: set it before people enrol, for what is signed until then ends when the clock is set")
	}
	return s.buildNode(now)
}

// thisProgram is the year before which it cannot run.
const thisProgram = 2026

// ownChain issues this node's own certificate.
func (s *Server) ownChain(now time.Time) ([][]byte, error) {
	first := drawNodeID(s.overlay.slotKey, identity.OwnerTag{}, 255)
	owner := identity.OwnerTag(first[:8])
	issuer := s.overlay.issuer.Load()
	cert, err := issuer.IssueNode(identity.NodeParams{
		Key: s.overlay.nodeKey.Public(), ID: drawNodeID(s.overlay.slotKey, owner, 0), Overlay: s.trust.Overlay(), Owner: owner, Bootstrap: true,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(seconds(s.trust.Charter().CertificateLifetime)),
	})
	return [][]byte{cert, issuer.Certificate()}, err
}

func (s *Server) buildNode(now time.Time) error {
	chain, err := s.ownChain(now)
	if err != nil {
		return err
	}
	pins, err := identity.LoadSealedPins(filepath.Join(s.cfg.State, pinsFile), s.file.Box)
	if err != nil {
		return err
	}
	s.node, err = node.New(node.Config{
		DB: s.db, Key: s.overlay.nodeKey, Chain: chain, Trust: s.trust, Charter: s.overlay.signed(), KeepCharter: s.keepCharter, Time: s.time, Pins: pins,
		Listen: s.cfg.Listen, Advertise: s.cfg.Advertise, Enrol: s, Extra: s, Limits: s.cfg.Limits, Socket: s.cfg.Socket, Alone: true, Role: node.RolePeer,
		Log: s.log, Refused: s.refused, Posted: s.posted,
	})
	return err
}

// leaveTimeout bounds how long a leaving server hands its records over.
const leaveTimeout = 2 * time.Second

// Run serves until ctx ends, then leaves the ring and closes the state. It
// may be called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.db.Close()
	defer s.stop()
	g, inner := errgroup.WithContext(s.life)
	g.Go(func() error { return s.node.Run(inner) })
	g.Go(func() error { return s.maintain(inner) })
	g.Go(func() error { return s.greet(inner) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			s.leave()
		case <-inner.Done():
		}
		s.stop()
		return nil
	})
	err := g.Wait()
	return errors.Join(err, s.time.Save())
}

func (s *Server) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	ctx, stop := s.node.WhileOthersStay(ctx)
	defer stop()
	if err := s.node.Leave(ctx); err != nil {
		s.log.Debug().Err(err).Msg("left the ring without farewell; it repairs itself")
	}
}

// greet tells the operator what to do next.
func (s *Server) greet(ctx context.Context) error {
	select {
	case <-s.node.Joined():
	case <-ctx.Done():
		return nil
	}
	mode := "invite people with: secp2psip invite NAME"
	if s.cfg.Open {
		mode = "anyone may enrol with: secp2psip adapter --join " + s.JoinLink().String()
	}
	s.log.Info().Str("overlay", s.Overlay()).Str("listen", s.Addr().String()).Int("names", s.countNames()).Msg(mode)
	return nil
}

// Ready is closed when the server is a member of its ring.
func (s *Server) Ready() <-chan struct{} { return s.node.Joined() }

// Addr is where the link is bound, once Run has begun.
func (s *Server) Addr() netip.AddrPort { return s.node.Link().Addr() }

// Node is the server's own node of the ring.
func (s *Server) Node() *node.Node { return s.node }

// Fingerprint is SHA-256 of the root certificate, as join links carry it.
func (s *Server) Fingerprint() [32]byte { return s.overlay.fingerprint() }

// Overlay is the overlay's name.
func (s *Server) Overlay() string { return s.trust.Overlay() }

func (s *Server) refused(room, reason string) { s.refusals.Count(room, reason) }
