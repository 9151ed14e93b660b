package keyshare

import (
	"bytes"
	"testing"

	"github.com/hashicorp/vault/shamir"
	"pgregory.net/rapid"
)

// Weights and sum must give what shamir.Combine makes of the whole points.
func TestEvaluateIsCombine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(2, 12).Draw(t, "k")
		xs := rapid.SliceOfNDistinct(rapid.Byte(), k, k, rapid.ID[byte]).Draw(t, "xs")
		at := rapid.Byte().Draw(t, "at")
		points, parts := make([]point, k), make([][]byte, k)
		for i, x := range xs {
			points[i] = newPoint(x, rapid.SliceOfN(rapid.Byte(), KeyLen, KeyLen).Draw(t, "y"))
			shifted := points[i]
			shifted[KeyLen] ^= at
			parts[i] = shifted[:]
		}
		want, errWant := shamir.Combine(parts)
		got, err := evaluate(points, at)
		if err != nil || errWant != nil || !bytes.Equal(got[:], want) {
			t.Fatalf("%x %v, want %x %v", got, err, want, errWant)
		}
	})
}

func TestEvaluateRefuses(t *testing.T) {
	same := newPoint(3, make([]byte, KeyLen))
	for _, points := range [][]point{nil, {same}, {same, same}} {
		if _, err := evaluate(points, 0); err == nil {
			t.Errorf("%d points", len(points))
		}
	}
}
