package canon_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
)

func TestSignVerify(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
		p := bytes.Repeat([]byte{7}, n)
		msg, err := canon.Sign(key, "ctx", p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := canon.Verify(key.Public().(ed25519.PublicKey), "ctx", msg)
		if err != nil || !bytes.Equal(got, p) {
			t.Fatalf("payload of %d: %v", n, err)
		}
	}
}
