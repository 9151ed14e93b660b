package record_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// goldenRecords returns records in testdata, each of another kind, by their
// encoding, and the trust of their overlay, whose root key is key 1.
func goldenRecords(t testing.TB) (map[string]string, *identity.Trust) {
	t.Helper()
	root, rest := pem.Decode(must[[]byte](t)(os.ReadFile("testdata/records.pem")))
	charter := identity.DefaultCharter("lan.example", testKey(t, 1).Public(), testNow)
	trust := must[*identity.Trust](t)(identity.NewTrust(root.Bytes, charter))
	out := make(map[string]string)
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		out[string(block.Bytes)] = block.Headers["Name"]
	}
	return out, trust
}

// What was signed once must verify as long as it lives.
func TestGoldenRecords(t *testing.T) {
	golden, trust := goldenRecords(t)
	if len(golden) != 6 {
		t.Fatal(len(golden))
	}
	for encoded, name := range golden {
		var r record.Record
		if err := canon.Unmarshal([]byte(encoded), &r); err != nil {
			t.Fatal(name, err)
		}
		v, err := record.Verify(r, trust, testNow)
		if err != nil || v.Body.Tombstone != (name == "tombstone") {
			t.Fatal(name, err)
		}
	}
}

// The attacker has seen records of every kind and sends any bytes as one. No
// bytes but those pass; and whatever decodes has one encoding.
func FuzzRecord(f *testing.F) {
	golden, trust := goldenRecords(f)
	for encoded := range golden {
		f.Add([]byte(encoded))
	}
	f.Add([]byte{0x82, 0x40, 0x82, 0x80, 0x40})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		var r record.Record
		if canon.Unmarshal(encoded, &r) != nil {
			return
		}
		if again, err := canon.Marshal(r); err != nil || !bytes.Equal(again, encoded) || r.Size() != len(encoded) {
			t.Fatalf("%x re-encodes to %x, %v; Size %d", encoded, again, err, r.Size())
		}
		if b, err := r.Body(); err == nil {
			record.PositionsOf(b, trust.Charter())
			if r.Signed[0] == 0x85 && canon.Unmarshal(r.Signed, new(batched)) != nil {
				t.Fatalf("%x is read and not canonical", r.Signed)
			}
		}
		if v, err := record.Verify(r, trust, testNow); err == nil && golden[string(encoded)] == "" {
			t.Fatalf("forged: %+v", v.Body)
		}
	})
}

// Bodies and data are read from payloads that an honest key may have signed
// for a dishonest owner: any bytes, but one encoding.
func FuzzBody(f *testing.F) {
	golden, _ := goldenRecords(f)
	for encoded := range golden {
		var r record.Record
		if err := canon.Unmarshal([]byte(encoded), &r); err != nil {
			f.Fatal(err)
		}
		b := must[record.Body](f)(r.Body())
		f.Add(data(f, b))
		if !b.Tombstone {
			f.Add(b.Data)
		}
	}
	key := testKey(f, 9)
	f.Add(must[[]byte](f)(record.SealRegistration(record.Registration{}, identity.AOR{}, 1, key.Public(), nil)))
	f.Fuzz(func(t *testing.T, payload []byte) {
		signed := must[[]byte](t)(key.Sign("secp2psip/1 record", payload))
		b, err := record.Record{Signed: signed}.Body()
		if err == nil {
			again, err := record.Sign(b, key, record.Chain{})
			if err != nil || !bytes.Equal(again.Signed, signed) {
				t.Fatalf("%x is also %x, %v", payload, again.Signed, err)
			}
		}
		for _, v := range []any{new(record.Registration), new(record.Share), new(record.Account), new(record.Number), new(record.Sealed)} {
			if canon.Unmarshal(payload, v) != nil {
				continue
			}
			if again, err := canon.Marshal(v); err != nil || !bytes.Equal(again, payload) {
				t.Fatalf("%T: %x re-encodes to %x, %v", v, payload, again, err)
			}
		}
	})
}
