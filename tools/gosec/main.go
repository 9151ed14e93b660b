// Command gosec runs the rules of github.com/securego/gosec over the packages
// that its arguments name and fails on any finding.
//
// It is not that project's own command, which loads every package again with all
// that it imports, and brings along the clients of several clouds: this one
// loads all packages once. A finding that is right as it is has a comment
// "#nosec RULE -- reason" at its place; one without a rule or a reason is a
// finding, too. Whole rules are left out by exceptions only.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/securego/gosec/v2"
	"github.com/securego/gosec/v2/analyzers"
	"github.com/securego/gosec/v2/issue"
	"github.com/securego/gosec/v2/rules"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/buildssa"
	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

// exception is a rule that says nothing about some folders.
type exception struct {
	rule, folder string // of the module, "" = all of it
	reason       string
}

var exceptions = []exception{
	{"G115", "", "it knows no ranges beyond what stands in the same function, and so names every number of a bounded field, a length or a clock; decoders refuse what does not fit, and fuzz targets hold them to it"},
	{"G304", "", "the operator's configuration and command line name the files that the program reads and writes; what strangers send names none"},
	{"G404", "internal/simnet", "a simulation must run again as it ran: all its randomness comes from a seed, and its keys protect nothing"},
}

// unfailing are the functions whose error nobody has to look at.
var unfailing = map[string]any{
	"rand": []any{"Read"}, "crand": []any{"Read"}, // of crypto/rand: never returns one, since Go 1.24
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gosec:", err)
		os.Exit(1)
	}
}

func run(patterns []string, out io.Writer) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	pkgs, err := packages.Load(&packages.Config{Mode: gosec.LoadMode}, patterns...)
	if err != nil {
		return err
	}
	conf := gosec.NewConfig()
	conf["G104"] = unfailing
	// Without it, a rule asks the go command for the version at each loop.
	if err := os.Setenv("GOSECGOVERSION", runtime.Version()); err != nil {
		return err
	}
	var said bytes.Buffer // what the rules themselves stumble over
	a := gosec.NewAnalyzer(conf, false, false, false, 1, log.New(&said, "", 0))
	a.LoadRules(rules.Generate(false).RulesInfo())
	var bad []string
	var issues []*issue.Issue
	right := places{}
	for _, pkg := range pkgs {
		for _, e := range pkg.Errors {
			return fmt.Errorf("%s: %s", e.Pos, e.Msg)
		}
		bad = append(bad, right.read(root, pkg)...)
		a.CheckRules(pkg)
		more, err := analyse(conf, pkg)
		if err != nil {
			return fmt.Errorf("%s: %w", pkg.PkgPath, err)
		}
		issues = append(issues, more...)
	}
	for line := range strings.Lines(said.String()) {
		if strings.HasPrefix(line, "Rule error") {
			return fmt.Errorf("a rule could not be applied: %s", line)
		}
	}
	found, stats, _ := a.Report()
	for _, i := range append(issues, found...) {
		if name := within(root, i.File); !excepted(i, name) && !right.at(name, i) {
			bad = append(bad, fmt.Sprintf("%s:%s: %s: %s", name, i.Line, i.RuleID, i.What))
		}
	}
	slices.Sort(bad)
	for _, line := range slices.Compact(bad) {
		fmt.Fprintln(out, line)
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d findings: mend them, or say at the place why it is right: // #nosec RULE -- reason", len(bad))
	}
	fmt.Fprintf(out, "gosec: none in %d files of %d packages; %d places say why they are right\n", stats.NumFiles, len(pkgs), len(right))
	return nil
}

func excepted(i *issue.Issue, name string) bool {
	return slices.ContainsFunc(exceptions, func(e exception) bool {
		return e.rule == i.RuleID && (e.folder == "" || strings.HasPrefix(name, e.folder+"/"))
	})
}

func within(root, name string) string {
	if rel, err := filepath.Rel(root, name); err == nil {
		return filepath.ToSlash(rel)
	}
	return name
}

// analyse runs the rules that want a package in SSA form: gosec itself builds it
// in a way that the present golang.org/x/tools does not allow any more, and then
// leaves these rules out without a word.
func analyse(conf gosec.Config, pkg *packages.Package) (out []*issue.Issue, err error) {
	prog := ssa.NewProgram(pkg.Fset, ssa.BuilderMode(0))
	for _, p := range pkg.Types.Imports() {
		prog.CreatePackage(p, nil, nil, true)
	}
	built := prog.CreatePackage(pkg.Types, pkg.Syntax, pkg.TypesInfo, false)
	built.Build()
	form := &buildssa.SSA{Pkg: built}
	for f := range ssautil.AllFunctions(prog) {
		if f.Pkg == built && f.Syntax() != nil {
			form.SrcFuncs = append(form.SrcFuncs, f)
		}
	}
	slices.SortFunc(form.SrcFuncs, func(a, b *ssa.Function) int { return int(a.Pos() - b.Pos()) })
	for _, def := range analyzers.Generate(false).Analyzers {
		rule := def.Create(def.ID, def.Description)
		result, err := rule.Run(&analysis.Pass{
			Analyzer: rule, Fset: pkg.Fset, Files: pkg.Syntax, Pkg: pkg.Types, TypesInfo: pkg.TypesInfo, TypesSizes: pkg.TypesSizes,
			ResultOf: map[*analysis.Analyzer]any{buildssa.Analyzer: &analyzers.SSAAnalyzerResult{Config: conf, Logger: log.Default(), SSA: form}},
			Report:   func(analysis.Diagnostic) {},
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", def.ID, err)
		}
		if found, ok := result.([]*issue.Issue); ok {
			out = append(out, found...)
		}
	}
	return out, nil
}

// place is a line of a file.
type place struct {
	file string
	line int
}

// places are the rules that a comment at a line keeps quiet, "G104 G404".
type places map[place]string

// explained is how a place must say that it is right.
var explained = regexp.MustCompile(`#nosec (G\d{3}(?: G\d{3})*) -- \S+ \S+`)

// read takes in a package's comments, and returns those that keep rules quiet
// without saying which, or why.
func (p places) read(root string, pkg *packages.Package) (bad []string) {
	for _, file := range pkg.Syntax {
		for _, group := range file.Comments {
			for _, c := range group.List {
				if !strings.Contains(c.Text, "#nosec") && !strings.HasPrefix(c.Text, "//gosec:") {
					continue
				}
				at := pkg.Fset.Position(c.Pos())
				name := within(root, at.Filename)
				m := explained.FindStringSubmatch(c.Text)
				if m == nil {
					bad = append(bad, fmt.Sprintf("%s:%d: a comment for gosec must name the rule and the reason", name, at.Line))
					continue
				}
				p[place{name, at.Line}] = m[1]
			}
		}
	}
	return bad
}

// at tells whether the line of an issue, or the one before, says that it is right.
func (p places) at(name string, i *issue.Issue) bool {
	first, _, _ := strings.Cut(i.Line, "-")
	line, err := strconv.Atoi(first)
	return err == nil && (strings.Contains(p[place{name, line}], i.RuleID) || strings.Contains(p[place{name, line - 1}], i.RuleID))
}
