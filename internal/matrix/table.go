package matrix

import (
	"fmt"
	"regexp"
	"strings"
)

// The states that a row may have.
const (
	Covered = "covered" // all of what must show is asserted by a test
	Partly  = "partly"  // some of it is; the document says what is not
	Open    = "open"    // the program does not do it, or no test shows that it does
)

// Row is one line of the table in docs/security.md.
type Row struct {
	ID        string // as D3
	State     string // Covered, Partly or Open
	Program   string // what the program does
	Attack    string // the attack, and what must show
	Mechanism string // how the program does it
	Tests     []string
	Figure    string // what was measured when the line was written
}

var (
	rowPattern  = regexp.MustCompile(`^\| ([A-H][1-9][0-9]*) \|`)
	testPattern = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
	namePattern = regexp.MustCompile(`^TestMatrix([A-H][1-9][0-9]*)`)
)

// RowOf returns the row that a test is for, from the test's name; subtests
// belong to their parent's row.
func RowOf(test string) (id string, ok bool) {
	m := namePattern.FindStringSubmatch(test)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// ReadTable returns the rows of a document in its order. A row is a line of
// seven cells: ID, state, program, attack, mechanism, tests, figure.
func ReadTable(document string) ([]Row, error) {
	var rows []Row
	seen := map[string]bool{}
	for line := range strings.Lines(document) {
		m := rowPattern.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 9 {
			return nil, fmt.Errorf("%w: %s has %d cells, not 7", ErrTable, m[1], len(cells)-2)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		row := Row{ID: m[1], State: cells[2], Program: cells[3], Attack: cells[4], Mechanism: cells[5], Figure: cells[7]}
		for _, t := range testPattern.FindAllStringSubmatch(cells[6], -1) {
			row.Tests = append(row.Tests, t[1])
		}
		if row.State != Covered && row.State != Partly && row.State != Open {
			return nil, fmt.Errorf("%w: %s is %q, not covered, partly or open", ErrTable, row.ID, row.State)
		}
		if seen[row.ID] {
			return nil, fmt.Errorf("%w: %s stands there twice", ErrTable, row.ID)
		}
		seen[row.ID] = true
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: it has no rows", ErrTable)
	}
	return rows, nil
}
