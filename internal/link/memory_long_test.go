//go:build long

package link_test

import "testing"

// TestLongMemoryUnderFloods: see TestMatrixH4MemoryUnderFloods.
func TestLongMemoryUnderFloods(t *testing.T) { memoryUnderFloods(t, 10) }
