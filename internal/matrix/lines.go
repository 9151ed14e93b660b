package matrix

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Line is the report on one row.
type Line struct {
	Row       string   `json:"row"`
	State     string   `json:"state"`  // as docs/security.md has it
	Result    string   `json:"result"` // "pass", "FAIL", or "-" where no test ran
	Mechanism string   `json:"mechanism"`
	Tests     []string `json:"tests"`
	Figures   []string `json:"figures"`
	// Undefended says which of the tests have been seen to fail with their defence
	// switched off, and without which; nil if nobody has looked.
	Undefended []Seen `json:"undefended,omitempty"`
}

// Mark enters which tests have been seen to fail without their defence.
func Mark(lines []Line, seen []Seen) {
	for i := range lines {
		for _, s := range seen {
			if id, _ := RowOf(s.Test); id == lines[i].Row && s.Failed {
				lines[i].Undefended = append(lines[i].Undefended, s)
			}
		}
	}
}

// without counts the tests that have been seen to fail.
func (l *Line) without() int {
	tests := map[string]bool{}
	for _, s := range l.Undefended {
		tests[s.Test] = true
	}
	return len(tests)
}

// Report joins the table with what ran. It fails with ErrFailed if a test of
// the matrix failed, and with ErrUncovered if a covered row has no test that
// passed.
func (r *Results) Report(rows []Row) ([]Line, error) {
	var err error
	lines := make([]Line, len(rows))
	for i, row := range rows {
		l := Line{Row: row.ID, State: row.State, Result: "-", Mechanism: row.Mechanism, Tests: []string{}, Figures: []string{}}
		for _, t := range r.Tests {
			if id, _ := RowOf(t.Name); id != row.ID {
				continue
			}
			l.Tests = append(l.Tests, t.Name)
			l.Figures = append(l.Figures, t.Figures...)
			switch {
			case !t.Passed:
				l.Result, err = "FAIL", fmt.Errorf("%w: %s", ErrFailed, t.Name)
			case l.Result == "-":
				l.Result = "pass"
			}
		}
		if row.State == Covered && l.Result != "pass" && err == nil {
			err = fmt.Errorf("%w: %s", ErrUncovered, row.ID)
		}
		lines[i] = l
	}
	for _, t := range r.Tests {
		id, _ := RowOf(t.Name)
		if !slices.ContainsFunc(rows, func(row Row) bool { return row.ID == id }) {
			return lines, fmt.Errorf("%w: %s has no row", ErrTable, t.Name)
		}
	}
	return lines, err
}

// mechanismWidth is how much of a mechanism fits on a row's line, in
// characters.
const mechanismWidth = 48

// WriteText prints one line a row. Where anybody has looked, "bare" is how many of
// the row's tests have been seen to fail without their defence.
func WriteText(out io.Writer, lines []Line) {
	looked := slices.ContainsFunc(lines, func(l Line) bool { return l.Undefended != nil })
	bare := func(text string) string {
		if !looked {
			return ""
		}
		return fmt.Sprintf("%5s ", text)
	}
	fmt.Fprintf(out, "%-4s %-8s %-5s %-*s %5s %s %s\n", "row", "state", "", mechanismWidth, "mechanism", "tests", bare("bare"), "figures")
	for _, l := range lines {
		fmt.Fprintf(out, "%-4s %-8s %-5s %-*s %5d %s %s\n", l.Row, l.State, l.Result,
			mechanismWidth, short(l.Mechanism), len(l.Tests), bare(fmt.Sprint(l.without())), strings.Join(l.Figures, " · "))
	}
}

// WriteJSON prints the lines as one JSON array.
func WriteJSON(out io.Writer, lines []Line) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(lines)
}

// short cuts a text to the width of its column.
func short(text string) string {
	if r := []rune(strings.ReplaceAll(text, "`", "")); len(r) > mechanismWidth {
		return string(r[:mechanismWidth-1]) + "…"
	}
	return text
}
