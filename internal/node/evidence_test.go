package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A member that signs a contradiction is told of by one node to the others, and
// then has nothing of the ring from any of them; its owner's calls would go on.
func TestEvidenceAmongRealNodes(t *testing.T) {
	o := newOverlay(t)
	first := o.start("first", nil)
	second := o.start("second", nil, first)
	third := o.start("third", nil, first)
	var key identity.PrivateKey
	var chain [][]byte
	mallory := o.start("mallory", func(c *node.Config) { key, chain = c.Key, c.Chain }, first)
	if _, err := mallory.Link().Call(limited(t), second.Self(), &wire.GetState{}); err != nil {
		t.Fatalf("before: %v", err)
	}
	answer := must(first.Link().Call(limited(t), mallory.Self(), &wire.Vouch{Resource: identity.HashID("r"), Part: 1}))(t)
	honest := answer.(*wire.Vouched).Statement
	s := must(wire.OpenStatement("lan.example", honest, key.Public()))(t)
	s.Seq, s.Time = 77, time.Now().UnixMilli() // what it says to others
	lie := must(wire.SignStatement(s, "lan.example", key))(t)
	proof := &evidence.Proof{Kind: evidence.KindStatements, Node: chain[0], Issuer: chain[1], Statements: [][]byte{honest, lie}}
	if _, err := third.Link().Call(limited(t), first.Self(), &wire.Accuse{Proof: must(proof.Encode())(t)}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{first, second, third} {
		eventually(t, p.name+" believes the proof", func() bool { return p.Guard().Evicted(mallory.ID()) })
		_, err := mallory.Link().Call(limited(t), p.Self(), &wire.GetState{})
		if refused, ok := errors.AsType[*link.RemoteError](err); !ok || refused.Code != wire.CodeForbidden {
			t.Errorf("%s answers it: %v", p.name, err)
		}
		r := must(p.Evidence(t.Context(), admin.EvidenceRequest{}))(t)
		if len(r.Items) != 1 || r.Items[0].Node != mallory.ID() || r.Items[0].Until.IsZero() || len(r.Items[0].Proof) > 0 {
			t.Fatalf("%+v", r)
		}
		one := must(p.Evidence(t.Context(), admin.EvidenceRequest{ID: r.Items[0].ID}))(t)
		if checked, err := second.Evidence(t.Context(), admin.EvidenceRequest{Check: one.Items[0].Proof}); err != nil || checked.Items[0].Node != mallory.ID() {
			t.Errorf("%+v, %v", checked, err)
		}
	}
	eventually(t, "the accused is told", func() bool { return len(mallory.Alarms()) > 0 })
	if _, err := first.Evidence(t.Context(), admin.EvidenceRequest{ID: first.Guard().Items()[0].ID.String(), Forgive: true}); err != nil || first.Guard().Evicted(mallory.ID()) {
		t.Errorf("not forgiven: %v", err)
	}
	if _, err := first.Evidence(t.Context(), admin.EvidenceRequest{ID: "0000000000000000"}); err == nil {
		t.Error("evidence that does not exist")
	}
}
