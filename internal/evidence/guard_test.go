package evidence_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// alone is a ring without others, a store without records, and a notary that
// knows nobody.
type alone struct{}

func (alone) Holders(identity.NodeID) []wire.Peer             { return nil }
func (alone) Peers() []wire.Peer                              { return nil }
func (alone) Held(identity.NodeID, uint64) record.Held        { return record.Held{Since: 1, Revision: 2} }
func (alone) Learn(*wire.Certificates)                        {}
func (alone) Certificates([]wire.CertHash) *wire.Certificates { return &wire.Certificates{} }
func (alone) Call(context.Context, wire.Peer, wire.Message) (wire.Message, error) {
	return nil, errors.New("nobody is there")
}

type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[reason]++
}

func (c *counts) of(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[reason]
}

// guard is one of a node called honest.
func (w *world) guard(t testing.TB, db *bbolt.DB, refused *counts) *evidence.Guard {
	t.Helper()
	key := must(identity.GenerateKey())(t)
	self := identity.HashID("honest")
	chain := [][]byte{w.certify(self, key.Public()), w.issuer.Certificate()}
	return must(evidence.New(evidence.Config{
		Self: self, Owner: identity.OwnerTag{9}, Key: key, Chain: func() [][]byte { return chain }, Trust: w.trust, Now: func() time.Time { return w.now },
		Ring: func() evidence.Ring { return alone{} }, Store: alone{}, Notary: alone{}, Transport: alone{}, DB: db, Refused: refused.add,
	}))(t)
}

func TestGuardKeepsAndForgives(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "state.db")
	refused := &counts{n: map[string]int{}}
	from := wire.Peer{ID: identity.HashID("somebody")}
	accuse := func(g *evidence.Guard, p *evidence.Proof) wire.Message {
		return g.Serve(t.Context(), from, &wire.Accuse{Proof: must(p.Encode())(t)})
	}
	db := must(bbolt.Open(file, 0o600, nil))(t)
	g := w.guard(t, db, refused)
	if _, ok := accuse(g, w.honest()["after a restart"]).(*wire.Error); !ok || g.Evicted(w.node) || refused.of(evidence.ReasonBadProof) != 1 {
		t.Error("an accusation that proves nothing is believed")
	}
	if _, ok := accuse(g, w.proofs()["keys"]).(*wire.Error); !ok {
		t.Error("a proof that names a person is taken from others")
	}
	for range 2 {
		if m := accuse(g, w.proofs()["statements"]); m.Type() != wire.TypeAck || !g.Evicted(w.node) {
			t.Errorf("a proof is not believed: %+v", m)
		}
	}
	claims := w.proofs()["keys"].Claims
	g.Issuer(claims[0], claims[1])
	if items := g.Items(); len(items) != 2 || refused.of(evidence.ReasonProven) != 2 {
		t.Errorf("%+v", items)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = must(bbolt.Open(file, 0o600, nil))(t)
	g = w.guard(t, db, refused)
	if len(g.Items()) != 2 || !g.Evicted(w.node) {
		t.Fatalf("after a restart: %+v", g.Items())
	}
	for _, it := range g.Items() {
		if err := g.Forgive(it.ID.String()); err != nil {
			t.Error(err)
		}
	}
	accuse(g, w.proofs()["statements"])
	if err := g.Forgive("00"); !errors.Is(err, evidence.ErrUnknown) || g.Evicted(w.node) {
		t.Error("what is forgiven is not forgotten:", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = must(bbolt.Open(file, 0o600, nil))(t)
	defer db.Close()
	if g = w.guard(t, db, refused); g.Evicted(w.node) || len(g.Items()) != 2 {
		t.Error("a restart takes back what was forgiven")
	}
}

// A proof that many members tell of is verified once: when it was bad, and some
// time has passed in which it might have become good, once more.
func TestGuardJudgesAProofOnce(t *testing.T) {
	w := newWorld(t)
	refused := &counts{n: map[string]int{}}
	g := w.guard(t, nil, refused)
	good, now := must(w.proofs()["statements"].Encode())(t), w.now
	tell := func(n int) (taken bool) {
		from := wire.Peer{ID: identity.HashID("member " + strconv.Itoa(n))}
		return g.Serve(t.Context(), from, &wire.Accuse{Proof: good}).Type() == wire.TypeAck
	}
	w.now = now.Add(-30 * time.Minute) // of the future
	if tell(0) {
		t.Fatal("a proof of the future is believed")
	}
	w.now = now
	if tell(1) {
		t.Error("a proof that was bad a moment ago was verified again")
	}
	fresh := w.guard(t, nil, refused)
	g = fresh
	if !tell(2) || !g.Evicted(w.node) {
		t.Fatal("a proof is not believed")
	}
	w.now = now.Add(-30 * time.Minute)
	if !tell(3) {
		t.Error("a proof that is kept was verified again")
	}
}

// One member cannot make a node check proofs, sign statements or call others
// without end.
func TestGuardIsBounded(t *testing.T) {
	w := newWorld(t)
	refused := &counts{n: map[string]int{}}
	g := w.guard(t, nil, refused)
	from := wire.Peer{ID: identity.HashID("somebody")}
	signed := 0
	for range 500 {
		if v, ok := g.Serve(t.Context(), from, &wire.Vouch{}).(*wire.Vouched); ok {
			s := must(wire.ReadStatement(overlayName, v.Statement))(t)
			if s.Since != 1 || s.Revision != 2 || s.Seq != 0 {
				t.Fatalf("%+v", s)
			}
			signed++
		}
		g.Serve(t.Context(), from, &wire.Accuse{Proof: []byte{0x80}})
	}
	if signed < 16 || signed > 40 || refused.of(evidence.ReasonPeekRate) < 400 || refused.of(evidence.ReasonFlood) < 400 {
		t.Errorf("%d signed, %v", signed, refused.n)
	}
	other := wire.Peer{ID: identity.HashID("another")}
	if e, ok := g.Serve(t.Context(), other, &wire.Peek{Holder: identity.HashID("a stranger")}).(*wire.Error); !ok || e.Code != wire.CodeNotFound {
		t.Error("a stranger is called")
	}
	if g.Serve(t.Context(), other, &wire.Ping{}) != nil {
		t.Error("a Ping is answered")
	}
}
