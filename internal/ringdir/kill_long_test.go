//go:build long

package ringdir_test

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// TestLongThirtyPercentKilled is TestMatrixD6ThirtyPercentKilled with many seeds.
func TestLongThirtyPercentKilled(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { thirtyPercent(t, 1000+seed) })
		})
	}
}
