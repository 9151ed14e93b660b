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
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
)

// Config of a bootstrap server.
type Config struct {
	State     string           // the state folder, made when missing
	Charter   identity.Charter // the plan for a new overlay: name, k, n, lifetimes …; an existing one keeps its own
	Listen    netip.AddrPort   // UDP, port 0 = any
	Advertise []netip.AddrPort // where others reach us; guessed when empty
	JoinAddrs []string         // host:port for join links; the advertised addresses when empty

	Open          bool     // enrol without invitation, within the quotas
	OpenPerSource int      // names one address may enrol in open mode; 0 = 16
	MaxNames      int      // names in all; 0 = 100,000
	Reserved      []string // names nobody may have, besides "echo"

	Limits  link.Limits
	Clock   *identity.Clock           // overlay time; nil = the state folder's
	Version string                    // of the program, for status
	Log     zerolog.Logger            // zero value logs nothing
	Refused func(room, reason string) // counts refusals; nil = ignored
}

// Reasons for refusals in the room "enrolment".
const (
	reasonRefused       = "enrolment_refused"
	reasonBadProof      = "bad_proof"
	reasonBadDelegation = "bad_delegation"
	reasonRenewRefused  = "renewal_refused"
)

// Server is one bootstrap server.
type Server struct {
	cfg      Config
	db       *bbolt.DB
	overlay  *overlay
	trust    *identity.Trust
	node     *node.Node
	reserved []string
	nonceKey []byte // of this run
	log      zerolog.Logger
	started  time.Time
	refusals *node.Counter
	rootMu   sync.Mutex // guards root key and issuing certificate against two operators
}

// New opens the state folder, creating the overlay at the first start.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, started: time.Now(), nonceKey: secretBytes(32), refusals: node.NewCounter(cfg.Refused)}
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
	if s.db, err = openState(cfg.State); err != nil {
		return nil, err
	}
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
	if s.cfg.Clock == nil {
		if s.cfg.Clock, err = identity.NewClock(filepath.Join(s.cfg.State, "clock"), time.Now); err != nil {
			return err
		}
	}
	now := s.cfg.Clock.Now()
	if s.overlay, err = loadOverlay(s.db, s.cfg.Charter, now); err != nil {
		return err
	}
	root, _, err := identity.RootKey(s.overlay.rootCert)
	if err != nil {
		return err
	}
	charter, err := s.overlay.charter.Verify(root)
	if err != nil {
		return err
	}
	if plan := s.cfg.Charter.Overlay; plan != "" && plan != charter.Overlay {
		return fmt.Errorf("%w: it holds %q, not %q; choose another folder with --state or the overlay's own name", ErrOtherState, charter.Overlay, plan)
	}
	if s.trust, err = identity.NewTrust(s.overlay.rootCert, charter); err != nil {
		return err
	}
	return s.buildNode(now)
}

// ownChain issues this node's own certificate.
func (s *Server) ownChain(now time.Time) ([][]byte, error) {
	first := drawNodeID(s.overlay.slotKey, identity.OwnerTag{}, 255)
	owner := identity.OwnerTag(first[:8])
	cert, err := s.overlay.issuer.IssueNode(identity.NodeParams{
		Key: s.overlay.nodeKey.Public(), ID: drawNodeID(s.overlay.slotKey, owner, 0), Overlay: s.trust.Overlay(), Owner: owner, Bootstrap: true,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(seconds(s.trust.Charter().CertificateLifetime)),
	})
	return [][]byte{cert, s.overlay.issuer.Certificate()}, err
}

func (s *Server) buildNode(now time.Time) error {
	chain, err := s.ownChain(now)
	if err != nil {
		return err
	}
	pins, err := identity.LoadPins(filepath.Join(s.cfg.State, "pins"))
	if err != nil {
		return err
	}
	s.node, err = node.New(node.Config{
		DB: s.db, Key: s.overlay.nodeKey, Chain: chain, Trust: s.trust, Clock: s.cfg.Clock, Pins: pins,
		Listen: s.cfg.Listen, Advertise: s.cfg.Advertise, Enrol: s, Extra: s, Limits: s.cfg.Limits, Alone: true,
		Log: s.log, Refused: s.refused,
	})
	return err
}

// Run serves until ctx ends, then leaves the ring and closes the state. It
// may be called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.db.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.node.Run(ctx) })
	g.Go(func() error { return s.maintain(ctx) })
	g.Go(func() error { return s.greet(ctx) })
	err := g.Wait()
	return errors.Join(err, s.cfg.Clock.Save())
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

// maintainEvery is how often records that near their end are signed anew and
// the issuing and node certificates are looked after.
const maintainEvery = time.Hour

// maintain renews certificates of our own and stores everybody's records
// anew, at start (the ring may have lost them) and now and then.
func (s *Server) maintain(ctx context.Context) error {
	select {
	case <-s.node.Joined():
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		s.republish(ctx)
		if err := s.renewOwn(); err != nil {
			s.log.Warn().Err(err).Msg("own certificates could not be renewed")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// republish stores the records of everybody enrolled; holders that have them answer "same".
func (s *Server) republish(ctx context.Context) {
	var all []person
	if err := s.people(func(p person) { all = append(all, p) }); err != nil {
		s.log.Error().Err(err).Msg("the state file cannot be read")
		return
	}
	for _, p := range all {
		if ctx.Err() != nil {
			return
		}
		s.publishPerson(ctx, p)
	}
}

// renewOwn renews the issuing certificate while the root key is here, and
// warns in time where it is not.
func (s *Server) renewOwn() error {
	now := s.cfg.Clock.Now()
	s.rootMu.Lock()
	defer s.rootMu.Unlock()
	if err := s.overlay.renewIssuer(s.db, now); err != nil {
		return err
	}
	chain, err := s.ownChain(now)
	if err != nil {
		return err
	}
	if err := s.node.Link().SetIdentity(chain); err != nil {
		return err
	}
	if left := s.overlay.issuer.NotAfter().Sub(now); left < issuerRenewBefore/3 {
		s.log.Warn().Stringer("left", left.Round(time.Hour)).Msg("the issuing certificate ends soon: renew it with the root key: secp2psip root renew FILE")
	}
	return nil
}

func (s *Server) refused(room, reason string) { s.refusals.Count(room, reason) }
