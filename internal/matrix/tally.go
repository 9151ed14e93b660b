package matrix

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// fuzzed is one line of the table of fuzzing: a target, and all runs of it
// that were recorded.
type fuzzed struct {
	target         string // package and name: ./internal/canon FuzzVerify
	execs, seconds uint64
	runs           uint64
	last           string // the day of the last run
}

var fuzzPattern = regexp.MustCompile(`^\| (\./\S+ Fuzz\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| (\S+) \|$`)

// fuzzHead is the line above the table's rows.
const fuzzHead = "| --- | --- | --- | --- | --- |\n"

// Tally adds runs of fuzz targets to the table in a document, and returns the
// document. A run is a line "PACKAGE TARGET EXECUTIONS SECONDS".
func Tally(document string, runs io.Reader, day string) (string, error) {
	at := strings.LastIndex(document, "| target | executions | seconds | runs | last |\n"+fuzzHead)
	if at < 0 {
		return "", fmt.Errorf("%w: there is no table of fuzz targets", ErrTable)
	}
	at = strings.Index(document[at:], fuzzHead) + at + len(fuzzHead)
	table := map[string]*fuzzed{}
	rest := document[at:]
	for strings.HasPrefix(rest, "|") {
		line, after, _ := strings.Cut(rest, "\n")
		m := fuzzPattern.FindStringSubmatch(line)
		if m == nil {
			return "", fmt.Errorf("%w: %q", ErrTable, line)
		}
		table[m[1]] = &fuzzed{m[1], number(m[2]), number(m[3]), number(m[4]), m[5]}
		rest = after
	}
	lines := bufio.NewScanner(runs)
	for lines.Scan() {
		var pkg, name string
		var execs, seconds uint64
		if _, err := fmt.Sscan(lines.Text(), &pkg, &name, &execs, &seconds); err != nil {
			return "", fmt.Errorf("a run %q: %w", lines.Text(), err)
		}
		f := table[pkg+" "+name]
		if f == nil {
			f = &fuzzed{target: pkg + " " + name}
			table[f.target] = f
		}
		f.execs, f.seconds, f.runs, f.last = f.execs+execs, f.seconds+seconds, f.runs+1, day
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	var all []*fuzzed
	for _, f := range table {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *fuzzed) int { return cmp.Compare(a.target, b.target) })
	var b strings.Builder
	b.WriteString(document[:at])
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s |\n", f.target, thousands(f.execs), thousands(f.seconds), f.runs, f.last)
	}
	b.WriteString(rest)
	return b.String(), nil
}

func number(text string) uint64 {
	v, _ := strconv.ParseUint(strings.ReplaceAll(text, ",", ""), 10, 64) // digits, by the pattern
	return v
}

// thousands writes 4096 as 4,096.
func thousands(v uint64) string {
	s := strconv.FormatUint(v, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
