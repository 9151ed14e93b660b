package directory

import (
	"slices"
	"testing"
)

func TestLRUForgetsWhatWasNotUsed(t *testing.T) {
	l := newLRU[string, int](2)
	l.put("a", 1)
	l.put("b", 2)
	l.put("a", 3)
	l.put("c", 4) // b goes
	if _, ok := l.get("b"); ok {
		t.Error("b is still there")
	}
	if v, ok := l.get("a"); !ok || v != 3 {
		t.Errorf("a is %d", v)
	}
	if got := l.all(); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("in order of use: %v", got)
	}
	l.drop("a")
	l.drop("a")
	if got := l.all(); !slices.Equal(got, []int{4}) {
		t.Errorf("after drop: %v", got)
	}
}
