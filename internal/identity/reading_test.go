package identity_test

import (
	"bytes"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Both sides come to the same key: who seals from the public half, who opens
// from the private one.
func TestSealingKeyIsTheOpeningKeys(t *testing.T) {
	for range 50 {
		k, err := identity.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		private, err := k.OpeningKey()
		if err != nil {
			t.Fatal(err)
		}
		public, err := k.Public().SealingKey()
		if err != nil || !bytes.Equal(public.Bytes(), private.PublicKey().Bytes()) {
			t.Fatalf("%x, %v", public.Bytes(), err)
		}
	}
	if _, err := (identity.PrivateKey{}).OpeningKey(); err == nil {
		t.Error("no key opens something")
	}
	noPoint := identity.PublicKey{2: 1}
	for noPoint[31] = 0; ; noPoint[0]++ { // half of all values are no point
		if _, err := noPoint.SealingKey(); err != nil {
			break
		}
		if noPoint[0] == 255 {
			t.Fatal("everything is a point of the curve")
		}
	}
}
