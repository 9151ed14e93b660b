package bootstrap

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// rotateEvery is how long a person waits from one new account key to the next:
// a certificate tells of the last few only, and contacts should meet one of
// them.
const rotateEvery = time.Hour

// rotate enters a new account or device key of a member, on the word of the old
// one. Of an account key it issues certificate, look-up record and a new
// dealing, which the owner publishes; asking again gives the same.
func (s *Server) rotate(from *link.Conn, m *wire.Rotate) (*wire.Registered, error) {
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
	if b.Node != from.ID() {
		return nil, fmt.Errorf("%w: the request is of another node", ErrProof)
	}
	var in intake
	err = s.write(func(tx *bbolt.Tx) (err error) {
		in, err = s.rotateIn(tx, aor, b, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer, err := s.registered(in.person, in.device, in.owner)
	if err != nil {
		return nil, err
	}
	answer.Peers = s.seeds()
	return answer, nil
}

func (s *Server) rotateIn(tx *bbolt.Tx, aor identity.AOR, b wire.RotateBody, now time.Time) (in intake, err error) {
	p := &in.person
	known, err := getJSON(tx, bucketPeople, []byte(aor.User()), p)
	if err != nil {
		return in, err
	}
	ofAccount := len(b.Rotation) > 0
	at := slices.IndexFunc(p.Devices, func(d device) bool {
		return d.Node == b.Node && !d.Pending && (d.Device == b.Device || !ofAccount && d.Device == b.New)
	})
	if !known || at < 0 || aor.Overlay() != s.trust.Overlay() {
		return in, fmt.Errorf("%w: this device is not enrolled under this name", ErrProof)
	}
	in.device = p.Devices[at]
	var entry nodeEntry
	if _, err := getJSON(tx, bucketNodes, in.device.NodeKey[:], &entry); err != nil {
		return in, err
	}
	in.owner = entry.Owner
	if err := s.mayBe(p.Account, b.Device, in.device.NodeKey, in.owner); err != nil {
		return in, err
	}
	if ofAccount {
		err = s.rotateAccount(p, aor, b, now)
	} else {
		p.Devices[at].Device = b.New
	}
	if err != nil {
		return in, err
	}
	in.device = p.Devices[at]
	return in, putJSON(tx, bucketPeople, []byte(p.User), *p)
}

// rotateAccount gives a person the key to which rotations lead from the one that
// is known here: the last one, or an earlier one where this server was restored
// from a backup.
func (s *Server) rotateAccount(p *person, aor identity.AOR, b wire.RotateBody, now time.Time) error {
	if p.Account == b.New {
		return nil // asked again
	}
	steps, err := identity.ParseRotations(b.Rotation)
	if err != nil {
		return err
	}
	first := slices.IndexFunc(steps, func(r identity.Rotation) bool { return r.Old == p.Account })
	if first < 0 {
		return fmt.Errorf("%w: nothing that the key known here has signed leads to the new one", ErrProof)
	}
	steps = steps[first:]
	if wait := cmp.Or(s.cfg.RotateEvery, rotateEvery); now.Sub(p.Rotated) < wait {
		return fmt.Errorf("%w: this name has changed keys less than %v ago", ErrTooSoon, wait)
	}
	for i := range steps {
		to := b.New
		if i+1 < len(steps) {
			to = steps[i+1].Old
		}
		if err := steps[i].Verify(aor, to, p.Version+1); err != nil {
			return fmt.Errorf("%w: %w", ErrProof, err)
		}
		p.Version++
	}
	p.Rotations = append(slices.Clone(p.Rotations), steps...)
	p.Rotations = p.Rotations[max(0, len(p.Rotations)-identity.MaxRotations):]
	p.Account, p.Rotated, p.Dealing = b.New, now, max(p.Dealing+1, uint64(now.UnixMilli()))
	return s.deal(p, aor, now)
}
