package bootstrap

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// enrolTimeout bounds what one enrolment may take, storing on the ring included.
const enrolTimeout = 8 * time.Second

// publishTimeout bounds how long an enrolment waits for the ring. What is not
// stored by then the owner stores: it has everything.
const publishTimeout = 4 * time.Second

// register enrols who has proved possession of the keys in b: the second half
// of the poster's SECP2PSIP REGISTER. It returns what the newcomer needs to
// join and publish. Asking again with the same keys gives the same answer.
func (s *Server) register(ctx context.Context, from netip.AddrPort, b wire.RegisterBody) (*wire.Registered, error) {
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	aor, err := identity.ParseAOR(b.AOR)
	if err != nil {
		return nil, err
	}
	if aor.Overlay() != s.trust.Overlay() {
		return nil, fmt.Errorf("%w: this is %s", identity.ErrOtherOverlay, s.trust.Overlay())
	}
	if err := s.recover(aor, b); err != nil {
		return nil, err
	}
	var in intake
	err = s.write(func(tx *bbolt.Tx) (err error) {
		in, err = s.admit(tx, from.Addr().Unmap(), aor, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer, err := s.registered(in.person, in.device, in.owner)
	if err != nil {
		return nil, err
	}
	if b.Further() && !in.returns { // who returns has one
		if answer.Delegation, err = s.admitFurther(ctx, in, b); err != nil {
			return nil, err
		}
	}
	s.publishPerson(in.person)
	if in.fresh {
		s.log.Info().Stringer("node", in.device.Node).Int("names", s.countNames()).Msg("a name is enrolled")
		s.log.Debug().Stringer("aor", aor).Msg("enrolled")
	}
	answer.Peers = s.seeds()
	return answer, nil
}

// registered issues the device's node certificate and gathers the answer.
func (s *Server) registered(p person, d device, owner identity.OwnerTag) (*wire.Registered, error) {
	now := s.time.Now()
	charter := s.trust.Charter()
	issuer := s.overlay.issuer.Load()
	nodeCert, err := issuer.IssueNode(identity.NodeParams{
		Key: d.NodeKey, ID: d.Node, Overlay: charter.Overlay, Owner: owner,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(seconds(charter.CertificateLifetime)),
	})
	if err != nil {
		return nil, fmt.Errorf("issue the node certificate: %w", err)
	}
	return &wire.Registered{
		Node: nodeCert, Account: p.Cert, Issuer: issuer.Certificate(), Charter: s.overlay.signed(),
		Part: uint64(d.Slot), Shares: p.Shares, Lookup: &p.Lookup, Number: p.Alias,
	}, nil
}

// admitFurther has a device that holds the account key delegate to the new
// one, to which it proves with the invitation's MAC that the newcomer was
// invited. Where no device agrees, the newcomer's place is given back.
func (s *Server) admitFurther(ctx context.Context, in intake, b wire.RegisterBody) (identity.SignedDelegation, error) {
	d := in.device
	signed, err := s.delegationFrom(ctx, in.person, d, &wire.Delegate{
		AOR: b.AOR, Device: b.Device, NodeKey: b.Node, Node: d.Node, Part: uint64(d.Slot),
		Nonce: b.Nonce, Invitation: sha256.Sum256(b.Invitation), MAC: b.MAC,
	})
	done := s.settle
	if err != nil {
		done = s.withdraw
	}
	if saved := s.write(func(tx *bbolt.Tx) error { return done(tx, in, b) }); err == nil {
		err = saved
	}
	return signed, err
}

// delegationFrom asks the person's other devices, in order of admission.
func (s *Server) delegationFrom(ctx context.Context, p person, d device, ask *wire.Delegate) (identity.SignedDelegation, error) {
	for _, first := range p.Devices {
		if first.NodeKey.Equal(d.NodeKey) || first.Pending {
			continue
		}
		answer, err := s.node.Link().Call(ctx, s.whereIs(ctx, first), ask)
		delegated, ok := answer.(*wire.Delegated)
		if err != nil || !ok {
			s.log.Debug().Err(err).Stringer("node", first.Node).Msg("this device does not admit the new one")
			continue
		}
		got, err := delegated.Delegation.Verify(p.Account, 0, s.time.Now())
		if err != nil || got.Device != ask.Device || got.Node != ask.Node || got.Part != ask.Part {
			s.refused("enrolment", reasonBadDelegation)
			continue
		}
		return delegated.Delegation, nil
	}
	return nil, ErrFirstDevice
}

// whereIs returns where a device can be reached: as the ring knows it, for
// addresses change, else where it said at its enrolment that it would be.
func (s *Server) whereIs(ctx context.Context, d device) wire.Peer {
	ring := s.node.Ring()
	if p := ring.Owner(d.Node); p.ID == d.Node {
		return p
	}
	if route, err := ring.Lookup(ctx, d.Node); err == nil && route.Responsible.ID == d.Node {
		return route.Responsible
	}
	return wire.Peer{ID: d.Node, Addrs: parseAddrs(d.Addrs)}
}

// publishPerson stores the shares, the look-up record and the number record
// on the ring. What cannot be stored now the owner repairs: it has them all.
func (s *Server) publishPerson(p person) {
	ctx, cancel := context.WithTimeout(s.life, publishTimeout)
	defer cancel()
	if _, err := s.node.Directory().PublishAll(ctx, p.records()); err != nil && s.life.Err() == nil {
		s.log.Warn().Err(err).Msg("not everything could be stored on the ring yet; the owner's adapter repairs it")
	}
}

// seeds returns some members of the ring, ourselves first.
func (s *Server) seeds() []wire.Peer {
	const most = 9 // enough for a successor list
	peers := append([]wire.Peer{s.node.Self()}, s.node.Ring().Known()...)
	return peers[:min(len(peers), most)]
}

// backdate lets certificates begin a little before now, for clocks that lag.
const backdate = 10 * time.Minute

func seconds(s uint32) time.Duration { return time.Duration(s) * time.Second }

func parseAddrs(texts []string) (addrs []netip.AddrPort) {
	for _, t := range texts {
		if a, err := netip.ParseAddrPort(t); err == nil && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
