package simnet

import (
	"math/rand/v2"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Names in a still ring: the records of a few people lie at the two nodes that
// keep each position, as stores would have brought them there, and members
// resolve them. Signatures and resolutions are real, and each resolver checks
// every signature itself, as one does that has never met the name.

// kept is a record at one of its holders.
type kept struct {
	res  identity.NodeID
	part uint64
	rec  record.Record
}

// house enrols the people and puts their records where they belong.
func (s *Sim) house() error {
	s.shelves = make(map[int32][]kept)
	for _, i := range s.rng.Perm(len(s.nodes))[:s.cfg.Names] {
		n := s.nodes[i]
		if err := s.enrol(n); err != nil {
			return err
		}
		reg, err := s.of(n).registration(n)
		if err != nil {
			return err
		}
		n.person.registered = true
		s.named = append(s.named, n)
		for _, r := range append([]record.Record{reg}, n.person.records...) {
			if err := s.shelve(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// shelve puts a record at both holders of each of its positions. Every node has
// an owner of its own.
func (s *Sim) shelve(r record.Record) error {
	b, err := r.Body()
	if err != nil {
		return err
	}
	aor, err := identity.ParseAOR(b.AOR)
	if err != nil {
		return err
	}
	for _, pos := range record.PositionsOf(b, s.overlay.trust.Charter()) {
		at, _ := s.ring.search(pos)
		for k := range 2 {
			num := s.ring.nums[(at+k)%len(s.ring.nums)]
			s.shelves[num] = append(s.shelves[num], kept{record.Resource(aor, b.Kind), b.Part, r})
		}
	}
	return nil
}

// fetched answers a Fetch in a still ring.
func (s *shard) fetched(n *node, ask *wire.Fetch) wire.Message {
	answer := s.withheld(n).(*wire.Fetched)
	for _, k := range s.shelves[n.num] {
		if k.res == ask.Resource && (ask.Part == nil || *ask.Part == k.part) && len(answer.Records) < wire.MaxItems {
			answer.Records = append(answer.Records, k.rec)
		}
	}
	return answer
}

// resolveStill lets a member resolve one of the names.
func (s *Sim) resolveStill(n *node) {
	target := s.named[s.rng.IntN(len(s.named))]
	if n.person == nil {
		n.person = &person{rng: rand.New(rand.NewPCG(n.seed, 3))}
	}
	s.stats.pending++
	began, over, closed := s.now, false, false
	sh := s.of(n)
	set := sh.setting(n)
	if trust, err := identity.NewTrust(s.overlay.trust.RootCertificate(), s.overlay.trust.Charter()); err == nil {
		set.Trust = trust
	}
	r := directory.NewResolving(set, target.person.aor, directory.Known{NoPin: true})
	sh.begin(n, &inDirectory{errand: r, after: func(s *shard, _ *node) {
		if res, done, err := r.Result(); done && !over {
			over = true
			s.tell(n, func(s *Sim) { s.judgeName(target, res, err, began) })
		}
		if r.Ended() && !closed {
			closed = true
			s.stats.checks = append(s.stats.checks, int(set.Trust.Checked()))
		}
	}})
}

// stillHandshake is what a caller checks when a link is made: the other's node
// certificate, whose issuer it knows, and the handshake's own signature.
const stillHandshake = 2
