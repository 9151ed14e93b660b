package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// What the answering node leaves out the asking one puts back, of records by
// that issuer and of no others; what the holder keeps is not changed.
func TestShortenAndRestore(t *testing.T) {
	issuer, account, other := []byte{1, 2, 3}, []byte{4}, []byte{5, 6}
	chains := [][][]byte{{issuer}, {account, issuer}, {other}, {issuer, other}, {}}
	held := &wire.Fetched{}
	for _, c := range chains {
		held.Records = append(held.Records, record.Record{Signed: []byte{9}, Chain: record.Chain{Certificates: c}})
	}
	whole, err := wire.Encode(held)
	if err != nil {
		t.Fatal(err)
	}
	short, err := wire.Encode(held.Shorten(issuer))
	if err != nil || len(short) != len(whole)-2*len(issuer) {
		t.Fatalf("%d bytes of %d, %v", len(short), len(whole), err)
	}
	m, err := wire.Decode(short)
	if err != nil {
		t.Fatal(err)
	}
	back := m.(*wire.Fetched)
	back.Restore(issuer)
	for what, m := range map[string]wire.Message{"restored": back, "held": held, "not shortened": held.Shorten(nil)} {
		if again, err := wire.Encode(m); err != nil || !bytes.Equal(again, whole) {
			t.Errorf("%s: %x, %v, want %x", what, again, err, whole)
		}
	}
}

// A certificate may be missing in one place of one message.
func TestShortChainsElsewhereRefused(t *testing.T) {
	rec := func(chain ...[]byte) record.Record {
		return record.Record{Signed: []byte{9}, Chain: record.Chain{Certificates: chain}}
	}
	for what, m := range map[string]wire.Message{
		"in the middle":     &wire.Fetched{Records: []record.Record{rec(nil, []byte{1})}},
		"twice":             &wire.Fetched{Records: []record.Record{rec(nil, nil)}},
		"in Store":          &wire.Store{Record: rec(nil)},
		"beside a large":    &wire.Fetched{Records: []record.Record{rec(make([]byte, wire.MaxCertificate+1), nil)}},
		"of too many":       &wire.Fetched{Records: make([]record.Record, wire.MaxItems+1)},
		"without a record":  &wire.Fetched{Records: []record.Record{{Chain: record.Chain{Certificates: [][]byte{nil}}}}},
		"of a large record": &wire.Fetched{Records: []record.Record{{Signed: make([]byte, record.MaxRecord), Chain: record.Chain{Certificates: [][]byte{nil}}}}},
	} {
		if _, err := wire.Encode(m); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
