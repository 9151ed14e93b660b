package matrix

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
}

// Test is one top-level test, as it went.
type Test struct {
	Name    string
	Package string
	Passed  bool
	Figures []string // what it logged behind "matrix: ROW "
}

// Results is what a run of `go test -json` brought.
type Results struct {
	Tests  []Test // of the matrix alone
	Failed bool   // some test or package, of the matrix or not
	Why    string // what packages that failed have printed, a part of each
}

var figurePattern = regexp.MustCompile(`matrix: ([A-H][1-9][0-9]*) (.*)$`)

// maxLine bounds one line of the input; a test's output comes line by line.
const maxLine = 16 << 20

// Run reads what `go test -json` prints and writes to out what `go test` would
// have printed without it: one line for each package, and of packages that
// failed what their tests said. Lines that are no events are passed on. If
// quiet, packages that passed are not named.
func Run(in io.Reader, out io.Writer, quiet bool) (*Results, error) {
	r := &reading{out: out, quiet: quiet, packages: map[string]*pkg{}, res: &Results{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		var e event
		if !bytes.HasPrefix(lines.Bytes(), []byte("{")) || json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		r.take(e)
	}
	for name, p := range r.packages { // cut short
		fmt.Fprintf(out, "FAIL\t%s [no result]\n", name)
		r.failed(p)
	}
	slices.SortFunc(r.res.Tests, func(a, b Test) int { return strings.Compare(a.Name+" "+a.Package, b.Name+" "+b.Package) })
	return r.res, lines.Err()
}

// reading is the state of one Run.
type reading struct {
	out      io.Writer
	quiet    bool
	packages map[string]*pkg
	res      *Results
}

// pkg is a package that is being tested.
type pkg struct {
	lines  []line
	passed map[string]bool
	figure map[string][]string
	order  []string // of the matrix's tests
}

// line is one of a package's output, and the test it came from.
type line struct{ test, text string }

func (r *reading) take(e event) {
	if e.Action == "build-output" {
		fmt.Fprint(r.out, e.Output)
		return
	}
	if e.Action == "build-fail" {
		r.res.Failed = true
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &pkg{passed: map[string]bool{}, figure: map[string][]string{}}
		r.packages[e.Package] = p
	}
	top, _, _ := strings.Cut(e.Test, "/")
	switch {
	case e.Action == "output":
		p.lines = append(p.lines, line{e.Test, e.Output})
		if m := figurePattern.FindStringSubmatch(strings.TrimSpace(e.Output)); m != nil && top != "" {
			p.figure[top] = append(p.figure[top], m[2])
		}
	case e.Action == "run" && e.Test == top:
		if _, ok := RowOf(top); ok {
			p.order = append(p.order, top)
		}
	case e.Test != "":
		if e.Action == "pass" {
			p.passed[e.Test] = true
		}
	case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
		r.done(e, p)
	}
}

// done takes what a package brought, and prints it.
func (r *reading) done(e event, p *pkg) {
	delete(r.packages, e.Package)
	for _, name := range p.order {
		r.res.Tests = append(r.res.Tests, Test{Name: name, Package: e.Package, Passed: p.passed[name], Figures: p.figure[name]})
	}
	if e.Action == "fail" {
		r.failed(p)
		return
	}
	if r.quiet {
		return
	}
	for _, l := range slices.Backward(p.lines) {
		if l.test == "" && strings.Contains(l.text, "\t") { // "ok", the package, the time
			fmt.Fprint(r.out, l.text)
			return
		}
	}
}

// maxWhy bounds what is kept of one package's output, in bytes: its end.
const maxWhy = 8 << 10

func (r *reading) failed(p *pkg) {
	r.res.Failed = true
	var said strings.Builder
	p.print(&said)
	why := said.String()
	fmt.Fprint(r.out, why)
	if len(why) > maxWhy {
		why = "…" + strings.ToValidUTF8(why[len(why)-maxWhy:], "")
	}
	r.res.Why += why
}

// print shows what a package that failed said, but for its tests that passed;
// what the race detector and a crash say can stand under any test.
func (p *pkg) print(out io.Writer) {
	loud := map[string]bool{}
	for _, l := range p.lines {
		if strings.Contains(l.text, "DATA RACE") || strings.HasPrefix(l.text, "panic:") || strings.HasPrefix(l.text, "fatal error:") {
			loud[l.test] = true
		}
	}
	for _, l := range p.lines {
		if l.test == "" || loud[l.test] || !p.passed[l.test] {
			fmt.Fprint(out, l.text)
		}
	}
}
