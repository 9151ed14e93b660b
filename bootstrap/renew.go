package bootstrap

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/record"
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
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	aor, now, err := s.timely(b.AOR, b.Time)
	if err != nil {
		return nil, err
	}
	in, err := s.renewal(from.ID(), aor, b, now)
	if err != nil {
		return nil, err
	}
	answer, err := s.registered(in.person, in.device, in.owner)
	if err != nil {
		return nil, err
	}
	if b.Account.IsZero() {
		d := in.device
		ask := &wire.Delegate{AOR: b.AOR, Device: d.Device, NodeKey: d.NodeKey, Node: d.Node, Part: uint64(d.Slot)}
		if answer.Delegation, err = s.delegationFrom(ctx, in.person, d, ask); err != nil {
			return nil, err
		}
	}
	if in.fresh {
		s.publishPerson(in.person)
	}
	answer.Peers = s.seeds()
	return answer, nil
}

// timely reads the name that a signed request is about, and checks that it was
// signed now: at is Unix ms. The error wraps identity.ErrMalformed or ErrProof.
func (s *Server) timely(name string, at int64) (aor identity.AOR, now time.Time, err error) {
	now = s.time.Now()
	if aor, err = identity.ParseAOR(name); err != nil {
		return aor, now, err
	}
	if age := now.Sub(time.UnixMilli(at)).Abs(); age > renewWindow {
		return aor, now, fmt.Errorf("%w: the request is %v off the overlay's time", ErrProof, age.Round(time.Second))
	}
	return aor, now, nil
}

// renewal finds the device that asks, and signs the person's records anew if
// that is due; in.fresh tells that it was.
func (s *Server) renewal(from identity.NodeID, aor identity.AOR, b wire.RenewBody, now time.Time) (in intake, err error) {
	stranger := fmt.Errorf("%w: this device is not enrolled under this name", ErrProof)
	read := func(tx *bbolt.Tx) error {
		known, err := getJSON(tx, bucketPeople, []byte(aor.User()), &in.person)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(in.person.Devices, func(d device) bool { return d.Node == from && d.Device == b.Device && !d.Pending })
		if !known || at < 0 || aor.Overlay() != s.trust.Overlay() || b.Node != from || !b.Account.IsZero() && !b.Account.Equal(in.person.Account) {
			return stranger
		}
		in.device = in.person.Devices[at]
		var entry nodeEntry
		_, err = getJSON(tx, bucketNodes, in.device.NodeKey[:], &entry)
		in.owner = entry.Owner
		if err == nil {
			err = s.mayBe(in.person.Account, in.device.Device, in.device.NodeKey, entry.Owner)
		}
		return err
	}
	early := func() bool { return now.Sub(in.person.Renewed) < resignAfter && !s.outdated(&in.person) }
	if err := s.db.View(read); err != nil || early() {
		return in, err
	}
	err = s.write(func(tx *bbolt.Tx) error {
		in = intake{}
		if err := read(tx); err != nil {
			return err
		}
		if early() {
			return nil // another device of this person was quicker
		}
		in.fresh = true
		if s.outdated(&in.person) {
			if err := s.dealAnew(&in.person, now); err != nil {
				return err
			}
		} else if err := s.resign(&in.person, now); err != nil {
			return err
		}
		return putJSON(tx, bucketPeople, []byte(in.person.User), in.person)
	})
	return in, err
}

// renewWindow is how far the time in a renewal may lie from ours.
const renewWindow = 5 * time.Minute

// resignAfter keeps members from making the issuer sign again and again: a
// renewal within a day of the last gives the same records.
const resignAfter = 24 * time.Hour

// resign signs a person's shares, look-up record and certificate anew. The
// shares' values stay: dealings never mix.
func (s *Server) resign(p *person, now time.Time) error {
	p.Renewed = now
	return s.certify(p, now, func(beside []record.Body) ([]record.Record, error) {
		return keyshare.Resign(p.Shares, s.trust, keyshare.Renewal{
			Seq: uint64(now.UnixMilli()), Now: now, Lifetime: seconds(s.trust.Charter().ShareLifetime), Beside: beside,
		}, s.overlay.issuer.Load())
	})
}
