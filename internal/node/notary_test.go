package node_test

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A descriptor counts once the certificate that it names is known and leads to
// the overlay's root, and only as its node has signed it.
func TestNotary(t *testing.T) {
	o, elsewhere := newOverlay(t), newOverlay(t)
	refused := 0
	open := func(o *overlay, name string) *node.Notary {
		key, chain := o.member(name)
		return must(node.NewNotary(o.trust, key, chain, func(string) { refused++ }))(t)
	}
	alice, bob, mallory := open(o, "alice"), open(o, "bob"), open(elsewhere, "alice")
	life := wire.Descriptor{ID: identity.HashID("alice"), Seq: time.Now().UnixMilli(), Lifetime: 600}
	d := must(alice.SignDescriptor(life))(t)
	if who, v := alice.Verify(&d); v != chord.VerdictValid || who.ID != d.ID || who.Owner.IsZero() {
		t.Fatalf("her own: %v %v", who, v)
	}
	if _, v := bob.Verify(&d); v != chord.VerdictUnknown {
		t.Fatalf("before her certificate is known: %v", v)
	}
	certs := alice.Certificates([]wire.CertHash{d.Certificate, {1}})
	if len(certs.Nodes) != 1 || len(certs.Issuers) != 1 {
		t.Fatalf("%d certificates of %d issuers", len(certs.Nodes), len(certs.Issuers))
	}
	bob.Learn(certs)
	who, v := bob.Verify(&d)
	if again, _ := bob.Verify(&d); v != chord.VerdictValid || again != who {
		t.Fatalf("with her certificate: %v", v)
	}
	forged := d
	forged.Seq++
	if _, v := bob.Verify(&forged); v != chord.VerdictForged {
		t.Errorf("a changed one: %v", v)
	}
	if posed := must(bob.SignDescriptor(life))(t); posed.ID == d.ID {
		if _, v := bob.Verify(&posed); v != chord.VerdictForged {
			t.Errorf("one that names another's ID: %v", v)
		}
	}
	other := must(mallory.SignDescriptor(life))(t)
	bob.Learn(mallory.Certificates([]wire.CertHash{other.Certificate}))
	if _, v := bob.Verify(&other); v != chord.VerdictUnknown || refused != 1 {
		t.Errorf("of another root: %v, %d refused", v, refused)
	}
	n := must(alice.SignNotice(wire.Notice{Subject: identity.HashID("bob"), Seq: 1, Witness: d.ID}))(t)
	if !bob.VerifyNotice(&n, &d) {
		t.Error("her notice does not hold")
	}
	if n.Seq++; bob.VerifyNotice(&n, &d) {
		t.Error("a changed notice holds")
	}
}
