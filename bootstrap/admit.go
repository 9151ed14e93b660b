package bootstrap

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// intake is what one enrolment has come to.
type intake struct {
	person person
	device device
	owner  identity.OwnerTag // of the device's node
	fresh  bool              // the person is new
	// returns tells that the device was admitted before.
	returns bool
	dealt   bool // the person's records were signed anew
}

// admit finds or makes person and device, within the rules of names,
// invitations and quotas. All or nothing of it is written.
func (s *Server) admit(tx *bbolt.Tx, from netip.Addr, aor identity.AOR, b wire.RegisterBody) (in intake, err error) {
	p := &in.person
	known, err := getJSON(tx, bucketPeople, []byte(aor.User()), p)
	if err != nil {
		return in, err
	}
	returns := known && p.has(b)
	if err := s.mayAsk(tx, aor, b, returns || known && p.Account.Equal(b.Account)); err != nil {
		return in, err
	}
	if err := s.standing(tx, p, known, b); err != nil {
		return in, err
	}
	now := s.time.Now()
	byOpen := false
	switch {
	case !known && b.Further():
		return in, fmt.Errorf("%w: nobody is enrolled under this name yet", ErrNotInvited)
	case !known:
		in.fresh = true
		var number string
		if number, byOpen, err = s.authorise(tx, from, aor, b, now); err != nil {
			return in, err
		}
		if *p, err = s.newPerson(tx, aor, number, b.Account, now); err != nil {
			return in, err
		}
	case !b.Further() && !p.Account.Equal(b.Account):
		return in, fmt.Errorf("%w: ask its owner for an invitation to add a device, or choose another", ErrTaken)
	case returns: // for certificates of another issuing key, or in place of those that have ended
	case b.Further() || p.deviceOf(b.Node) < 0:
		if err := redeemFor(tx, aor, b, now); err != nil {
			return in, err
		}
	} // else the account key itself is the proof, and the device is known
	if err := s.admitDevice(tx, &in, b, byOpen, now); err != nil {
		return in, err
	}
	in.returns = returns
	if known && (s.outdated(p) || s.ended(p, now)) {
		in.dealt = true
		if err := s.dealAnew(p, now); err != nil {
			return in, err
		}
	}
	return in, putJSON(tx, bucketPeople, []byte(p.User), p)
}

// ended tells that what the issuer has signed of a person is accepted no more, the
// grace included.
func (s *Server) ended(p *person, now time.Time) bool {
	c := s.trust.Charter()
	return now.Sub(p.Renewed) >= seconds(min(c.CertificateLifetime, c.ShareLifetime)+c.Grace)
}

// standing refuses keys that are revoked: those that ask, and those of the name
// that they ask for.
func (s *Server) standing(tx *bbolt.Tx, p *person, known bool, b wire.RegisterBody) error {
	var entry nodeEntry
	if _, err := getJSON(tx, bucketNodes, b.Node[:], &entry); err != nil {
		return err
	}
	account := b.Account
	if b.Further() {
		account = p.Account
	}
	if err := s.mayBe(account, b.Device, b.Node, entry.Owner); err != nil {
		return err
	}
	if known && s.node.Board().AccountRevoked(p.Account.Digest()) {
		return fmt.Errorf("%w: the name; its operator can give it another key: secp2psip recover", ErrRevoked)
	}
	return nil
}

// mayAsk keeps strangers from finding out which names there are: who asks
// brings the name's own key or an invitation to it, or anyone may enrol.
func (s *Server) mayAsk(tx *bbolt.Tx, aor identity.AOR, b wire.RegisterBody, owner bool) error {
	if owner {
		return nil
	}
	if len(b.Invitation) == 0 {
		if s.cfg.Open {
			return nil
		}
		return ErrNotOpen
	}
	inv, err := findInvitation(tx, b.Invitation)
	if err == nil && inv.User != aor.User() {
		err = ErrOtherName
	}
	return err
}

// has tells whether who asks is a device that was admitted before.
func (p *person) has(b wire.RegisterBody) bool {
	at := p.deviceOf(b.Node)
	return b.Further() && at >= 0 && p.Devices[at].Device == b.Device && !p.Devices[at].Pending
}

// deviceOf returns the index of the device with this node key, -1 if none.
func (p *person) deviceOf(node identity.PublicKey) int {
	return slices.IndexFunc(p.Devices, func(d device) bool { return d.NodeKey.Equal(node) })
}

// redeemFor uses up one device of an invitation to an enrolled name.
func redeemFor(tx *bbolt.Tx, aor identity.AOR, b wire.RegisterBody, now time.Time) error {
	if len(b.Invitation) == 0 {
		return ErrNotInvited
	}
	_, err := redeem(tx, b.Invitation, aor.User(), b.Node, now)
	return err
}

// authorise checks that the newcomer may have the name, and returns its
// number. byOpen tells that nobody has invited it.
func (s *Server) authorise(tx *bbolt.Tx, from netip.Addr, aor identity.AOR, b wire.RegisterBody, now time.Time) (number string, byOpen bool, err error) {
	user := aor.User()
	if slices.Contains(s.reserved, user) {
		return "", false, ErrReserved
	}
	if names := tx.Bucket(bucketPeople).Sequence(); names >= uint64(s.cfg.MaxNames) {
		return "", false, fmt.Errorf("%w: %d names are enrolled, the most this overlay takes; its operator can allow more", ErrQuota, names)
	}
	if err := s.numberFree(tx, user, user, now); err != nil {
		return "", false, fmt.Errorf("%w: it is somebody's number; choose another", ErrTaken)
	}
	if len(b.Invitation) == 0 {
		return "", true, s.countOpen(tx, from, b.Node)
	}
	inv, err := redeem(tx, b.Invitation, user, b.Node, now)
	if err != nil {
		return "", false, err
	}
	if inv.Number != "" && tx.Bucket(bucketPeople).Get([]byte(inv.Number)) != nil {
		return "", false, fmt.Errorf("%w: it is somebody's name; ask for another invitation", ErrNumberTaken)
	}
	if inv.Number != "" {
		err = s.numberFree(tx, inv.Number, user, now)
	}
	return inv.Number, false, err
}

// numberFree tells whether digits are nobody else's number, nor promised to
// somebody else by an invitation. Names and numbers are one name space.
func (s *Server) numberFree(tx *bbolt.Tx, digits, user string, now time.Time) error {
	if !isNumber(digits) {
		return nil
	}
	if holder := tx.Bucket(bucketNumbers).Get([]byte(digits)); holder != nil && string(holder) != user {
		return ErrNumberTaken
	}
	promised := false
	err := eachInvitation(tx, func(_ []byte, inv *invitation) {
		promised = promised || inv.Number == digits && inv.User != user && inv.open(now)
	})
	if err == nil && promised {
		err = fmt.Errorf("%w: it is promised to somebody by an invitation", ErrNumberTaken)
	}
	return err
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
	key := []byte(household(from))
	count := uint64(0)
	if v := tx.Bucket(bucketSources).Get(key); len(v) == 8 {
		count = binary.BigEndian.Uint64(v)
	}
	if count >= uint64(s.cfg.OpenPerSource) {
		return fmt.Errorf("%w: %d names came from %s; ask for an invitation", ErrQuota, count, key)
	}
	return tx.Bucket(bucketSources).Put(key, binary.BigEndian.AppendUint64(nil, count+1))
}

// household stands for all addresses that one host can choose from: an IPv6
// host has a whole /64.
func household(from netip.Addr) string {
	if from.Is6() && !from.IsLoopback() {
		if p, err := from.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return from.String()
}

// admitDevice finds the device by its node key or gives it one of the
// person's permanent slots. A further device stays pending until the first has
// agreed; nothing that is known of it changes before.
func (s *Server) admitDevice(tx *bbolt.Tx, in *intake, b wire.RegisterBody, byOpen bool, now time.Time) error {
	p := &in.person
	var entry nodeEntry
	known, err := getJSON(tx, bucketNodes, b.Node[:], &entry)
	if err != nil {
		return err
	}
	at := p.deviceOf(b.Node)
	if at < 0 {
		if most := int(s.trust.Charter().MaxDevices); len(p.Devices) >= most {
			return fmt.Errorf("%w (%d)", ErrTooManyDevices, most)
		}
		p.Devices = append(p.Devices, device{Slot: p.freeSlot(), NodeKey: b.Node, Admitted: now, Pending: true})
		at = len(p.Devices) - 1
	}
	d := &p.Devices[at]
	if !known {
		entry = nodeEntry{ID: drawNodeID(s.overlay.slotKey, p.Owner, d.Slot), Owner: p.Owner, Pending: true}
	}
	if byOpen {
		entry.Open++
	}
	d.Node = entry.ID
	if !b.Further() {
		entry.Pending = false
		d.take(b)
	}
	in.device, in.owner = *d, entry.Owner
	in.device.Device = b.Device
	return putJSON(tx, bucketNodes, b.Node[:], entry)
}

// take enters what an admitted device says of itself.
func (d *device) take(b wire.RegisterBody) {
	d.Pending, d.Device, d.Addrs = false, b.Device, nil
	for _, a := range b.Addrs {
		d.Addrs = append(d.Addrs, a.String())
	}
}

// freeSlot returns the lowest slot that no device has.
func (p *person) freeSlot() int {
	for slot := 0; ; slot++ {
		if !slices.Contains(p.Kept, slot) && !slices.ContainsFunc(p.Devices, func(d device) bool { return d.Slot == slot }) {
			return slot
		}
	}
}

// settle enters that a first device has agreed to a further one.
func (s *Server) settle(tx *bbolt.Tx, in intake, b wire.RegisterBody) error {
	p, at, entry, err := findDevice(tx, in, b)
	if err != nil {
		return err
	}
	if at < 0 || p.Devices[at].Slot != in.device.Slot || entry.ID != in.device.Node {
		return fmt.Errorf("%w: another attempt of this device was under way; try again", ErrFirstDevice)
	}
	p.Devices[at].take(b)
	entry.Pending = false
	if err := putJSON(tx, bucketNodes, b.Node[:], entry); err != nil {
		return err
	}
	return putJSON(tx, bucketPeople, []byte(p.User), p)
}

// withdraw gives back the place of a further device that was not agreed to,
// and its use of the invitation. It was given no certificate.
func (s *Server) withdraw(tx *bbolt.Tx, in intake, b wire.RegisterBody) error {
	p, at, entry, err := findDevice(tx, in, b)
	if err != nil || at < 0 || !p.Devices[at].Pending {
		return err // else admitted before, or by an attempt beside this one
	}
	p.Devices = slices.Delete(p.Devices, at, at+1)
	if entry.Pending { // its Node-ID goes to who gets the slot next
		if err := tx.Bucket(bucketNodes).Delete(b.Node[:]); err != nil {
			return err
		}
	}
	if err := giveBack(tx, b.Invitation, b.Node); err != nil {
		return err
	}
	return putJSON(tx, bucketPeople, []byte(p.User), p)
}

func findDevice(tx *bbolt.Tx, in intake, b wire.RegisterBody) (p person, at int, entry nodeEntry, err error) {
	if _, err = getJSON(tx, bucketPeople, []byte(in.person.User), &p); err != nil {
		return p, -1, entry, err
	}
	_, err = getJSON(tx, bucketNodes, b.Node[:], &entry)
	return p, p.deviceOf(b.Node), entry, err
}
