// Package docs_test holds the documentation to the code: what the pages name
// exists, and what exists is named.
package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pages are the documents under test, by their path from this folder.
var pages = []string{"../README.md", "architecture.md", "protocol.md", "operations.md", "benchmarks.md", "security.md"}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// goFiles parses the files that a pattern matches, tests left out.
func goFiles(t *testing.T, pattern string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		t.Fatalf("%s matches no Go file: this test looks in the wrong place", pattern)
	}
	return files
}

// inspect calls f with every node of the files that a pattern matches.
func inspect(t *testing.T, pattern string, f func(ast.Node)) {
	t.Helper()
	for _, file := range goFiles(t, pattern) {
		ast.Inspect(file, func(n ast.Node) bool {
			if n != nil {
				f(n)
			}
			return true
		})
	}
}

// text returns the value of a string literal.
func text(n ast.Node) (string, bool) {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// constants returns the values of the constants whose names match, as written.
func constants(t *testing.T, pattern, names string) []string {
	t.Helper()
	match := regexp.MustCompile(names)
	var out []string
	inspect(t, pattern, func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return
		}
		for i, name := range spec.Names {
			if lit, ok := valueOf(spec, i).(*ast.BasicLit); ok && match.MatchString(name.Name) {
				out = append(out, strings.Trim(lit.Value, `"`))
			}
		}
	})
	if len(out) == 0 {
		t.Fatalf("no constants %s in %s", names, pattern)
	}
	return out
}

func valueOf(spec *ast.ValueSpec, i int) ast.Node {
	if i < len(spec.Values) {
		return spec.Values[i]
	}
	return nil
}

var (
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingPattern = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// anchors returns the names under which a page's headings can be linked.
func anchors(page string) []string {
	var out []string
	for _, m := range headingPattern.FindAllStringSubmatch(page, -1) {
		kept := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r >= '0' && r <= '9', r >= 'a' && r <= 'z':
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		out = append(out, kept)
	}
	return out
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages {
		for _, m := range linkPattern.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", page, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s: %s has no heading #%s", page, target, anchor)
			}
		}
	}
}

// commandLine returns the words and flags that the program knows, read out of
// its source.
func commandLine(t *testing.T) (commands, flags map[string]bool) {
	t.Helper()
	commands = map[string]bool{"help": true, "completion": true}
	flags = map[string]bool{"help": true}
	inspect(t, "../cmd/secp2psip/*.go", func(n ast.Node) {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Use" {
				addCommand(commands, n.Value)
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return
			}
			if at, ok := map[string]int{"rootSubcommand": 0, "phraseCommand": 0, "ruleCommand": 1}[sel.Sel.Name]; ok {
				addCommand(commands, n.Args[at])
			}
			if !isFlags(sel.X) {
				return
			}
			for _, arg := range n.Args {
				if name, ok := text(arg); ok {
					flags[name] = true
					return
				}
			}
		}
	})
	for _, s := range settings(t) {
		flags[strings.NewReplacer(".", "-", "_", "-").Replace(s.key)] = true
	}
	return commands, flags
}

func addCommand(commands map[string]bool, use ast.Node) {
	if s, ok := text(use); ok {
		name, _, _ := strings.Cut(s, " ")
		commands[name] = true
	}
}

// isFlags tells whether x is cmd.Flags() or cmd.PersistentFlags().
func isFlags(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (sel.Sel.Name == "Flags" || sel.Sel.Name == "PersistentFlags")
}

var (
	commandPattern = regexp.MustCompile(`secp2psip ([a-z]+(?:-[a-z]+)*)\b`)
	flagPattern    = regexp.MustCompile(`--([a-z][a-z0-9-]+)`)
	codePattern    = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
)

func TestCommandsAndFlagsExist(t *testing.T) {
	commands, flags := commandLine(t)
	for _, page := range pages {
		if page == "protocol.md" { // no command line, and texts that look like one
			continue
		}
		for _, code := range codePattern.FindAllString(read(t, page), -1) {
			for _, m := range commandPattern.FindAllStringSubmatch(code, -1) {
				if !commands[m[1]] {
					t.Errorf("%s: there is no command %q", page, m[0])
				}
			}
			if !strings.Contains(code, "secp2psip") && !strings.HasPrefix(code, "`--") {
				continue // another program's flags
			}
			for _, m := range flagPattern.FindAllStringSubmatch(code, -1) {
				if !flags[m[1]] && m[1] != "now" { // systemctl enable --now
					t.Errorf("%s: there is no flag --%s", page, m[1])
				}
			}
		}
	}
	all := read(t, "../README.md") + read(t, "operations.md")
	for name := range commands {
		described := slices.ContainsFunc([]string{"", "config ", "root ", "passphrase "}, func(group string) bool {
			return strings.Contains(all, "secp2psip "+group+name)
		})
		if name != "help" && name != "secp2psip" && !described {
			t.Errorf("the command %s is not described", name)
		}
	}
}

// setting is one line of a sample configuration file.
type setting struct{ file, key, value string }

// settings reads the sample configuration files, which a test beside them
// holds to the code: every key with its default.
func settings(t *testing.T) []setting {
	t.Helper()
	table := regexp.MustCompile(`^#?\[\[?([a-z.]+)\]\]?$`)
	line := regexp.MustCompile(`^#?([a-z0-9_]+) = (.+)$`)
	var out []setting
	for _, file := range []string{"bootstrap", "adapter"} {
		prefix := ""
		for l := range strings.Lines(read(t, "../configs/"+file+".toml")) {
			l = strings.TrimSpace(l)
			if m := table.FindStringSubmatch(l); m != nil {
				prefix = m[1] + "."
			} else if m := line.FindStringSubmatch(l); m != nil {
				out = append(out, setting{file, prefix + m[1], m[2]})
			}
		}
	}
	return out
}

func TestEverySettingIsDocumented(t *testing.T) {
	_, rest, _ := strings.Cut(read(t, "operations.md"), "### Bootstrap server")
	bootstrap, adapter, ok := strings.Cut(rest, "### Adapter")
	if !ok {
		t.Fatal("operations.md has no reference of the settings")
	}
	parts := map[string]string{"bootstrap": bootstrap, "adapter": adapter}
	all := settings(t)
	if len(all) < 30 {
		t.Fatalf("only %d settings found: this test reads the samples wrongly", len(all))
	}
	for _, s := range all {
		row := fmt.Sprintf("| `%s` | `%s` |", s.key, s.value)
		if strings.HasPrefix(s.key, "sip.accounts.") { // has no default
			row = "`" + strings.TrimPrefix(s.key, "sip.accounts.") + "`"
		}
		if !strings.Contains(parts[s.file], row) {
			t.Errorf("operations.md, %s: no row %s", s.file, row)
		}
	}
}

func TestEveryMetricIsDocumented(t *testing.T) {
	page := read(t, "operations.md")
	found := 0
	name := func(n ast.Node) {
		if s, ok := text(n); ok {
			found++
			if !strings.Contains(page, "| `secp2psip_"+s+"` |") {
				t.Errorf("operations.md: the metric secp2psip_%s is missing", s)
			}
		}
	}
	inspect(t, "../internal/metrics/*.go", func(n ast.Node) {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Name" {
				name(n.Value)
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Gauge" && len(n.Args) > 0 {
				name(n.Args[0])
			}
		}
	})
	if found < 8 {
		t.Errorf("only %d metrics found: this test looks in the wrong place", found)
	}
}

func TestEveryReasonIsDocumented(t *testing.T) {
	_, page, _ := strings.Cut(read(t, "operations.md"), "## Refusals by reason")
	for _, from := range []struct{ files, names string }{
		{"../internal/link/reasons.go", "^Reason"},
		{"../internal/record/store.go", "^Reason"},
		{"../internal/directory/errors.go", "^Reason"},
		{"../keyshare/errors.go", "^Reason"},
		{"../internal/evidence/errors.go", "^Reason"},
		{"../chord/errors.go", "^Refused"},
		{"../sipbridge/errors.go", "^Refused"},
		{"../sipbridge/carry/errors.go", "^Refused"},
		{"../internal/media/echo.go", "^Refused"},
		{"../internal/media/relay/errors.go", "^Refused"},
		{"../adapter/*.go", "^reason[A-Z]"},
		{"../internal/portmap/errors.go", "^reason[A-Z]"},
		{"../internal/node/*.go", "^reason[A-Z]"},
		{"../bootstrap/*.go", "^reason[A-Z]"},
	} {
		for _, reason := range constants(t, from.files, from.names) {
			if !strings.Contains(page, "`"+reason+"`") {
				t.Errorf("operations.md: the reason %s of %s is missing", reason, from.files)
			}
		}
	}
}

// The limits of the link stand in comments, in brackets, as its defaults.
func TestLinkLimitsAreDocumented(t *testing.T) {
	page := read(t, "operations.md")
	field := regexp.MustCompile(`(?m)^\t([A-Z]\w+) +\S+ +// .*\[(.+)\]$`)
	all := field.FindAllStringSubmatch(read(t, "../internal/link/limits.go"), -1)
	if len(all) < 15 {
		t.Fatalf("only %d limits found: this test reads limits.go wrongly", len(all))
	}
	for _, m := range all {
		if row := fmt.Sprintf("| %s | %s |", m[1], m[2]); !strings.Contains(page, row) {
			t.Errorf("operations.md: no row %s", row)
		}
	}
}

// What the front answers by itself, a person must find in the table.
func TestEverySIPCodeIsDocumented(t *testing.T) {
	page := read(t, "operations.md")
	found := 0
	inspect(t, "../sipbridge/*.go", func(n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return
		}
		if fun, ok := call.Fun.(*ast.Ident); !ok || fun.Name != "refuse" {
			return
		}
		code, ok := call.Args[0].(*ast.BasicLit)
		if !ok || code.Kind != token.INT {
			return
		}
		found++
		reason, _ := text(call.Args[1])
		if row := fmt.Sprintf("| %s | %s |", code.Value, reason); !strings.Contains(page, row) {
			t.Errorf("operations.md: no row %s", row)
		}
	})
	if found < 15 {
		t.Errorf("only %d answers found: this test looks in the wrong place", found)
	}
}

func TestExitCodesAreDocumented(t *testing.T) {
	page := read(t, "operations.md")
	for _, code := range constants(t, "../cmd/secp2psip/exit.go", "^exit[A-Z]") {
		if !strings.Contains(page, "| "+code+" | ") {
			t.Errorf("operations.md: the exit code %s is missing", code)
		}
	}
}
