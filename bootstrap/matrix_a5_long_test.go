//go:build long

package bootstrap_test

import "testing"

// TestLongTenThousandNames is TestMatrixA5Quotas with 10,000 names.
func TestLongTenThousandNames(t *testing.T) { botClaims(t, 10_000) }
