package canon_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
)

const testContext = "secp2psip/1 test"

func testKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func mustSign(t testing.TB, k ed25519.PrivateKey, payload []byte) []byte {
	t.Helper()
	msg, err := canon.Sign(k, testContext, payload)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func TestSignGolden(t *testing.T) {
	msg := mustSign(t, testKey(1), []byte("hello"))
	const head = "d28443a10127a0" + "4568656c6c6f" + "5840"
	if got := hex.EncodeToString(msg); len(msg) != len(head)/2+64 || got[:len(head)] != head {
		t.Fatalf("%s", got)
	}
	// The signature by hand, over the Sig_structure of RFC 9052 §4.4.
	tbs := []byte("\x84\x6aSignature1\x43\xa1\x01\x27\x50" + testContext + "\x45hello")
	if !ed25519.Verify(public(testKey(1)), tbs, msg[len(msg)-64:]) {
		t.Fatal("the signature is not over the Sig_structure")
	}
}

func TestSignVerifySizes(t *testing.T) {
	key := testKey(1)
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
		payload := bytes.Repeat([]byte{7}, n)
		msg := mustSign(t, key, payload)
		got, err := canon.Verify(public(key), testContext, msg)
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("payload of %d bytes: %v", n, err)
		}
		if len(msg) > n+canon.Overhead {
			t.Fatalf("payload of %d bytes: overhead %d", n, len(msg)-n)
		}
	}
	if msg := mustSign(t, key, nil); !bytes.Equal(msg, mustSign(t, key, []byte{})) {
		t.Fatal("nil and empty payload differ")
	}
}

func TestVerifyRefuses(t *testing.T) {
	key := testKey(1)
	msg := mustSign(t, key, []byte("hello"))
	for name, c := range map[string]struct {
		pub     ed25519.PublicKey
		context string
		msg     []byte
		want    error
	}{
		"another key":     {public(testKey(2)), testContext, msg, canon.ErrBadSignature},
		"another context": {public(key), testContext + " ", msg, canon.ErrBadSignature},
		"no context":      {public(key), "", msg, canon.ErrBadSignature},
		"no key":          {nil, testContext, msg, canon.ErrBadKey},
		"trailing byte":   {public(key), testContext, append(bytes.Clone(msg), 0), canon.ErrMalformed},
		"no tag":          {public(key), testContext, msg[1:], canon.ErrMalformed},
		"too large":       {public(key), testContext, make([]byte, canon.MaxSize+1), canon.ErrTooLarge},
		"long length": {public(key), testContext,
			append(append(bytes.Clone(msg[:7]), 0x58, 5), msg[8:]...), canon.ErrNotCanonical},
		"key id in the header": {public(key), testContext,
			append(append(bytes.Clone(msg[:6]), 0xa1, 0x04, 0x41, 0x31), msg[7:]...), canon.ErrMalformed},
	} {
		if _, err := canon.Verify(c.pub, c.context, c.msg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := canon.Sign(nil, testContext, nil); !errors.Is(err, canon.ErrBadKey) {
		t.Error(err)
	}
	if _, err := canon.Sign(key, testContext, make([]byte, canon.MaxSize)); !errors.Is(err, canon.ErrTooLarge) {
		t.Error(err)
	}
}

func TestVerifyEveryBitAndLength(t *testing.T) {
	key := testKey(1)
	msg := mustSign(t, key, bytes.Repeat([]byte("x"), 300))
	for i := range msg {
		for bit := range 8 {
			bad := bytes.Clone(msg)
			bad[i] ^= 1 << bit
			if _, err := canon.Verify(public(key), testContext, bad); err == nil {
				t.Fatalf("accepted with bit %d of byte %d turned", bit, i)
			}
		}
		if _, err := canon.Verify(public(key), testContext, msg[:i]); err == nil {
			t.Fatalf("accepted the first %d of %d bytes", i, len(msg))
		}
	}
}

// The attacker has seen one signed message, and sends any bytes. Nothing but
// what the key signed may verify: Ed25519 is deterministic, so each accepted
// message is exactly what Sign gives for its payload, which only the signed
// ones can be.
func FuzzVerify(f *testing.F) {
	key := testKey(1)
	seen := mustSign(f, key, []byte("hello"))
	f.Add(seen)
	f.Add(mustSign(f, testKey(2), []byte("hello")))
	f.Add(append(bytes.Clone(seen[:7]), 0x58, 5))
	f.Fuzz(func(t *testing.T, msg []byte) {
		unverified, errPayload := canon.Payload(msg)
		payload, err := canon.Verify(public(key), testContext, msg)
		if err != nil {
			return
		}
		if errPayload != nil || !bytes.Equal(unverified, payload) {
			t.Fatalf("Payload and Verify disagree: %x, %v", unverified, errPayload)
		}
		if !bytes.Equal(msg, seen) {
			t.Fatalf("forged: %x", msg)
		}
	})
}

// Package cose, which signs, allocates nearly all of it: a call is signed for
// twice.
func BenchmarkSign(b *testing.B) {
	key, payload := testKey(1), make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		mustSign(b, key, payload)
	}
}

func BenchmarkVerify(b *testing.B) {
	key := testKey(1)
	msg := mustSign(b, key, make([]byte, 200))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canon.Verify(public(key), testContext, msg); err != nil {
			b.Fatal(err)
		}
	}
}

func TestVerifyAllocations(t *testing.T) {
	key := testKey(1)
	msg := mustSign(t, key, make([]byte, 200))
	got := testing.AllocsPerRun(100, func() { _, _ = canon.Verify(public(key), testContext, msg) })
	if most := 7.0; got > most {
		t.Errorf("%v allocations, not %v", got, most)
	}
}
