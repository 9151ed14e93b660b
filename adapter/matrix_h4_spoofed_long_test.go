//go:build long && linux

package adapter_test

import "testing"

// TestLongMatrixH4SpoofedPackets: see TestMatrixH4SpoofedPackets; 10,000 packets a
// second.
func TestLongMatrixH4SpoofedPackets(t *testing.T) { spoofed(t, 5, 6, 10_000) }
