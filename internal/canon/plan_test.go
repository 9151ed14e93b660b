package canon_test

import (
	"bytes"
	"encoding"
	"math"
	"net/netip"
	"reflect"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
)

// widths has every integer, with names of their own here and there.
type widths struct {
	_   struct{} `cbor:",toarray"`
	U8  uint8
	U16 uint16
	U32 number
	U64 uint64
	I8  int8
	I16 int16
	I32 int32
	I64 int64
	P   *uint64
}

type number uint32

// tree has what contains other things.
type tree struct {
	_      struct{} `cbor:",toarray"`
	Raw    raw
	Blobs  [][]byte
	Keys   [][2]byte
	Inner  inner
	Inners []inner
	Any    []*inner
	At     *netip.AddrPort
}

type raw []byte

func TestPlannedTypes(t *testing.T) {
	for _, v := range []any{sample{}, widths{}, tree{}, "", uint64(0), []byte{}, [4]byte{}, netip.AddrPort{}} {
		if !canon.Planned(v) {
			t.Errorf("%T has no plan", v)
		}
	}
	type loose struct{ N int }
	type renamed struct {
		_ struct{} `cbor:",toarray"`
		N int      `cbor:"n,omitempty"`
	}
	type hidden struct {
		_ struct{} `cbor:",toarray"`
		N int
		n int // the general codec leaves it out
	}
	type endless struct {
		_    struct{} `cbor:",toarray"`
		Next *endless
	}
	for _, v := range []any{map[string]int{}, loose{}, renamed{}, hidden{n: 1}, endless{}, 1.5, [3]int{}, [0]byte{}, new(any), new(*int)} {
		if canon.Planned(v) {
			t.Errorf("%T has a plan", v)
		}
	}
}

// Every value must have the bytes that the general codec gives it.
func TestPlanMarshalsAsGeneral(t *testing.T) {
	v, _ := goldenSample()
	n, at := uint64(1)<<40, netip.MustParseAddrPort("[fe80::1%eth0]:9")
	values := []any{
		v, sample{}, &v, widths{}, tree{}, inner{N: 255}, "", "ünï", uint8(23), uint8(24), int64(-24), int64(-25),
		widths{struct{}{}, math.MaxUint8, math.MaxUint16, math.MaxUint32, math.MaxUint64, math.MinInt8, math.MinInt16, math.MinInt32, math.MinInt64, &n},
		widths{struct{}{}, 255, 256, 65536, 1 << 32, 127, 32767, math.MaxInt32, math.MaxInt64, new(uint64)},
		tree{Raw: raw{1}, Blobs: [][]byte{nil, {}, {2}}, Keys: [][2]byte{{3, 4}}, Inner: inner{N: 5}, Inners: []inner{{N: 6}}, Any: []*inner{nil, {N: 7}}, At: &at},
		bytes.Repeat([]byte{9}, 70000), make([]string, 300),
	}
	for _, v := range values {
		got, err := canon.Marshal(v)
		want, errWant := canon.MarshalGeneral(v)
		if err != nil || errWant != nil || !bytes.Equal(got, want) {
			t.Fatalf("%+v:\n%x %v\n%x %v", v, got, err, want, errWant)
		}
		again, err := canon.Append([]byte("before"), v)
		if err != nil || string(again) != "before"+string(want) {
			t.Fatalf("Append = %x, %v", again, err)
		}
		back := reflect.New(reflect.Indirect(reflect.ValueOf(v)).Type())
		if err := canon.Unmarshal(got, back.Interface()); len(got) < 4096 && err != nil {
			t.Fatalf("%+v: %v", v, err)
		}
	}
}

type broken struct{}

func (broken) MarshalBinary() ([]byte, error)     { return nil, canon.ErrBadKey }
func (*broken) UnmarshalBinary(data []byte) error { return nil }

var _ encoding.BinaryUnmarshaler = (*broken)(nil)

func TestPlanPassesErrorsOn(t *testing.T) {
	if !canon.Planned(broken{}) {
		t.Fatal("no plan")
	}
	if b, err := canon.Marshal(broken{}); err == nil {
		t.Fatalf("%x", b)
	}
	if err := canon.Unmarshal([]byte{0x40}, new(broken)); err == nil {
		t.Fatal("read what cannot be written")
	}
}

// What is read must not change with the buffer that it came in.
func TestUnmarshalKeepsNothing(t *testing.T) {
	v, _ := goldenSample()
	data, err := canon.Marshal(v)
	if err != nil {
		t.Fatal(err)
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

// The threat is that of FuzzUnmarshal. The general codec, which encodes again
// what it has read, is the oracle: a plan must accept what it accepts, as the
// same value, and nothing else.
func FuzzPlan(f *testing.F) {
	v, _ := goldenSample()
	n := uint64(1) << 40
	for _, v := range []any{v, sample{}, widths{I64: -1, P: &n}, widths{}, tree{Blobs: [][]byte{{1}}, Any: []*inner{nil, {N: 7}}}} {
		data, err := canon.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, fresh := range []func() any{
			func() any { return new(sample) }, func() any { return new(widths) }, func() any { return new(tree) },
			func() any { return new(inner) }, func() any { return new(netip.AddrPort) }, func() any { return new([]string) },
		} {
			planned, general := fresh(), fresh()
			err, want := canon.Unmarshal(data, planned), canon.UnmarshalGeneral(data, general)
			if (err == nil) != (want == nil) {
				t.Fatalf("%T: %x: plan says %v, the general codec %v", planned, data, err, want)
			}
			if err == nil && !reflect.DeepEqual(planned, general) {
				t.Fatalf("%x is %+v or %+v", data, planned, general)
			}
		}
	})
}
