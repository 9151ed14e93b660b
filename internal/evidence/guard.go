package evidence

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Transport calls another node. An Error that it answers is an answer.
type Transport interface {
	Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error)
}

// Ring is what a Guard has to know of the ring.
type Ring interface {
	// Holders returns who should keep what lies at a position, as far as this
	// node can tell; it may name itself.
	Holders(pos identity.NodeID) []wire.Peer
	// Peers returns the known members, this node left out.
	Peers() []wire.Peer
}

// Store is what this node holds for others.
type Store interface {
	Held(res identity.NodeID, part uint64) record.Held
}

// Notary knows the certificates of members.
type Notary interface {
	Learn(c *wire.Certificates)
	Certificates(hashes []wire.CertHash) *wire.Certificates
}

// Config of a Guard. What is not called optional is required.
type Config struct {
	Self      identity.NodeID
	Owner     identity.OwnerTag
	Key       identity.PrivateKey // the node key
	Chain     func() [][]byte     // node certificate and issuer certificate, DER
	Trust     *identity.Trust
	Now       func() time.Time // overlay time
	Ring      func() Ring      // nil while there is none
	Store     Store
	Notary    Notary
	Transport Transport
	DB        *bbolt.DB                // optional: nil keeps proofs in memory
	Every     time.Duration            // mean time between two looks; 0 = 5 minutes, below 0 = never
	Seed      uint64                   // 0 = random
	Evicted   func(id identity.NodeID) // optional: called when a member has been evicted
	Log       zerolog.Logger
	Refused   func(reason string) // optional
}

const (
	lookEvery = 5 * time.Minute  // mean time between two looks of one owner
	lookTime  = 20 * time.Second // one look
	runFor    = time.Minute      // one run of statements
)

// Guard watches over one node's records and the members that it meets. Safe for
// concurrent use.
type Guard struct {
	cfg Config

	mu        sync.Mutex
	rng       *rand.Rand
	items     map[ID]*Item
	run       [16]byte
	runSince  time.Time // monotonic; zero before the first run
	asks      map[identity.NodeID]*allowance
	collided  map[identity.NodeID][]wire.Descriptor // pairs, by rising sequence
	withheld  map[identity.NodeID]int               // own records that a holder withheld from others
	confirmed map[place]time.Time                   // when others were last given a record
	own       func() []record.Record

	judgements map[[sha256.Size]byte]judgement // of proofs that others told of, by digest

	spread     chan *Item
	collisions chan [2]wire.Descriptor
}

type place struct {
	pos  identity.NodeID
	part uint64
}

// New returns a Guard that has read its proofs. Nothing runs yet.
func New(cfg Config) (*Guard, error) {
	if cfg.Chain == nil || cfg.Trust == nil || cfg.Now == nil || cfg.Ring == nil || cfg.Store == nil || cfg.Notary == nil || cfg.Transport == nil {
		return nil, errors.New("evidence: a Guard needs chain, trust, time, ring, store, notary and transport")
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	if cfg.Evicted == nil {
		cfg.Evicted = func(identity.NodeID) {}
	}
	if cfg.Every == 0 {
		cfg.Every = lookEvery
	}
	var seed [32]byte // of looks that nobody can foresee
	if cfg.Seed == 0 {
		crand.Read(seed[:])
	} else {
		binary.BigEndian.PutUint64(seed[:], cfg.Seed)
	}
	g := &Guard{
		cfg: cfg, rng: rand.New(rand.NewChaCha8(seed)), // #nosec G404 -- a strong generator, seeded by crypto/rand
		items: map[ID]*Item{}, asks: map[identity.NodeID]*allowance{}, collided: map[identity.NodeID][]wire.Descriptor{},
		withheld: map[identity.NodeID]int{}, confirmed: map[place]time.Time{}, judgements: map[[sha256.Size]byte]judgement{},
		own: func() []record.Record { return nil }, spread: make(chan *Item, maxProofs),
		collisions: make(chan [2]wire.Descriptor, maxCollided),
	}
	return g, g.load()
}

// Own says which records the owners at this node look after.
func (g *Guard) Own(records func() []record.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own = records
}

// Run looks at own records now and then and passes proofs on, until ctx ends.
// It returns when every goroutine that it started has ended.
func (g *Guard) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { g.passOn(ctx) })
	timer := time.NewTimer(g.next())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case pair := <-g.collisions:
			g.examine(&pair[0], &pair[1])
		case <-timer.C:
			if g.cfg.Every > 0 {
				g.look(ctx)
			}
			timer.Reset(g.next())
		}
	}
}

// next draws the time to the next look: they come as a Poisson process does, so
// that nobody can tell when one is due.
func (g *Guard) next() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cfg.Every < 0 {
		return time.Hour
	}
	return min(time.Duration(g.rng.ExpFloat64()*float64(g.cfg.Every)), 20*g.cfg.Every)
}

// Evicted reports whether a member has been caught.
func (g *Guard) Evicted(id identity.NodeID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.items) == 0 {
		return false
	}
	now := g.cfg.Now()
	for _, kind := range []Kind{KindStatements, KindRuns, KindDescriptors} {
		f := Finding{Kind: kind, Node: id}
		if it := g.items[f.Key()]; it != nil && now.Before(it.Until) {
			return true
		}
	}
	return false
}

// Withheld returns how often each holder withheld an own record from somebody
// else, proved or not.
func (g *Guard) Withheld() map[identity.NodeID]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[identity.NodeID]int, len(g.withheld))
	for id, n := range g.withheld {
		out[id] = n
	}
	return out
}

// statement signs what this node holds in a slot.
func (g *Guard) statement(res identity.NodeID, part uint64, nonce [32]byte) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock() // so that a statement's run and revision rise together
	if now := time.Now(); g.runSince.IsZero() || now.Sub(g.runSince) > runFor {
		g.runSince = now
		crand.Read(g.run[:])
	}
	held := g.cfg.Store.Held(res, part)
	s := wire.Statement{
		Node: g.cfg.Self, Certificate: wire.HashCertificate(g.cfg.Chain()[0]), Run: g.run, Since: held.Since, Revision: held.Revision,
		Resource: res, Part: part, Seq: held.Seq, Time: g.cfg.Now().UnixMilli(), Nonce: nonce,
	}
	if held.Record != nil {
		s.Digest = digestOf(held.Record)
	}
	return wire.SignStatement(s, g.cfg.Trust.Overlay(), g.cfg.Key)
}

// accept verifies a proof, keeps it and has it passed on, unless as much was
// known. It returns what the proof goes by.
func (g *Guard) accept(p *Proof, own bool) (ID, error) {
	f, err := p.Verify(g.cfg.Trust, g.cfg.Now())
	if err != nil {
		return ID{}, err
	}
	encoded, err := p.Encode()
	if err != nil {
		return ID{}, err
	}
	it := g.keep(f, encoded, own)
	if it == nil {
		return f.Key(), nil
	}
	if f.Node == g.cfg.Self {
		g.cfg.Refused(ReasonOwnAccused)
		g.cfg.Log.Error().Str("kind", f.Kind.String()).Msg("others can prove that this node contradicts itself: does it run twice, from a copied state folder?")
		return it.ID, nil
	}
	g.cfg.Refused(ReasonProven)
	g.cfg.Log.Warn().Str("kind", f.Kind.String()).Stringer("node", f.Node).Str("owner", f.Owner.String()).Bool("own", own).Msg("a proof of misbehaviour; secp2psip evidence shows it")
	if f.Node != (identity.NodeID{}) {
		if ring := g.cfg.Ring(); ring != nil {
			peers := ring.Peers()
			if i := slices.IndexFunc(peers, func(p wire.Peer) bool { return p.ID == f.Node }); i >= 0 {
				it.culprit = peers[i] // before the ring forgets it
			}
		}
		g.cfg.Evicted(f.Node)
		select {
		case g.spread <- it:
		default: // there cannot be more than fit
		}
	}
	return it.ID, nil
}

// Collision takes in two verified descriptors of one node with one sequence
// number. It never waits.
func (g *Guard) Collision(a, b *wire.Descriptor) {
	select {
	case g.collisions <- [2]wire.Descriptor{*a, *b}:
	default: // there will be more of them
	}
}

func (g *Guard) examine(a, b *wire.Descriptor) {
	if a.ID == g.cfg.Self || !Differ(a, b) {
		return
	}
	proof := g.collide(a, b)
	if proof == nil {
		return
	}
	certs := g.cfg.Notary.Certificates([]wire.CertHash{a.Certificate})
	if len(certs.Nodes) != 1 || len(certs.Issuers) != 1 {
		return
	}
	proof.Node, proof.Issuer = certs.Nodes[0], certs.Issuers[0]
	if _, err := g.accept(proof, true); err != nil {
		g.cfg.Log.Debug().Err(err).Msg("descriptors that collide are no proof")
	}
}

// maxCollided bounds how many nodes' collisions are remembered.
const maxCollided = 64

// collide notes a pair and returns the proof when there are enough.
func (g *Guard) collide(a, b *wire.Descriptor) *Proof {
	g.mu.Lock()
	defer g.mu.Unlock()
	pairs := g.collided[a.ID]
	if n := len(pairs); n > 0 && pairs[n-1].Seq >= a.Seq {
		return nil // of that number, or a later one, a pair is known
	}
	if len(pairs) == 0 && len(g.collided) >= maxCollided {
		for id := range g.collided {
			delete(g.collided, id)
			break
		}
	}
	pairs = append(pairs, *a, *b)
	for len(pairs) > 2*strikes || len(pairs) > 0 && a.Seq-pairs[0].Seq > strikeSpan.Milliseconds() {
		pairs = pairs[2:]
	}
	g.collided[a.ID] = pairs
	if len(pairs) < 2*strikes {
		return nil
	}
	return &Proof{Kind: KindDescriptors, Descriptors: append([]wire.Descriptor(nil), pairs...)}
}

// Issuer takes in two claims of issuers for one name that contradict each other.
func (g *Guard) Issuer(a, b Claim) {
	p := &Proof{Kind: KindKeys, Issuer: g.cfg.Chain()[1], Claims: []Claim{a, b}}
	if _, err := g.accept(p, true); err != nil {
		g.cfg.Log.Debug().Err(err).Msg("claims that contradict each other are no proof")
	}
}

// Check says what an exported proof proves.
func (g *Guard) Check(encoded []byte) (*Finding, error) {
	p, err := Decode(encoded)
	if err != nil {
		return nil, err
	}
	return p.Verify(g.cfg.Trust, g.cfg.Now())
}
