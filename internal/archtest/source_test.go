package archtest

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const module = "github.com/secp2psip/secp2psip"

// source is one Go file of the module.
type source struct {
	path string // from the module's root, with slashes
	fset *token.FileSet
	ast  *ast.File
	text []byte
}

// room is the folder that holds the file.
func (s source) room() string { return path.Dir(s.path) }

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// at returns "path:line" of a node.
func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// imports calls f with each imported path.
func (s source) imports(f func(at, path string)) {
	for _, spec := range s.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			f(s.at(spec), p)
		}
	}
}

// calls calls f with each call of the form X.Name(…) with a plain X, and with
// the calls around it, outermost first.
func (s source) calls(f func(call *ast.CallExpr, x, name string, around []string)) {
	var stack []ast.Node
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		if x, name, ok := selector(n); ok {
			var around []string
			for _, outer := range stack {
				if ox, oname, ok := selector(outer); ok {
					around = append(around, ox+"."+oname)
				}
			}
			f(n.(*ast.CallExpr), x, name, around)
		}
		stack = append(stack, n)
		return true
	})
}

func selector(n ast.Node) (x, name string, ok bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return "", "", false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", "", false
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", "", false
	}
	return id.Name, sel.Sel.Name, true
}

func parse(t *testing.T, name string, text []byte) source {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{path: name, fset: fset, ast: f, text: text}
}

// root returns the module's root folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

// goFiles parses every Go file of the module. Other modules within it and
// test data are left out.
func goFiles(t *testing.T) []source {
	t.Helper()
	base := root(t)
	var files []source
	err := filepath.WalkDir(base, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(base, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, modErr := os.Stat(filepath.Join(name, "go.mod"))
			if rel != "." && (modErr == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil {
			files = append(files, parse(t, filepath.ToSlash(rel), text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d files were found", len(files))
	}
	return files
}

// textFiles returns every tracked text file with its content, or every file
// where there is no repository.
func textFiles(t *testing.T) map[string][]byte {
	t.Helper()
	base := root(t)
	files := map[string][]byte{}
	for _, rel := range tracked(t, base) {
		text, err := os.ReadFile(filepath.Join(base, rel))
		if errors.Is(err, fs.ErrNotExist) { // removed and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if utf8.Valid(text) && !bytes.ContainsRune(text, 0) {
			files[filepath.ToSlash(rel)] = text
		}
	}
	return files
}

func tracked(t *testing.T, base string) []string {
	t.Helper()
	if out, err := exec.Command("git", "-C", base, "ls-files", "-z").Output(); err == nil && len(out) > 0 {
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}
	var list []string
	err := filepath.WalkDir(base, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, relErr := filepath.Rel(base, name)
			list, err = append(list, rel), relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
