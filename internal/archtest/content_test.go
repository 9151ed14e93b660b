package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Bounds of size, in lines.
const (
	maxFileLines = 450
	maxFuncLines = 70
	maxTestLines = 100 // of a test, which tells one story from start to end
)

// contentRules look at one Go file each. virtual holds the folders whose tests
// use synctest.
var contentRules = map[string]func(s source, virtual map[string]bool) []string{
	"skipped tests":  skips,
	"sleeping":       sleeps,
	"init functions": inits,
	"size":           sizes,
}

func TestContent(t *testing.T) {
	files := goFiles(t)
	virtual := bubbles(files)
	for name, rule := range contentRules {
		t.Run(name, func(t *testing.T) {
			for _, s := range files {
				for _, v := range rule(s, virtual) {
					t.Error(v)
				}
			}
		})
	}
}

// skips finds tests that may not run: a test that is not run is not there.
func skips(s source, _ map[string]bool) (list []string) {
	s.calls(func(call *ast.CallExpr, x, name string, _ []string) {
		if slices.Contains([]string{"t", "b", "f", "tb", "ts"}, x) && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, name) {
			list = append(list, s.at(call)+": a test is skipped; let it fail and say what is missing")
		}
	})
	return list
}

// sleeps finds time.Sleep, which no context ends and which makes tests wait
// and hope. In a synctest bubble time is virtual, and it is fine: within the
// call of synctest.Test itself, and in a helper of such tests that says
// "virtual" beside it.
func sleeps(s source, virtual map[string]bool) (list []string) {
	lines := bytes.Split(s.text, []byte("\n"))
	s.calls(func(call *ast.CallExpr, x, name string, around []string) {
		if x != "time" || name != "Sleep" || slices.Contains(around, "synctest.Test") {
			return
		}
		line := lines[s.fset.Position(call.Pos()).Line-1]
		if s.test() && virtual[s.room()] && bytes.Contains(line, []byte("// virtual")) {
			return
		}
		list = append(list, s.at(call)+": time.Sleep; wait for what you need, with a deadline")
	})
	return list
}

// bubbles returns the folders whose tests import testing/synctest.
func bubbles(files []source) map[string]bool {
	rooms := map[string]bool{}
	for _, s := range files {
		s.imports(func(_, path string) {
			if path == "testing/synctest" {
				rooms[s.room()] = true
			}
		})
	}
	return rooms
}

func inits(s source, _ map[string]bool) (list []string) {
	for _, d := range s.ast.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			list = append(list, s.at(f)+": an init function; importing a package must do nothing")
		}
	}
	return list
}

func sizes(s source, _ map[string]bool) (list []string) {
	if n := bytes.Count(s.text, []byte("\n")); n > maxFileLines {
		list = append(list, fmt.Sprintf("%s: %d lines, the bound is %d", s.path, n, maxFileLines))
	}
	for _, d := range s.ast.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
		most := maxFuncLines
		if s.test() {
			n -= tableLines(s, f)
			most = maxTestLines
		}
		if n > most {
			list = append(list, fmt.Sprintf("%s: %s has %d lines, the bound is %d", s.at(f), f.Name.Name, n, most))
		}
	}
	return list
}

// tableLines counts the lines of the literals in a test's function: a table of
// cases is data, however long.
func tableLines(s source, f *ast.FuncDecl) (n int) {
	ast.Inspect(f, func(x ast.Node) bool {
		lit, ok := x.(*ast.CompositeLit)
		if ok {
			n += s.fset.Position(lit.End()).Line - s.fset.Position(lit.Pos()).Line
		}
		return !ok
	})
	return n
}

func TestContentFindsViolations(t *testing.T) {
	long := strings.Repeat("\t_ = 0\n", maxTestLines)
	tests := []struct{ rule, text, want string }{
		{"skipped tests", "func TestX(t *T) {\n\tt.Skip()\n}", "p/a_test.go:3"},
		{"skipped tests", "func TestX(t *T) {\n\tt.Run(f)\n}", ""},
		{"sleeping", "func f() {\n\ttime.Sleep(1)\n}", "p/a_test.go:3"},
		{"sleeping", "func f(t *T) {\n\tsynctest.Test(t, func(t *T) { time.Sleep(1) })\n}", ""},
		{"sleeping", "func f() {\n\ttime.Sleep(1) // virtual\n}", "p/a_test.go:3"},
		{"sleeping", "import \"testing/synctest\"\nfunc f() {\n\ttime.Sleep(1) // virtual\n}", ""},
		{"init functions", "func init() {}", "p/a_test.go:2"},
		{"init functions", "func (x T) init() {}", ""},
		{"size", "func f() {\n" + long + "}", "f has 102 lines"},
		{"size", strings.Repeat("\n", maxFileLines+1), "452 lines"},
		{"size", "func f() {\n\tx := []int{\n" + strings.Repeat("\t1,\n", maxTestLines) + "\t}\n\t_ = x\n}", ""},
		{"size", "func f() {\n" + long[:len(long)/2] + "}", ""},
	}
	for _, tt := range tests {
		s := parse(t, "p/a_test.go", []byte("package p\n"+tt.text))
		got := strings.Join(contentRules[tt.rule](s, bubbles([]source{s})), "\n")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.rule, got, tt.want)
		}
	}
}

// Each package says once what it is.
func TestPackageComments(t *testing.T) {
	for _, v := range commentViolations(goFiles(t)) {
		t.Error(v)
	}
}

func commentViolations(files []source) (list []string) {
	where := map[string][]string{}
	for _, s := range files {
		if strings.HasSuffix(s.ast.Name.Name, "_test") {
			continue
		}
		if _, ok := where[s.room()]; !ok {
			where[s.room()] = nil
		}
		if s.ast.Doc != nil {
			where[s.room()] = append(where[s.room()], path.Base(s.path))
		}
	}
	for room, docs := range where {
		if len(docs) != 1 {
			list = append(list, fmt.Sprintf("%s has %d package comments %v, not one", room, len(docs), docs))
		}
	}
	return list
}

func TestPackageCommentsFindViolations(t *testing.T) {
	with, without := "// Package p is.\npackage p\n", "package p\n"
	for _, tt := range []struct {
		texts []string
		bad   bool
	}{{[]string{with, without}, false}, {[]string{without}, true}, {[]string{with, with}, true}, {[]string{with, "// Tests.\npackage p_test\n"}, false}} {
		var files []source
		for i, text := range tt.texts {
			files = append(files, parse(t, fmt.Sprintf("p/%d.go", i), []byte(text)))
		}
		if got := commentViolations(files); (len(got) > 0) != tt.bad {
			t.Errorf("%q: %v", tt.texts, got)
		}
	}
}

// unfinished matches marks of work that was put off; split, so that this file
// does not match.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)

// personal matches folders of one person's or one machine's.
var personal = regexp.MustCompile(`(^|[^\w./$~*-])/(home|root|wo` + `rk|Users)/[\w.]`)

func TestTexts(t *testing.T) {
	for name, text := range textFiles(t) {
		if path.Base(name) == "go.sum" {
			continue
		}
		for _, v := range textViolations(name, string(text)) {
			t.Error(v)
		}
	}
}

func textViolations(name, text string) (list []string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if m := unfinished.FindString(line); m != "" {
			list = append(list, fmt.Sprintf("%s:%d: %s; finish it or drop it", name, n, m))
		}
		if !strings.Contains(line, "/") { // most lines, and the search is slow
			continue
		}
		if m := personal.FindString(line); m != "" {
			list = append(list, fmt.Sprintf("%s:%d: %q is a path of one machine", name, n, strings.TrimSpace(m)))
		}
	}
	return list
}

func TestTextsFindViolations(t *testing.T) {
	for text, bad := range map[string]bool{
		"// TO" + "DO: later":          true,
		"// FIX" + "ME":                true,
		"# see /ro" + "ot/notes":       true,
		"cd \"/ho" + "me/alice/x\"":    true,
		"the TODOs of others":          false,
		"https://example.org/home/x":   false,
		"/rootfs/x, $HOME/x, ~/home/x": false,
	} {
		if got := textViolations("f", text); (len(got) > 0) != bad {
			t.Errorf("%q: %v", text, got)
		}
	}
}
