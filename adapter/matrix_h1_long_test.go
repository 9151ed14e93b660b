//go:build long

package adapter_test

import (
	"testing"
	"time"
)

// TestLongMatrixH1HundredDays: see TestMatrixH1HundredDays; every day, for so
// long that registrations are refreshed and owners look after their records.
func TestLongMatrixH1HundredDays(t *testing.T) {
	var days []int
	for day := range 100 {
		days = append(days, day+1)
	}
	hundredDays(t, 11, 12, days, 30, 12*time.Minute)
}
