package evidence_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// circle is members whose places do not change, each with the store and the
// guard of a real one. It is their ring and their notary, too.
type circle struct {
	*world
	members []*member // by their IDs
	certs   map[wire.CertHash][]byte
}

// member is one of them, and the owner of ten share records.
type member struct {
	*circle
	self    wire.Peer
	key     identity.PrivateKey
	chain   [][]byte
	store   *record.Store
	guard   *evidence.Guard
	own     []record.Record
	victims map[identity.NodeID]bool // whom it withholds from; nil: it is honest
	way     int
	attacks atomic.Int64
}

// The ways to withhold: what a holder gives those whom it withholds from when
// they want it in writing.
const (
	signsDenial    = iota // a signed denial
	playsTwo              // a signed denial, as another process than it is to others
	signsNothing          // no answer
	waysToWithhold        // how many ways there are
)

// newCircle makes n members, whose records lie where they belong. Each looks
// every so often in the mean; 0 is the product's time.
func newCircle(t *testing.T, seed uint64, n int, every time.Duration) *circle {
	c := &circle{world: newWorld(t), certs: map[wire.CertHash][]byte{}}
	rng := rand.New(rand.NewPCG(seed, 0x6531))
	for i := range n {
		m := &member{circle: c, key: must(identity.GenerateKey())(t)}
		binary.BigEndian.PutUint64(m.self.ID[:], rng.Uint64())
		m.self.Owner = identity.OwnerTag{byte(i + 1)}
		cert := must(c.issuer.IssueNode(identity.NodeParams{
			Key: m.key.Public(), ID: m.self.ID, Overlay: overlayName, Owner: m.self.Owner, NotBefore: c.now.Add(-time.Hour), NotAfter: c.now.Add(24 * time.Hour),
		}))(t)
		m.chain = [][]byte{cert, c.issuer.Certificate()}
		c.certs[wire.HashCertificate(cert)] = cert
		m.store = must(record.OpenStore(record.StoreConfig{Trust: c.trust}))(t)
		m.guard = must(evidence.New(evidence.Config{
			Self: m.self.ID, Owner: m.self.Owner, Key: m.key, Chain: func() [][]byte { return m.chain }, Trust: c.trust, Now: time.Now,
			Ring: func() evidence.Ring { return m }, Store: m.store, Notary: c, Transport: m, Every: every, Seed: rng.Uint64() | 1, Log: zerolog.Nop(),
		}))(t)
		m.guard.Own(func() []record.Record { return m.own })
		c.members = append(c.members, m)
	}
	slices.SortFunc(c.members, func(a, b *member) int { return a.self.ID.Compare(b.self.ID) })
	for i, m := range c.members {
		c.share(m, string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	return c
}

// share signs the shares of a member's name and brings them to their holders.
func (c *circle) share(m *member, name string) {
	c.t.Helper()
	for x := range uint64(10) {
		data := must(canon.Marshal(record.Share{Version: 1, Dealing: 1, X: uint8(x + 1), Y: make([]byte, 32), K: 4, N: 10, Digest: m.key.Public().Digest(), Owner: m.self.Owner}))(c.t)
		b := record.Body{AOR: "sip:" + name + "@" + overlayName, Kind: record.KindShare, Part: x + 1, Seq: 1, Time: c.now.UnixMilli(), Lifetime: 86400, Data: data}
		r := must(record.Sign(b, c.issuer.Key(), record.Chain{Certificates: [][]byte{c.issuer.Certificate()}}))(c.t)
		m.own = append(m.own, r)
		for _, pos := range record.PositionsOf(b, c.trust.Charter()) {
			for _, h := range m.Holders(pos) {
				if o, _, err := c.of(h.ID).store.Put(r); err != nil {
					c.t.Fatal(o, err)
				}
			}
		}
	}
}

func (c *circle) of(id identity.NodeID) *member {
	i, ok := slices.BinarySearchFunc(c.members, id, func(m *member, id identity.NodeID) int { return m.self.ID.Compare(id) })
	if !ok {
		return nil
	}
	return c.members[i]
}

// Holders implements evidence.Ring: the responsible member and the next.
func (c *circle) Holders(pos identity.NodeID) []wire.Peer {
	i, _ := slices.BinarySearchFunc(c.members, pos, func(m *member, id identity.NodeID) int { return m.self.ID.Compare(id) })
	n := len(c.members)
	return []wire.Peer{c.members[i%n].self, c.members[(i+1)%n].self}
}

// Peers implements evidence.Ring.
func (m *member) Peers() (out []wire.Peer) {
	for _, o := range m.members {
		if o != m {
			out = append(out, o.self)
		}
	}
	return out
}

// Learn implements evidence.Notary: all certificates are known.
func (c *circle) Learn(*wire.Certificates) {}

// Certificates implements evidence.Notary.
func (c *circle) Certificates(hashes []wire.CertHash) *wire.Certificates {
	out := &wire.Certificates{Issuers: [][]byte{c.issuer.Certificate()}}
	for _, h := range hashes {
		if cert := c.certs[h]; cert != nil {
			out.Nodes = append(out.Nodes, cert)
		}
	}
	return out
}

// Call implements evidence.Transport: what another member answers, 20 ms later.
func (m *member) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return m.of(to.ID).serve(ctx, m.self, req), nil
}

// serve answers as a node does, or as one that withholds. Proofs do not spread
// here: who is found is found by an owner.
func (m *member) serve(ctx context.Context, from wire.Peer, req wire.Message) wire.Message {
	if _, proof := req.(*wire.Accuse); proof {
		return &wire.Ack{}
	}
	answer := m.guard.Serve(ctx, from, req)
	if fetch, ok := req.(*wire.Fetch); ok {
		if m.guard.Evicted(from.ID) {
			return wire.Errorf(wire.CodeForbidden, "evicted")
		}
		answer = &wire.Fetched{Records: m.store.Get(fetch.Resource, fetch.Part)}
	}
	if !m.victims[from.ID] {
		return answer
	}
	switch a := answer.(type) {
	case *wire.Fetched:
		m.attacks.Add(int64(len(a.Records)))
		a.Records = nil
	case *wire.Vouched:
		if _, vouch := req.(*wire.Vouch); vouch {
			return m.inWriting(a)
		}
	}
	return answer
}

// inWriting is what it signs for whom it withholds from.
func (m *member) inWriting(a *wire.Vouched) wire.Message {
	s, err := wire.ReadStatement(overlayName, a.Statement)
	if err != nil || s.Seq == 0 {
		return a
	}
	m.attacks.Add(1)
	if m.way == signsNothing {
		return wire.Errorf(wire.CodeUnsupported, "no")
	}
	s.Seq, s.Digest = 0, [wire.OfferDigest]byte{}
	if m.way == playsTwo {
		s.Run = [16]byte{0xbe, 0xef}
	}
	signed, err := wire.SignStatement(s, overlayName, m.key)
	if err != nil {
		return wire.Errorf(wire.CodeInternal, "cannot sign")
	}
	return &wire.Vouched{Outcome: a.Outcome, Statement: signed}
}

// hour lets some of the members withhold from half of the others for an hour,
// and returns how many of them somebody has found, how often they withheld and
// how many honest ones were taken for one.
func hour(t *testing.T, seed uint64, n, bad int, every time.Duration) (found int, attacks int64, wrong int) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircle(t, seed, n, every)
		for i := range bad {
			m := c.members[i*n/bad]
			m.victims, m.way = map[identity.NodeID]bool{}, i%waysToWithhold
			for k, o := range c.members {
				m.victims[o.self.ID] = o != m && (k+i)%2 == 0
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var work sync.WaitGroup
		for _, m := range c.members {
			work.Go(func() { _ = m.guard.Run(ctx) })
		}
		work.Wait()
		for _, m := range c.members {
			by := slices.ContainsFunc(c.members, func(o *member) bool {
				return o != m && (o.guard.Withheld()[m.self.ID] > 0 || o.guard.Evicted(m.self.ID))
			})
			switch attacks += m.attacks.Load(); {
			case by && m.victims == nil:
				wrong++
			case by:
				found++
			case m.victims != nil:
				t.Logf("seed %d: %s, way %d, withheld %d times and was not found", seed, m.self.ID.Short(), m.way, m.attacks.Load())
			}
		}
	})
	return found, attacks, wrong
}

// E1: of holders that withhold from half of the members, however they answer
// when they are to sign for it, nearly all are found by the owners of the
// records within the hour, and nobody else is; where owners do not look, none.
func TestMatrixE1NearlyAllWithholdersAreFound(t *testing.T) {
	const rings, nodes, bad, seed = 12, 24, 6, 1000
	found, wrong, attacks := 0, 0, int64(0)
	for i := range uint64(rings) {
		f, a, w := hour(t, seed+i, nodes, bad, 0)
		found, attacks, wrong = found+f, attacks+a, wrong+w
		if a == 0 {
			t.Errorf("seed %d: nothing was withheld", seed+i)
		}
	}
	t.Logf("matrix: E1 holders that withhold from half of the members, found within the hour: %d of %d in %d rings (seed %d), %d honest ones; %d lies", found, rings*bad, rings, seed, wrong, attacks)
	if float64(found) < 0.95*rings*bad || wrong > 0 {
		t.Errorf("%d of %d found, and %d honest members", found, rings*bad, wrong)
	}
	if blind, _, _ := hour(t, seed, nodes, bad, -1); blind > 0 {
		t.Errorf("%d found where nobody looks", blind)
	}
}
