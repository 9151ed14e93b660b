package node

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// How a node learns at which addresses others see it: it asks the nodes that it
// is connected to by STUN (RFC 8489), from its own port. What two observers at
// different addresses see tells how the address translator before it works
// (RFC 4787 §4.1, RFC 5780 §4.3).
const (
	observers    = 4 // asked in one round
	observeEvery = 30 * time.Second
	observeSoon  = 3 * time.Second // while too few have answered
	observeTime  = 2 * time.Second // for one round
)

// Mapping is how the address translator before a node chooses the port that
// others see (RFC 4787 §4.1).
type Mapping string

// The kinds of mapping.
const (
	MappingUnknown     Mapping = "unknown"                    // too few observers
	MappingNone        Mapping = "none"                       // others see the host's own address
	MappingIndependent Mapping = "endpoint-independent"       // everybody sees the same address
	MappingAddress     Mapping = "address-dependent"          // each host sees another one
	MappingSymmetric   Mapping = "address-and-port-dependent" // each port of each host sees another one
	MappingDependent   Mapping = "dependent"                  // one of the two before: no observer has two ports
)

// Sighting is the address that one observer sees.
type Sighting struct {
	Observer netip.AddrPort
	Owner    identity.OwnerTag
	Seen     netip.AddrPort
}

// Reflection is what STUN has shown.
type Reflection struct {
	At        time.Time // overlay time; zero before the first round
	Mapping   Mapping
	Sightings []Sighting
	Silent    bool // nobody has answered in the last round: what stands here is older
	// Verified are addresses that observers of two owners have seen, and that
	// are none of the host's own.
	Verified []netip.AddrPort
}

// reflect tells what sightings mean for a node with these own addresses.
func reflect(own []netip.AddrPort, seen []Sighting) Reflection {
	r := Reflection{Mapping: MappingUnknown, Sightings: seen}
	var foreign []Sighting
	for _, s := range seen {
		if !slices.Contains(own, s.Seen) {
			foreign = append(foreign, s)
		}
	}
	if len(foreign) == 0 {
		if len(seen) > 0 {
			r.Mapping = MappingNone
		}
		return r
	}
	// differ and agree: of observers at two hosts; ports*: at two ports of one.
	var differ, agree, portsDiffer, portsAgree bool
	for i, s := range foreign {
		for _, other := range foreign[:i] {
			same := s.Seen == other.Seen
			if same && s.Owner != other.Owner && !slices.Contains(r.Verified, s.Seen) {
				r.Verified = append(r.Verified, s.Seen)
			}
			switch {
			case s.Seen.Addr().Is4() != other.Seen.Addr().Is4():
			case s.Observer.Addr() != other.Observer.Addr():
				differ, agree = differ || !same, agree || same
			default:
				portsDiffer, portsAgree = portsDiffer || !same, portsAgree || same
			}
		}
	}
	switch {
	case portsDiffer:
		r.Mapping = MappingSymmetric
	case differ && portsAgree:
		r.Mapping = MappingAddress
	case differ:
		r.Mapping = MappingDependent
	case agree:
		r.Mapping = MappingIndependent
	}
	return r
}

// reflection keeps the last Reflection.
type reflection struct {
	mu   sync.Mutex
	last Reflection
	wake chan struct{} // has a token when it is to be found out anew
}

func newReflectionKeeper() *reflection { return &reflection{wake: make(chan struct{}, 1)} }

func (r *reflection) get() Reflection {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *reflection) set(now Reflection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = now
}

// again has it found out anew soon.
func (r *reflection) again() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Reflection returns what STUN has shown last.
func (n *Node) Reflection() Reflection { return n.reflected.get() }

// keepObserved asks how others see this node, until ctx ends.
func (n *Node) keepObserved(ctx context.Context) {
	for {
		n.observe(ctx)
		wait := observeEvery
		if n.Reflection().Mapping == MappingUnknown {
			wait = observeSoon
		}
		select {
		case <-n.reflected.wake:
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// observe does one round.
func (n *Node) observe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, observeTime)
	defer cancel()
	asked := n.observersNow()
	seen := make([]Sighting, len(asked))
	var work sync.WaitGroup
	for i, o := range asked {
		work.Go(func() {
			if a, err := n.link.STUN(ctx, o.Observer); err == nil {
				o.Seen = a
				seen[i] = o
			}
		})
	}
	work.Wait()
	seen = slices.DeleteFunc(seen, func(s Sighting) bool { return !s.Seen.IsValid() })
	r := reflect(AdvertisedAddrs(n.link.Addr(), nil, netip.Addr{}), seen)
	if before := n.Reflection(); len(seen) < 2 && !slices.ContainsFunc(seen, func(s Sighting) bool { return !slices.Contains(before.Verified, s.Seen) }) {
		r.Mapping, r.Sightings, r.Verified = before.Mapping, before.Sightings, before.Verified // it tells nothing else
	}
	r.Silent, r.At = len(seen) == 0, n.time.Now()
	n.reflected.set(r)
	n.refreshAddrs()
}

// observersNow chooses connected nodes to be asked: at different addresses where
// there are, and then a second port of one of them.
func (n *Node) observersNow() (out []Sighting) {
	peers := n.link.Peers()
	hosts := map[netip.Addr]int{}
	for most := 1; most <= 2; most++ {
		for _, p := range peers {
			at := p.Addr
			if !at.IsValid() || p.Via != (identity.NodeID{}) || p.Owner == n.owner || len(out) >= observers || hosts[at.Addr()] >= most {
				continue
			}
			if slices.ContainsFunc(out, func(s Sighting) bool { return s.Observer == at }) {
				continue
			}
			hosts[at.Addr()]++
			out = append(out, Sighting{Observer: at, Owner: p.Owner})
		}
	}
	return out
}

// advertised are the addresses at which others may find this node: those that
// are configured; else the host's own, the one that the router maps, when others
// have called this node there, and those that two other people's nodes have seen.
func (n *Node) advertised() []netip.AddrPort {
	addrs := AdvertisedAddrs(n.link.Addr(), n.cfg.Advertise, netip.Addr{})
	if len(n.cfg.Advertise) > 0 {
		return addrs
	}
	for _, a := range append([]netip.AddrPort{n.mapped.address()}, n.Reflection().Verified...) {
		if a.IsValid() && !slices.Contains(addrs, a) {
			// Next to the first, for a descriptor has room for few.
			addrs = slices.Insert(slices.Clone(addrs), min(1, len(addrs)), a)
		}
	}
	return limit(addrs)
}

// meetingPlaces are all addresses at which this node may be reached when both
// sides try at the same time.
func (n *Node) meetingPlaces() []netip.AddrPort {
	addrs := n.advertised()
	for _, s := range n.Reflection().Sightings {
		if !slices.Contains(addrs, s.Seen) && len(addrs) < wire.MaxCandidates {
			addrs = append(addrs, s.Seen)
		}
	}
	return addrs[:min(len(addrs), wire.MaxCandidates)]
}
