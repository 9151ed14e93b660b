//go:build long

package adapter_test

import "testing"

// Of two hundred calls at once, one takes no more.
func TestLongMemoryOfManyCalls(t *testing.T) { memoryOfCalls(t, 200) }
