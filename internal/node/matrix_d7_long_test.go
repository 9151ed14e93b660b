//go:build long

package node_test

import "testing"

// TestLongMatrixD7StoresAtFullSpeed: see TestMatrixD7StoresAtFullSpeed; a million
// stores.
func TestLongMatrixD7StoresAtFullSpeed(t *testing.T) { stormed(t, 40, 40, 10, 1_000_000, 0) }
