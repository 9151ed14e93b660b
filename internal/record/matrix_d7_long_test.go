//go:build long

package record_test

import "testing"

// TestLongFloodOfStores: see TestMatrixD7FloodOfStores; a million stores.
func TestLongFloodOfStores(t *testing.T) { storm(t, 72, 40, 1_000_000, 2<<20) }
