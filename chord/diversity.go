package chord

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// What one person and one network may take of a table, so that who has many
// identities does not fill it. Geth bounds its table likewise by /24 (p2p/discover,
// tableIPLimit, which leaves local networks out), libp2p's Kademlia by groups of
// addresses.
//
// Neighbours, and who may become one, are always taken: the ring rests on them.
// They count all the same.
// Of more than may be there, those stay whose IDs rank first read from the end, so
// that all tables keep the same ones, and these lie all round the ring.
const (
	MaxOfOwner   = 3  // members of one person
	networkLeast = 3  // members of one network, however small the table
	networkShare = 16 // and one of so many entries
	prefixIPv4   = 24
	prefixIPv6   = 48
)

// diversity counts the usable members of a table by network and by owner.
type diversity struct {
	off    bool
	late   bool // the table was filled at once, and nobody has counted yet
	exempt []netip.Prefix
	nets   map[netip.Prefix]int
	owners []uint8 // by the owner's hash: at least as many as there are, and mostly just as many
	count  int
}

// cgnat is what providers give to those behind their translators (RFC 6598 §7).
var cgnat = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)

// network returns the network of an address, as far as it is bounded: private
// ones and those that are exempt are not.
func (d *diversity) network(a netip.Addr) (netip.Prefix, bool) {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || cgnat.Contains(a) {
		return netip.Prefix{}, false
	}
	for _, p := range d.exempt {
		if p.Contains(a) {
			return netip.Prefix{}, false
		}
	}
	bits := prefixIPv6
	if a.Is4() {
		bits = prefixIPv4
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// networks calls do with each network that a member names an address in.
func (d *diversity) networks(who *Member, do func(netip.Prefix)) {
	if d.off {
		return
	}
	var before [8]netip.Prefix
	seen := before[:0]
	for _, a := range who.Addrs {
		if p, ok := d.network(a.Addr()); ok && !slices.Contains(seen, p) {
			seen = append(seen, p)
			do(p)
		}
	}
}

// has reports whether a member names an address in a network.
func (d *diversity) has(who *Member, net netip.Prefix) (has bool) {
	d.networks(who, func(p netip.Prefix) { has = has || p == net })
	return has
}

// bucket is where an owner is counted.
func (d *diversity) bucket(owner identity.OwnerTag) *uint8 {
	h := binary.BigEndian.Uint64(owner[:]) * 0x9e3779b97f4a7c15
	return &d.owners[h>>32&uint64(len(d.owners)-1)]
}

// counted notes that a member is usable, or is not any more.
func (t *table) counted(who *Member, by int) {
	d := &t.diversity
	if d.off {
		return
	}
	t.countAll()
	d.countNetworks(who, by)
	if d.count += by; 2*d.count > len(d.owners) {
		t.recount()
	}
	if b := d.bucket(who.Owner); by > 0 && *b < 255 || by < 0 && *b > 0 && *b < 255 { // one that is full stays so
		*b += uint8(by)
	}
}

func (d *diversity) countNetworks(who *Member, by int) {
	d.networks(who, func(p netip.Prefix) {
		if d.nets == nil {
			d.nets = make(map[netip.Prefix]int)
		}
		if d.nets[p] += by; d.nets[p] <= 0 {
			delete(d.nets, p)
		}
	})
}

// countAll counts what fill has put there.
func (t *table) countAll() {
	d := &t.diversity
	if !d.late {
		return
	}
	d.late, d.count = false, t.order.len()
	t.recount()
	for _, s := range t.order.slots {
		for i := range s.chunk.n {
			d.countNetworks(s.chunk.c[i].who, 1)
		}
	}
}

// recount makes room for the owners of a table that has grown.
func (t *table) recount() {
	d := &t.diversity
	size := max(64, len(d.owners))
	for size < 4*d.count {
		size *= 2
	}
	d.owners = make([]uint8, size)
	for _, s := range t.order.slots {
		for i := range s.chunk.n {
			if b := d.bucket(s.chunk.c[i].who.Owner); *b < 255 {
				*b++
			}
		}
	}
}

// put makes a contact usable; take makes it unusable and reports whether it was.
func (t *table) put(c contact) {
	t.counted(c.who, 1)
	t.order.insert(c)
	t.came(&c)
	t.version++
}

func (t *table) take(id ID) bool {
	c := t.order.find(id)
	if c == nil {
		return false
	}
	t.counted(c.who, -1)
	t.order.remove(id)
	t.went(id)
	t.version++
	return true
}

// fits reports whether one more usable member may be there. One that ranks after
// it goes where its person or its network has its places already.
func (t *table) fits(c *contact) bool {
	d := &t.diversity
	if d.off || t.pinned(c.id()) || t.near(c.id()) {
		return true
	}
	t.countAll()
	if len(d.owners) > 0 && *d.bucket(c.who.Owner) >= MaxOfOwner {
		same := func(who *Member) bool { return who.Owner == c.who.Owner }
		if !t.displace(c, MaxOfOwner, same) {
			t.refuse(RefusedOwnerFull)
			return false
		}
	}
	ok := true
	d.networks(c.who, func(p netip.Prefix) {
		if most := t.networkMost(); ok && d.nets[p] >= most {
			ok = t.displace(c, most, func(who *Member) bool { return d.has(who, p) })
		}
	})
	if !ok {
		t.refuse(RefusedNetworkFull)
	}
	return ok
}

// networkMost is how many members of one network may be there.
func (t *table) networkMost() int { return max(networkLeast, t.order.len()/networkShare) }

// displace makes room for c among the like of it, of whom at most so many may be
// there.
func (t *table) displace(c *contact, most int, like func(*Member) bool) bool {
	count, last := t.like(like)
	if count < most {
		return true
	}
	if last == nil || !ranksBefore(c.id(), last.id()) {
		return false
	}
	t.remove(last.id())
	return true
}

// like counts the usable members that are like something, and returns the last in
// rank of those that need not stay.
func (t *table) like(like func(*Member) bool) (count int, last *contact) {
	for _, s := range t.order.slots {
		for i := range s.chunk.n {
			c := &s.chunk.c[i]
			if !like(c.who) {
				continue
			}
			count++
			if (last == nil || ranksBefore(last.id(), c.id())) && !t.pinned(c.id()) && !t.near(c.id()) {
				last = c
			}
		}
	}
	return count, last
}

// trim drops what a table that has shrunk has too much of.
func (t *table) trim() {
	for net, n := range t.diversity.nets {
		for most := t.networkMost(); n > most; n-- {
			_, last := t.like(func(who *Member) bool { return t.diversity.has(who, net) })
			if last == nil {
				break
			}
			t.remove(last.id())
		}
	}
}

// ofOwner counts the usable members of a person other than the one named.
func (t *table) ofOwner(owner identity.OwnerTag, but ID) int {
	if len(t.diversity.owners) == 0 || *t.diversity.bucket(owner) == 0 {
		return 0
	}
	count, _ := t.like(func(who *Member) bool { return who.Owner == owner && who.ID != but })
	return count
}

// nearby reports whether a member may be a neighbour of this node, now or soon.
func (m *Machine) nearby(id ID) bool {
	n := m.ring.Succ.Len()
	return m.phase == PhaseJoined && (n == 0 || m.ring.Small() || between(m.ring.Pred, id, m.ring.Self) || between(m.ring.Self, id, m.ring.Succ.At(n-1)))
}

// ranksBefore compares IDs from their ends: issuers draw them, so it is an order
// that nobody has chosen and that has nothing to do with places.
func ranksBefore(a, b ID) bool {
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}
