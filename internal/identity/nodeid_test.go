package identity_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/secp2psip/secp2psip/internal/identity"
)

func number(id identity.NodeID) *big.Int { return new(big.Int).SetBytes(id[:]) }

// drawID favours the edges of the circle.
func drawID(t *rapid.T, label string) identity.NodeID {
	var id identity.NodeID
	copy(id[:], rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xfe, 0xff, 0x55}), 16, 16).Draw(t, label))
	return id
}

// The arithmetic agrees with big integers modulo 2¹²⁸.
func TestNodeIDArithmetic(t *testing.T) {
	circle := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawID(t, "a"), drawID(t, "b")
		mod := func(x *big.Int) string { return x.Mod(x, circle).String() }
		if got := number(a.Add(b)).String(); got != mod(new(big.Int).Add(number(a), number(b))) {
			t.Fatalf("%s + %s = %s", a, b, got)
		}
		if got := number(a.Distance(b)).String(); got != mod(new(big.Int).Sub(number(b), number(a))) {
			t.Fatalf("%s to %s is %s", a, b, got)
		}
		if a.Add(a.Distance(b)) != b {
			t.Fatal("a + (b − a) ≠ b")
		}
		if got := a.Compare(b); got != number(a).Cmp(number(b)) {
			t.Fatalf("%s against %s: %d", a, b, got)
		}
		m := rapid.IntRange(1, 300).Draw(t, "m")
		i := rapid.IntRange(0, m-1).Draw(t, "i")
		want := new(big.Int).Mul(circle, big.NewInt(int64(i)))
		if want.Div(want, big.NewInt(int64(m))); number(identity.Fraction(i, m)).Cmp(want) != 0 {
			t.Fatalf("Fraction(%d, %d) = %s", i, m, identity.Fraction(i, m))
		}
	})
}

func TestFractionOutOfRange(t *testing.T) {
	for _, c := range [][2]int{{-1, 4}, {4, 4}, {0, 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Fraction(%d, %d) returned", c[0], c[1])
				}
			}()
			identity.Fraction(c[0], c[1])
		}()
	}
}

func TestNodeIDText(t *testing.T) {
	id := identity.HashID("sip:alice@lan.example", "registration")
	const want = "d638dc193452eeb6939d08478e8a9741"
	if id.String() != want || id.Short() != want[:8] {
		t.Fatalf("HashID = %s", id)
	}
	var back identity.NodeID
	if err := json.Unmarshal(must(json.Marshal(id))(t), &back); err != nil || back != id {
		t.Fatal(back, err)
	}
	for _, bad := range []string{"", want[1:], want + "0", "g" + want[1:]} {
		if _, err := identity.ParseNodeID(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
	if identity.HashID("ab", "c") == identity.HashID("a", "bc") {
		t.Error("the parts of a hash run together")
	}
}
