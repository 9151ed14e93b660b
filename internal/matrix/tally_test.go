package matrix

import (
	"errors"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	text := "# Fuzzing\n\n| target | executions | seconds | runs | last |\n" + fuzzHead + "\nthe end\n"
	for _, day := range []string{"2026-01-01", "2026-01-02"} {
		var err error
		text, err = Tally(text, strings.NewReader("./b FuzzB 999 10\n./a FuzzA 1000000 15\n"), day)
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "| ./a FuzzA | 2,000,000 | 30 | 2 | 2026-01-02 |\n| ./b FuzzB | 1,998 | 20 | 2 | 2026-01-02 |\n\nthe end\n"
	if !strings.HasSuffix(text, fuzzHead+want) || strings.Count(text, "Fuzz") != 3 {
		t.Errorf("%s", text)
	}
	if _, err := Tally("no table", strings.NewReader(""), ""); !errors.Is(err, ErrTable) {
		t.Error(err)
	}
	if _, err := Tally(text+"", strings.NewReader("what\n"), ""); err == nil {
		t.Error("a run without figures is taken")
	}
}
