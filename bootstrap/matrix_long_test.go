//go:build long

package bootstrap_test

import "testing"

// TestLongMatrixB1EnrolAgain is TestMatrixB1EnrolAgain with 2^14 people.
func TestLongMatrixB1EnrolAgain(t *testing.T) { redraw(t, 1<<14) }
