package adapter_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// contradicts lets a rogue sign two things that cannot both be true, one of
// them asked for by a member, and returns the proof.
func (r *rogue) contradicts(t *testing.T, asked *node.Node) []byte {
	t.Helper()
	answer, err := asked.Link().Call(limited(), r.node.Self(), &wire.Vouch{Resource: identity.HashID("r"), Part: 1})
	if err != nil {
		t.Fatal(err)
	}
	honest := answer.(*wire.Vouched).Statement
	s, err := wire.OpenStatement(testnet.Overlay, honest, r.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.Seq = 77
	lie, err := wire.SignStatement(s, testnet.Overlay, r.key)
	if err != nil {
		t.Fatal(err)
	}
	p := &evidence.Proof{Kind: evidence.KindStatements, Node: r.papers[0], Issuer: r.papers[1], Statements: [][]byte{honest, lie}}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMatrixE2RevokedOnProof: a member that contradicts itself is put out of the
// ring by everybody, and with the proof that reached the bootstrap server its
// operator withdraws it: nobody serves it any more, whatever it asks for. The
// name stays, and no innocent is withdrawn.
func TestMatrixE2RevokedOnProof(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	a.Phone(toneA)
	b.Phone(toneB)
	mallory := newRogue(t, l, "mallory")
	own := mallory.registration(t)
	server := l.Server.It
	proof := mallory.contradicts(t, a.It.Node())
	began := time.Now()
	if _, err := a.It.Node().Link().Call(limited(), b.It.Node().Self(), &wire.Accuse{Proof: proof}); err != nil {
		t.Fatal(err)
	}
	there := []*node.Node{server.Node(), a.It.Node(), b.It.Node()}
	testnet.Eventually(t, "everybody has put mallory out of the ring", func() bool {
		return !slices.ContainsFunc(there, func(n *node.Node) bool { return !n.Guard().Evicted(mallory.node.ID()) })
	})
	evicted := time.Since(began)
	if status, _ := mallory.ask(mallory.to(b), mallory.sign(mallory.body(mallory.to(b), "bob"))); status != 302 {
		t.Fatalf("out of the ring, not yet revoked: mallory's INVITE is answered %d", status)
	}

	if _, _, err := server.RevokeProven("0011223344556677", ""); !errors.Is(err, bootstrap.ErrNoProof) {
		t.Errorf("on evidence that there is not: %v", err)
	}
	id := server.Node().Guard().Items()[0].ID.String()
	done, names, err := server.RevokeProven(id, "contradicts itself")
	if err != nil || done.Nodes != 1 || !slices.Equal(names, []string{"mallory"}) {
		t.Fatalf("%+v, %v, %v", done, names, err)
	}
	testnet.Eventually(t, "nobody has anything of mallory", func() bool {
		return !slices.ContainsFunc(there, func(n *node.Node) bool { return knows(n, mallory.node.ID(), mallory.aor()) == "a link" })
	})
	attempts, served := 0, 0
	for n, callee := range map[*node.Node]string{server.Node(): "alice", a.It.Node(): "alice", b.It.Node(): "bob"} {
		tried, got := mallory.goesOn(n, callee, own)
		attempts, served = attempts+tried, served+got
	}
	if _, _, err := server.RevokeProven(id, ""); !errors.Is(err, bootstrap.ErrRevokedNode) {
		t.Errorf("twice: %v", err)
	}
	if out := a.Lookup("bob").Outcome; out != "verified" {
		t.Errorf("bob, who did nothing, is %s", out)
	}
	t.Logf("matrix: E2 a member revoked on proof: evicted by %d of %d after %v, and after the operator's word served %d of %d times", len(there), len(there), evicted.Round(time.Millisecond), served, attempts)
}
