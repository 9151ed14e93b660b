package canon_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
)

// sample has every sort of field that travels.
type sample struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Seq   uint64
	Time  int64
	ID    [4]byte
	Data  []byte
	Flag  bool
	Addrs []netip.AddrPort
	Next  *inner
}

type inner struct {
	_ struct{} `cbor:",toarray"`
	N uint8
}

func goldenSample() (sample, string) {
	return sample{
			Name: "bob", Seq: 300, Time: -1, ID: [4]byte{1, 2, 3, 4}, Data: []byte{0xff}, Flag: true,
			Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5060"), netip.MustParseAddrPort("[2001:db8::1]:1")},
			Next:  &inner{N: 24},
		}, "88" + // array of 8
			"63626f62" + // "bob"
			"19012c" + // 300
			"20" + // -1
			"4401020304" + // 4 bytes
			"41ff" + // 1 byte
			"f5" + // true
			"82" + "46c0000201c413" + // 192.0.2.1, port 5060 little-endian
			"5220010db8000000000000000000000001" + "0100" +
			"81" + "1818" // [24]
}

func TestMarshalGolden(t *testing.T) {
	v, want := goldenSample()
	got, err := canon.Marshal(v)
	if err != nil || hex.EncodeToString(got) != want {
		t.Fatalf("Marshal = %x, %v\nwant      %s", got, err, want)
	}
	var back sample
	if err := canon.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, v) {
		t.Fatalf("Unmarshal = %+v\nwant        %+v", back, v)
	}
}

func TestNilAndEmptyAreOne(t *testing.T) {
	type pair struct {
		_ struct{} `cbor:",toarray"`
		B []byte
		S []string
	}
	a, errA := canon.Marshal(pair{})
	b, errB := canon.Marshal(pair{B: []byte{}, S: []string{}})
	if errA != nil || errB != nil || !bytes.Equal(a, b) || hex.EncodeToString(a) != "824080" {
		t.Fatalf("%x %v, %x %v", a, errA, b, errB)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		hex  string
		into any
		want error
	}{
		"nothing":                {"", new(uint64), canon.ErrMalformed},
		"trailing byte":          {"0100", new(uint64), canon.ErrMalformed},
		"long integer":           {"1801", new(uint64), canon.ErrNotCanonical},
		"long length":            {"580101", new([]byte), canon.ErrNotCanonical},
		"indefinite bytes":       {"5f4101ff", new([]byte), canon.ErrMalformed},
		"indefinite array":       {"9f01ff", new([]uint8), canon.ErrMalformed},
		"null for a slice":       {"f6", new([]byte), canon.ErrNotCanonical},
		"null for a number":      {"f6", new(uint8), canon.ErrNotCanonical},
		"undefined":              {"f7", new(*inner), canon.ErrNotCanonical},
		"overflow":               {"190100", new(uint8), canon.ErrMalformed},
		"float for an integer":   {"f93c00", new(uint8), canon.ErrMalformed},
		"tag":                    {"c101", new(uint64), canon.ErrMalformed},
		"bignum":                 {"c24101", new(uint64), canon.ErrMalformed},
		"short byte array":       {"43010203", new([4]byte), canon.ErrNotCanonical},
		"long byte array":        {"450102030405", new([4]byte), canon.ErrNotCanonical},
		"array for a byte array": {"8401020304", new([4]byte), canon.ErrNotCanonical},
		"array for bytes":        {"820102", new([]byte), canon.ErrNotCanonical},
		"bytes for a string":     {"4161", new(string), canon.ErrMalformed},
		"bad UTF-8":              {"61ff", new(string), canon.ErrMalformed},
		"missing field":          {"80", new(inner), canon.ErrMalformed},
		"surplus field":          {"820101", new(inner), canon.ErrMalformed},
		"map for a struct":       {"a1614e01", new(inner), canon.ErrMalformed},
		"duplicate key":          {"a201010101", new(map[int]int), canon.ErrMalformed},
		"unsorted keys":          {"a202010101", new(map[int]int), canon.ErrNotCanonical},
		"address of 5 bytes":     {"450000000000", new(netip.AddrPort), canon.ErrMalformed},
		"deep":                   {strings.Repeat("81", canon.MaxNesting+1) + "01", new(any), canon.ErrMalformed},
		"many":                   {"191001" + strings.Repeat("01", 4097), new([]uint8), canon.ErrMalformed},
		"too large":              {strings.Repeat("00", canon.MaxSize+1), new([]byte), canon.ErrTooLarge},
	} {
		data, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if name == "many" {
			data[0] = 0x99 // an array of 4097
		}
		if err := canon.Unmarshal(data, c.into); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestUnmarshalTruncated(t *testing.T) {
	v, _ := goldenSample()
	data, err := canon.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := canon.Unmarshal(data[:n], new(sample)); err == nil {
			t.Fatalf("accepted the first %d of %d bytes", n, len(data))
		}
	}
}

func TestMarshalUnencodable(t *testing.T) {
	if _, err := canon.Marshal(make(chan int)); !errors.Is(err, canon.ErrMalformed) {
		t.Fatal(err)
	}
}

// Whoever sends bytes may send any. What is accepted must have one encoding
// only, or a signature or hash over it could be evaded.
func FuzzUnmarshal(f *testing.F) {
	v, _ := goldenSample()
	data, err := canon.Marshal(v)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0x81, 0x18, 0x18})
	f.Add([]byte{0xa2, 1, 1, 2, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{new(sample), new(inner), new(map[int]string), new([][]byte), new(netip.AddrPort), new(any)} {
			if canon.Unmarshal(data, v) != nil {
				continue
			}
			again, err := canon.Marshal(v)
			if err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%T: %x re-encodes to %x, %v", v, data, again, err)
			}
		}
	})
}

// What is read must not change with the buffer that it came in, nor what is
// written with the buffer that it is appended to.
func TestKeepsNothing(t *testing.T) {
	v, _ := goldenSample()
	data, err := canon.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	appended, err := canon.Append(make([]byte, 1, 512), v)
	if err != nil || !bytes.Equal(appended[1:], data) {
		t.Fatalf("%x, %v", appended, err)
	}
	var back sample
	if err := canon.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if !reflect.DeepEqual(back, v) {
		t.Fatalf("%+v", back)
	}
}
