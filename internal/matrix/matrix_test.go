package matrix

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const document = `
| row | state | the program | the attack | mechanism | tests | figure |
| --- | --- | --- | --- | --- | --- | --- |
| A1 | covered | p | a | chains are verified | ` + "`TestMatrixA1One`, `TestMatrixA1Two`" + ` | 0 of 3 |
| B2 | open | p | a | | | |
`

// events is a run: one package whose tests pass, one that fails.
func events(t *testing.T, list ...event) string {
	t.Helper()
	var b strings.Builder
	for _, e := range list {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func passing(test string, figures ...string) []event {
	list := []event{{Action: "start", Package: "p"}, {Action: "run", Package: "p", Test: test}}
	for _, f := range figures {
		list = append(list, event{Action: "output", Package: "p", Test: test, Output: "    x_test.go:1: " + f + "\n"})
	}
	return append(list, event{Action: "pass", Package: "p", Test: test}, event{Action: "output", Package: "p", Output: "PASS\n"},
		event{Action: "output", Package: "p", Output: "ok  \tp\t0.1s\n"}, event{Action: "pass", Package: "p"})
}

func report(t *testing.T, input string) (printed string, lines []Line, failed bool, err error) {
	t.Helper()
	rows, err := ReadTable(document)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	res, err := Run(strings.NewReader(input), &out, false)
	if err != nil {
		t.Fatal(err)
	}
	lines, err = res.Report(rows)
	return out.String(), lines, res.Failed, err
}

func TestPassingRun(t *testing.T) {
	printed, lines, failed, err := report(t, events(t, passing("TestMatrixA1One", "noise", "matrix: A1 replays: 0 of 3")...))
	if err != nil || failed || printed != "ok  \tp\t0.1s\n" {
		t.Errorf("%q, %v, %v", printed, failed, err)
	}
	if len(lines) != 2 || lines[0].Result != "pass" || !slices.Equal(lines[0].Figures, []string{"replays: 0 of 3"}) || lines[1].Result != "-" {
		t.Errorf("%+v", lines)
	}
	var text, asJSON strings.Builder
	WriteText(&text, lines)
	if rows := strings.Split(strings.TrimSpace(text.String()), "\n"); len(rows) != 3 || !strings.Contains(rows[1], "replays: 0 of 3") {
		t.Errorf("%q", text.String())
	}
	var back []Line
	if err := WriteJSON(&asJSON, lines); err != nil || json.Unmarshal([]byte(asJSON.String()), &back) != nil || len(back) != 2 {
		t.Errorf("%v: %s", err, asJSON.String())
	}
}

func TestFailingRun(t *testing.T) {
	failing := []event{
		{Action: "run", Package: "p", Test: "TestMatrixA1One"}, {Action: "run", Package: "p", Test: "TestFine"},
		{Action: "output", Package: "p", Test: "TestMatrixA1One", Output: "    wrong\n"},
		{Action: "output", Package: "p", Test: "TestFine", Output: "    fine\n"},
		{Action: "output", Package: "p", Test: "TestRaced", Output: "WARNING: DATA RACE\n"},
		{Action: "pass", Package: "p", Test: "TestFine"}, {Action: "pass", Package: "p", Test: "TestRaced"},
		{Action: "fail", Package: "p", Test: "TestMatrixA1One"},
		{Action: "output", Package: "p", Output: "FAIL\tp\t0.1s\n"}, {Action: "fail", Package: "p"},
	}
	printed, lines, failed, err := report(t, events(t, failing...))
	if printed != "    wrong\nWARNING: DATA RACE\nFAIL\tp\t0.1s\n" || !failed || !errors.Is(err, ErrFailed) || lines[0].Result != "FAIL" {
		t.Errorf("%q, %v, %v, %+v", printed, failed, err, lines)
	}
	for what, c := range map[string]struct {
		input  string
		want   error
		failed bool
	}{
		"nothing ran":        {"", ErrUncovered, false},
		"another row's test": {events(t, passing("TestMatrixC7X")...), ErrTable, false},
		"does not build":     {"{\"Action\":\"build-fail\",\"ImportPath\":\"p\"}\n", ErrUncovered, true},
		"cut short":          {events(t, event{Action: "run", Package: "p", Test: "TestMatrixA1One"}), ErrUncovered, true},
	} {
		if _, _, failed, err := report(t, c.input); !errors.Is(err, c.want) || failed != c.failed {
			t.Errorf("%s: %v, %v", what, failed, err)
		}
	}
}

// What failed is kept, of much the end.
func TestWhyARunFailed(t *testing.T) {
	long := []event{{Action: "run", Package: "p", Test: "TestA"}}
	for i := range 2000 {
		long = append(long, event{Action: "output", Package: "p", Test: "TestA", Output: fmt.Sprintf("ä line %d\n", i)})
	}
	long = append(long, event{Action: "fail", Package: "p"})
	res, err := Run(strings.NewReader(events(t, long...)+events(t, passing("TestMatrixA1One")...)), io.Discard, false)
	if err != nil || len(res.Why) > maxWhy+4 || !utf8.ValidString(res.Why) || !strings.HasPrefix(res.Why, "…") || !strings.HasSuffix(res.Why, "ä line 1998\nä line 1999\n") {
		t.Errorf("%v, %d bytes: %.40q", err, len(res.Why), res.Why)
	}
	if res, err = Run(strings.NewReader(events(t, passing("TestMatrixA1One")...)), io.Discard, false); err != nil || res.Why != "" {
		t.Errorf("%v, %q", err, res.Why)
	}
}

func TestBadTables(t *testing.T) {
	for what, text := range map[string]string{
		"no rows":   "# nothing",
		"few cells": "| A1 | open | p |",
		"no state":  "| A1 | fine | p | a | m | t | f |",
		"twice":     document + "| A1 | open | p | a | m | t | f |",
	} {
		if rows, err := ReadTable(text); !errors.Is(err, ErrTable) {
			t.Errorf("%s: %+v, %v", what, rows, err)
		}
	}
}
