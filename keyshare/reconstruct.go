package keyshare

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// reconstruct tries every k of the entries that the newest one is part of; the
// others have been tried before. With honest shares the first attempt, at the
// k-th share, succeeds.
func (g *group) reconstruct(k int) {
	last := len(g.entries) - 1
	if last < k-1 {
		return
	}
	pick := make([]int, k)
	for i := range k - 1 {
		pick[i] = i
	}
	pick[k-1] = last
	for g.subsets < maxSubsets {
		g.subsets++
		if key, ok := g.try(pick); ok {
			g.key, g.used = key, slices.Clone(pick)
			return
		}
		if !next(pick[:k-1], last) {
			return
		}
	}
}

// try interpolates the picked entries and compares with the digest.
func (g *group) try(pick []int) (identity.PublicKey, bool) {
	secret, err := evaluate(g.points(pick), 0)
	if err != nil || sha256.Sum256(secret[:]) != g.digest {
		return identity.PublicKey{}, false
	}
	return secret, true
}

// fits tells whether entry i lies on the polynomial that gave the key.
func (g *group) fits(i int) bool {
	if slices.Contains(g.used, i) {
		return true
	}
	e := &g.entries[i]
	y, err := evaluate(g.points(g.used), e.point.x())
	return err == nil && bytes.Equal(y[:], e.point.y())
}

func (g *group) points(pick []int) []point {
	out := make([]point, len(pick))
	for i, j := range pick {
		out[i] = g.entries[j].point
	}
	return out
}

// next advances pick to the following combination of distinct indexes below n
// in lexical order; false after the last.
func next(pick []int, n int) bool {
	for i := len(pick) - 1; i >= 0; i-- {
		if pick[i] < n-len(pick)+i {
			pick[i]++
			for j := i + 1; j < len(pick); j++ {
				pick[j] = pick[j-1] + 1
			}
			return true
		}
	}
	return false
}
