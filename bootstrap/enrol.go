package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/keyshare"
)

// enrolTimeout bounds what one enrolment may take, storing on the ring included.
const enrolTimeout = 8 * time.Second

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
	var (
		p     person
		d     device
		owner identity.OwnerTag // of the node
		fresh bool
	)
	err = s.db.Update(func(tx *bbolt.Tx) (err error) {
		p, fresh, err = s.admitPerson(tx, from.Addr().Unmap(), aor, b)
		if err != nil {
			return err
		}
		if d, owner, err = s.admitDevice(tx, &p, b); err != nil {
			return err
		}
		return putJSON(tx, bucketPeople, []byte(p.User), p)
	})
	if err != nil {
		return nil, err
	}
	answer, err := s.registered(p, d, owner)
	if err != nil {
		return nil, err
	}
	if b.Further() {
		if answer.Delegation, err = s.askFirstDevice(ctx, p, d, b); err != nil {
			return nil, err
		}
	}
	s.publishPerson(ctx, p)
	if fresh {
		s.log.Info().Stringer("node", d.Node).Int("names", s.countNames()).Msg("a name is enrolled")
		s.log.Debug().Stringer("aor", aor).Msg("enrolled")
	}
	answer.Peers = s.seeds()
	return answer, nil
}

// admitPerson finds or makes the person, within the name's, the invitation's
// and the quotas' rules.
func (s *Server) admitPerson(tx *bbolt.Tx, from netip.Addr, aor identity.AOR, b wire.RegisterBody) (p person, fresh bool, err error) {
	known, err := getJSON(tx, bucketPeople, []byte(aor.User()), &p)
	if err != nil {
		return p, false, err
	}
	now := s.cfg.Clock.Now()
	switch {
	case known && b.Further():
		inv, err := redeem(tx, b.Invitation, b.Node, now)
		if err == nil && inv.User != aor.User() {
			err = ErrOtherName
		}
		return p, false, err
	case b.Further():
		return p, false, fmt.Errorf("%w: nobody is enrolled under this name yet", ErrProof)
	case known && p.Account.Equal(b.Account):
		return p, false, nil // the account key itself is the proof
	case known:
		return p, false, fmt.Errorf("%w: ask its owner for an invitation to add a device, or choose another", ErrTaken)
	}
	number, err := s.authorise(tx, from, aor, b, now)
	if err != nil {
		return p, false, err
	}
	p, err = s.newPerson(aor, number, b.Account, now)
	if err != nil {
		return p, false, err
	}
	if number != "" {
		err = tx.Bucket(bucketNumbers).Put([]byte(number), []byte(p.User))
	}
	return p, true, err
}

// authorise checks that the newcomer may have the name, and returns its number.
func (s *Server) authorise(tx *bbolt.Tx, from netip.Addr, aor identity.AOR, b wire.RegisterBody, now time.Time) (number string, err error) {
	if slices.Contains(s.reserved, aor.User()) {
		return "", ErrReserved
	}
	if tx.Bucket(bucketNumbers).Get([]byte(aor.User())) != nil {
		return "", fmt.Errorf("%w: it is somebody's number", ErrTaken)
	}
	if n := tx.Bucket(bucketPeople).Stats().KeyN; n >= s.cfg.MaxNames {
		return "", fmt.Errorf("%w: %d names are enrolled, the most this overlay takes", ErrQuota, n)
	}
	if len(b.Invitation) > 0 {
		inv, err := redeem(tx, b.Invitation, b.Node, now)
		if err != nil {
			return "", err
		}
		if inv.User != aor.User() {
			return "", ErrOtherName
		}
		number = inv.Number
	} else if err := s.countOpen(tx, from, b.Node); err != nil {
		return "", err
	}
	if number != "" {
		if tx.Bucket(bucketNumbers).Get([]byte(number)) != nil || tx.Bucket(bucketPeople).Get([]byte(number)) != nil {
			return "", fmt.Errorf("%w: %s", ErrNumberTaken, number)
		}
	}
	return number, nil
}

// countOpen applies the quotas of open mode: one name an adapter, and a
// number of names a source address.
func (s *Server) countOpen(tx *bbolt.Tx, from netip.Addr, node identity.PublicKey) error {
	if !s.cfg.Open {
		return ErrNotOpen
	}
	var entry nodeEntry
	if _, err := getJSON(tx, bucketNodes, node[:], &entry); err != nil {
		return err
	}
	if entry.Open > 0 {
		return fmt.Errorf("%w: an adapter enrols one name by itself; ask for an invitation for the next", ErrQuota)
	}
	key := []byte(from.String())
	count := uint64(0)
	if v := tx.Bucket(bucketSources).Get(key); len(v) == 8 {
		count = binary.BigEndian.Uint64(v)
	}
	if count >= uint64(s.cfg.OpenPerSource) {
		return fmt.Errorf("%w: %d names came from %s", ErrQuota, count, from)
	}
	return tx.Bucket(bucketSources).Put(key, binary.BigEndian.AppendUint64(nil, count+1))
}

// newPerson issues the account certificate and deals the key: the poster's
// II.B.
func (s *Server) newPerson(aor identity.AOR, number string, key identity.PublicKey, now time.Time) (person, error) {
	p := person{
		User: aor.User(), Number: number, Account: key, Version: 1, Dealing: uint64(now.UnixMilli()),
		Owner: identity.NewOwnerTag(), Enrolled: now, Renewed: now,
	}
	charter := s.trust.Charter()
	shares, err := keyshare.Deal(key, keyshare.Params{
		AOR: aor, Owner: p.Owner, Version: p.Version, Dealing: p.Dealing, K: charter.K, N: charter.N,
		Seq: uint64(now.UnixMilli()), Now: now, Lifetime: seconds(charter.ShareLifetime),
	}, s.overlay.issuer)
	if err != nil {
		return p, fmt.Errorf("deal the key shares: %w", err)
	}
	p.Shares = shares
	err = s.certify(&p, now)
	return p, err
}

// certify issues the person's account certificate, look-up record and number
// record anew.
func (s *Server) certify(p *person, now time.Time) error {
	charter := s.trust.Charter()
	aor, err := identity.NewAOR(p.User, charter.Overlay)
	if err != nil {
		return err
	}
	var number identity.AOR
	if p.Number != "" {
		if number, err = identity.NewAOR(p.Number, charter.Overlay); err != nil {
			return err
		}
	}
	params := identity.AccountParams{
		Key: p.Account, AOR: aor, Number: p.Number, Version: p.Version, Owner: p.Owner,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(seconds(charter.CertificateLifetime)),
	}
	if p.Cert, err = s.overlay.issuer.IssueAccount(params); err != nil {
		return fmt.Errorf("issue the account certificate: %w", err)
	}
	lookup := record.Account{Version: p.Version, Certificate: p.Cert}
	if p.Number != "" {
		lookup.Number = number.String()
		alias, err := s.signRecord(number, record.KindNumber, now, record.Number{AOR: aor.String(), Owner: p.Owner})
		if err != nil {
			return err
		}
		p.Alias = &alias
	}
	p.Lookup, err = s.signRecord(aor, record.KindAccount, now, lookup)
	return err
}

// signRecord signs one issuer's record that lives as long as the shares do.
func (s *Server) signRecord(aor identity.AOR, kind record.Kind, now time.Time, data any) (record.Record, error) {
	raw, err := canon.Marshal(data)
	if err != nil {
		return record.Record{}, err
	}
	life := s.trust.Charter().ShareLifetime
	return record.Sign(record.Body{
		AOR: aor.String(), Kind: kind, Seq: uint64(now.UnixMilli()), Time: now.UnixMilli(),
		Lifetime: life, Expires: now.Add(seconds(life)).UnixMilli(), Data: raw,
	}, s.overlay.issuer.Key(), record.Chain{Certificates: [][]byte{s.overlay.issuer.Certificate()}})
}

// admitDevice finds the device by its node key or gives it one of the
// person's permanent slots, and returns the owner of its node.
func (s *Server) admitDevice(tx *bbolt.Tx, p *person, b wire.RegisterBody) (device, identity.OwnerTag, error) {
	now := s.cfg.Clock.Now()
	at := slices.IndexFunc(p.Devices, func(d device) bool { return d.NodeKey.Equal(b.Node) })
	if at < 0 {
		if most := int(s.trust.Charter().MaxDevices); len(p.Devices) >= most {
			return device{}, identity.OwnerTag{}, fmt.Errorf("%w (%d)", ErrTooManyDevices, most)
		}
		p.Devices = append(p.Devices, device{Slot: len(p.Devices), NodeKey: b.Node, Admitted: now})
		at = len(p.Devices) - 1
	}
	d := &p.Devices[at]
	var entry nodeEntry
	known, err := getJSON(tx, bucketNodes, b.Node[:], &entry)
	if err != nil {
		return *d, entry.Owner, err
	}
	if !known {
		entry = nodeEntry{ID: drawNodeID(s.overlay.slotKey, p.Owner, d.Slot), Owner: p.Owner}
	}
	if len(b.Invitation) == 0 && len(p.Devices) == 1 {
		entry.Open = 1
	}
	d.Node, d.Device, d.Addrs = entry.ID, b.Device, nil
	for _, a := range b.Addrs {
		d.Addrs = append(d.Addrs, a.String())
	}
	return *d, entry.Owner, putJSON(tx, bucketNodes, b.Node[:], entry)
}

// registered issues the device's node certificate and gathers the answer.
func (s *Server) registered(p person, d device, owner identity.OwnerTag) (*wire.Registered, error) {
	now := s.cfg.Clock.Now()
	charter := s.trust.Charter()
	nodeCert, err := s.overlay.issuer.IssueNode(identity.NodeParams{
		Key: d.NodeKey, ID: d.Node, Overlay: charter.Overlay, Owner: owner,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(seconds(charter.CertificateLifetime)),
	})
	if err != nil {
		return nil, fmt.Errorf("issue the node certificate: %w", err)
	}
	return &wire.Registered{
		Node: nodeCert, Account: p.Cert, Issuer: s.overlay.issuer.Certificate(), Charter: s.overlay.charter,
		Part: uint64(d.Slot), Shares: p.Shares, Lookup: &p.Lookup, Number: p.Alias,
	}, nil
}

// askFirstDevice has a device that holds the account key delegate to the new
// one. It proves with the invitation's MAC that the newcomer was invited.
func (s *Server) askFirstDevice(ctx context.Context, p person, d device, b wire.RegisterBody) (identity.SignedDelegation, error) {
	ask := &wire.Delegate{
		AOR: b.AOR, Device: b.Device, NodeKey: b.Node, Node: d.Node, Part: uint64(d.Slot),
		Nonce: b.Nonce, Invitation: sha256.Sum256(b.Invitation), MAC: b.MAC,
	}
	return s.delegationFrom(ctx, p, d, ask)
}

// delegationFrom asks the person's other devices, in order of admission.
func (s *Server) delegationFrom(ctx context.Context, p person, d device, ask *wire.Delegate) (identity.SignedDelegation, error) {
	for _, first := range p.Devices {
		if first.NodeKey.Equal(d.NodeKey) {
			continue
		}
		answer, err := s.node.Link().Call(ctx, wire.Peer{ID: first.Node, Addrs: parseAddrs(first.Addrs)}, ask)
		delegated, ok := answer.(*wire.Delegated)
		if err != nil || !ok {
			s.log.Debug().Err(err).Stringer("node", first.Node).Msg("this device does not admit the new one")
			continue
		}
		got, err := delegated.Delegation.Verify(p.Account, 0, s.cfg.Clock.Now())
		if err != nil || got.Device != ask.Device || got.Node != ask.Node || got.Part != ask.Part {
			s.refused("enrolment", reasonBadDelegation)
			continue
		}
		return delegated.Delegation, nil
	}
	return nil, ErrFirstDevice
}

// publishPerson stores the shares, the look-up record and the number record
// on the ring. What cannot be stored now the owner repairs: it has them all.
func (s *Server) publishPerson(ctx context.Context, p person) {
	records := append(slices.Clone(p.Shares), p.Lookup)
	if p.Alias != nil {
		records = append(records, *p.Alias)
	}
	if err := s.node.PublishAll(ctx, records); err != nil {
		s.log.Warn().Err(err).Msg("not everything could be stored on the ring yet; the owner's adapter repairs it")
	}
}

func (s *Server) countNames() (n int) {
	_ = s.db.View(func(tx *bbolt.Tx) error { n = tx.Bucket(bucketPeople).Stats().KeyN; return nil })
	return n
}

// people calls f for every enrolled person in order of name.
func (s *Server) people(f func(person)) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketPeople).ForEach(func(_, v []byte) error {
			var p person
			if err := json.Unmarshal(v, &p); err != nil {
				return err
			}
			f(p)
			return nil
		})
	})
}

// backdate lets certificates begin a little before now, for clocks that lag.
const backdate = 10 * time.Minute

func seconds(s uint32) time.Duration { return time.Duration(s) * time.Second }

func parseAddrs(texts []string) (addrs []netip.AddrPort) {
	for _, t := range texts {
		if a, err := netip.ParseAddrPort(t); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
