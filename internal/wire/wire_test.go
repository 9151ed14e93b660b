package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

var update = flag.Bool("update", false, "write testdata/golden.txt anew")

const goldenFile = "testdata/golden.txt"

// golden returns the lines "Type hex" in the order of the samples.
func golden(t *testing.T) []string {
	t.Helper()
	if *update {
		var out strings.Builder
		for _, m := range samples(t) {
			b := must[[]byte](t)(wire.Encode(m))
			out.WriteString(m.Type().String() + " " + hex.EncodeToString(b) + "\n")
		}
		if err := os.WriteFile(goldenFile, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := must[[]byte](t)(os.ReadFile(goldenFile))
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// Every message has the bytes it always had, reads back as it was, and is not
// readable when cut short at any length or followed by anything.
func TestMessages(t *testing.T) {
	lines := golden(t)
	all := samples(t)
	if len(lines) != len(all) {
		t.Fatalf("%d golden lines for %d samples", len(lines), len(all))
	}
	for i, m := range all {
		name, text, _ := strings.Cut(lines[i], " ")
		t.Run(name, func(t *testing.T) {
			want := must[[]byte](t)(hex.DecodeString(text))
			got := must[[]byte](t)(wire.Encode(m))
			if name != m.Type().String() || !bytes.Equal(got, want) {
				t.Fatalf("%s encodes as\n%x, not\n%x", m.Type(), got, want)
			}
			back := must[wire.Message](t)(wire.Decode(want))
			if d := cmp.Diff(m, back, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.IgnoreUnexported(record.Record{})); d != "" {
				t.Fatal(d)
			}
			for n := range want {
				if _, err := wire.Decode(want[:n]); !errors.Is(err, wire.ErrMalformed) {
					t.Fatalf("cut to %d of %d bytes: %v", n, len(want), err)
				}
			}
			if _, err := wire.Decode(append(bytes.Clone(want), 0)); !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("with a byte more: %v", err)
			}
		})
	}
}

// These were encoded by hand, from RFC 8949.
func TestByHand(t *testing.T) {
	part := uint64(500)
	for text, m := range map[string]wire.Message{
		"820380":              &wire.Ping{},
		"82048119 03e8":       &wire.Pong{Time: 1000},
		"82028 0":             &wire.Ack{},
		"820183 190194 60 00": &wire.Error{Code: wire.CodeNotFound},
		"82 1824 83 50 00000000000000000000000000000000 50 00000000000000000000000000000001 1901f4": &wire.Fetch{
			Resource: [16]byte{15: 1}, Part: &part},
		"82 13 82 f5 81 83 50 000102030405060708090a0b0c0d0e0f 48 0000000000000000 81 46 c0000207 941b": &wire.Found{
			Done: true, Peers: []wire.Peer{{ID: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Addrs: []netip.AddrPort{addr4}}}},
	} {
		got := must[[]byte](t)(wire.Encode(m))
		if want := strings.ReplaceAll(text, " ", ""); hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, not %s", m.Type(), got, want)
		}
	}
}

func TestEveryTypeHasASample(t *testing.T) {
	sampled := make(map[wire.Type]bool)
	for _, m := range samples(t) {
		sampled[m.Type()] = true
	}
	for n := range 256 {
		m := wire.NewMessage(wire.Type(n))
		if m == nil {
			continue
		}
		if m.Type() != wire.Type(n) {
			t.Errorf("type %d makes a %s", n, m.Type())
		}
		if !sampled[wire.Type(n)] {
			t.Errorf("%s has no sample", m.Type())
		}
	}
}

func TestRefused(t *testing.T) {
	zeros := strings.Repeat("00", 16)
	for name, c := range map[string]struct {
		hex  string
		want error
	}{
		"empty":                    {"", wire.ErrMalformed},
		"no array":                 {"0380", wire.ErrMalformed},
		"array of three":           {"83038000", wire.ErrMalformed},
		"type in two bytes":        {"82180380", wire.ErrMalformed},
		"type in three bytes":      {"8219000380", wire.ErrMalformed},
		"negative type":            {"822380", wire.ErrMalformed},
		"type 0":                   {"820080", wire.ErrUnknownType},
		"type 255":                 {"8218ff80", wire.ErrUnknownType},
		"a field too many":         {"820381f6", wire.ErrMalformed},
		"a field too few":          {"820480", wire.ErrMalformed},
		"a map for a body":         {"8203a0", wire.ErrMalformed},
		"indefinite body":          {"82039fff", wire.ErrMalformed},
		"number in long form":      {"820481190001", wire.ErrMalformed},
		"float for a number":       {"820481f93c00", wire.ErrMalformed},
		"id of 15 bytes":           {"8212814f" + zeros[2:], wire.ErrMalformed},
		"id of 17 bytes":           {"82128151" + zeros + "00", wire.ErrMalformed},
		"id as array":              {"82128190" + zeros, wire.ErrMalformed},
		"null for a peer":          {"821481f6", wire.ErrMalformed},
		"null for a list":          {"821382f4f6", wire.ErrMalformed},
		"IPv4 inside IPv6":         {"8214818350" + zeros + "480000000000000000815200000000000000000000ffffc0000207941b", wire.ErrMalformed},
		"address with a zone":      {"8214818350" + zeros + "4800000000000000008156fe8000000000000000000000000000016574683 0941b", wire.ErrMalformed},
		"port 0":                   {"8214818350" + zeros + "4800000000000000008146c00002070000", wire.ErrMalformed},
		"unspecified address":      {"8214818350" + zeros + "480000000000000000814600000000941b", wire.ErrMalformed},
		"address of 5 bytes":       {"8214818350" + zeros + "4800000000000000008145c000020794", wire.ErrMalformed},
		"line break in a reason":   {"82018319019462410a00", wire.ErrMalformed},
		"reason that is not UTF-8": {"82018319019461ff00", wire.ErrMalformed},
		"code of 17 bit":           {"8201831a000100006000", wire.ErrMalformed},
	} {
		b := must[[]byte](t)(hex.DecodeString(strings.ReplaceAll(c.hex, " ", "")))
		if m, err := wire.Decode(b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	// What the cases above spoil is accepted when whole.
	for _, text := range []string{
		"820380", "82048119 03e8", "821281 50" + zeros, "821382f480", "8214818350" + zeros + "48000000000000000081 46c0000207941b",
		"820183190194626162 00", "8214818350" + zeros + "48000000000000000080",
	} {
		if _, err := wire.Decode(must[[]byte](t)(hex.DecodeString(strings.ReplaceAll(text, " ", "")))); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := wire.Decode(make([]byte, wire.MaxMessage+1)); !errors.Is(err, wire.ErrTooLarge) {
		t.Error(err)
	}
}

// The largest hand-over and the largest answer to a Fetch fit a message.
func TestLargestFit(t *testing.T) {
	big := rec
	big.Signed = bytes.Repeat([]byte{1}, 2000)
	big.Chain.Certificates = [][]byte{bytes.Repeat([]byte{1}, 1500), bytes.Repeat([]byte{1}, 500)}
	for big.Size() < 4096 {
		big.Signed = append(big.Signed, 1)
	}
	peer := peerA
	for len(peer.Addrs) < wire.MaxAddrs {
		peer.Addrs = append(peer.Addrs, addr6)
	}
	many, fetched := &wire.StoreMany{}, &wire.Fetched{Pred: &peer, Succ0: &peer}
	for range wire.MaxItems {
		many.Items = append(many.Items, wire.Placed{Record: big})
		fetched.Records = append(fetched.Records, big)
	}
	for _, m := range []wire.Message{many, fetched} {
		b, err := wire.Encode(m)
		if err != nil {
			t.Error(err)
		}
		t.Logf("%s: %d bytes", m.Type(), len(b))
	}
}

func TestErrorf(t *testing.T) {
	e := wire.Errorf(wire.CodeInternal, "a\r\nb %s", strings.Repeat("ü", 300)+"\xff")
	if _, err := wire.Encode(e); err != nil {
		t.Error(err)
	}
	if len(e.Reason) > wire.MaxReason || !strings.HasPrefix(e.Reason, "a  b ü") {
		t.Errorf("%q", e.Reason)
	}
}
