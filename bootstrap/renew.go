package bootstrap

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/keyshare"
)

// renew issues certificates and signs the shares anew for a member who asks
// over its own ring link.
func (s *Server) renew(ctx context.Context, from *link.Conn, m *wire.Renew) (*wire.Registered, error) {
	exporter, err := from.Exporter()
	if err != nil {
		return nil, err
	}
	b, err := m.Verify(exporter)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProof, err)
	}
	aor, err := identity.ParseAOR(b.AOR)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Clock.Now()
	if age := now.Sub(time.UnixMilli(b.Time)).Abs(); age > renewWindow {
		return nil, fmt.Errorf("%w: the request is %v off the overlay's time", ErrProof, age.Round(time.Second))
	}
	var p person
	var d device
	var entry nodeEntry
	err = s.db.Update(func(tx *bbolt.Tx) error {
		known, err := getJSON(tx, bucketPeople, []byte(aor.User()), &p)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(p.Devices, func(d device) bool { return d.Node == from.ID() && d.Device == b.Device })
		if !known || at < 0 || b.Node != from.ID() || !b.Account.IsZero() && !b.Account.Equal(p.Account) {
			return fmt.Errorf("%w: this device is not enrolled under this name", ErrProof)
		}
		d = p.Devices[at]
		if _, err := getJSON(tx, bucketNodes, d.NodeKey[:], &entry); err != nil {
			return err
		}
		if err := s.resign(&p, now); err != nil {
			return err
		}
		return putJSON(tx, bucketPeople, []byte(p.User), p)
	})
	if err != nil {
		return nil, err
	}
	answer, err := s.registered(p, d, entry.Owner)
	if err != nil {
		return nil, err
	}
	if b.Account.IsZero() {
		ask := &wire.Delegate{AOR: b.AOR, Device: d.Device, NodeKey: d.NodeKey, Node: d.Node, Part: uint64(d.Slot)}
		if answer.Delegation, err = s.delegationFrom(ctx, p, d, ask); err != nil {
			return nil, err
		}
	}
	s.publishPerson(ctx, p)
	answer.Peers = s.seeds()
	return answer, nil
}

// renewWindow is how far the time in a renewal may lie from ours.
const renewWindow = 5 * time.Minute

// resignAfter keeps members from making the issuer sign again and again: a
// renewal within a day of the last gives the same records.
const resignAfter = 24 * time.Hour

// resign signs a person's shares, look-up record and certificate anew. The
// shares' values stay: dealings never mix.
func (s *Server) resign(p *person, now time.Time) error {
	if now.Sub(p.Renewed) < resignAfter {
		return nil
	}
	shares, err := keyshare.Resign(p.Shares, s.trust, keyshare.Renewal{
		Seq: uint64(now.UnixMilli()), Now: now, Lifetime: seconds(s.trust.Charter().ShareLifetime),
	}, s.overlay.issuer)
	if err != nil {
		return fmt.Errorf("sign the shares anew: %w", err)
	}
	p.Shares, p.Renewed = shares, now
	return s.certify(p, now)
}
