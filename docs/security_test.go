package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/matrix"
)

// rowIDs are all rows that the matrix has.
func rowIDs() (ids []string) {
	for _, group := range []struct {
		letter string
		last   int
	}{{"A", 8}, {"B", 5}, {"C", 8}, {"D", 10}, {"E", 4}, {"F", 6}, {"G", 2}, {"H", 7}} {
		for n := 1; n <= group.last; n++ {
			ids = append(ids, fmt.Sprint(group.letter, n))
		}
	}
	return ids
}

// testsOfTree returns the names of all test and fuzz functions of the module,
// whatever tags they are behind.
func testsOfTree(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "testdata" || d.Name() == "tools") {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				found[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 100 {
		t.Fatalf("only %d tests found: this test looks in the wrong place", len(found))
	}
	return found
}

// The table names every test of the matrix under its row, and none that the
// tree does not have; and it has every row.
func TestSecurityTableIsTheTrees(t *testing.T) {
	page := read(t, "security.md")
	rows, err := matrix.ReadTable(page)
	if err != nil {
		t.Fatal(err)
	}
	tree := testsOfTree(t)
	named := map[string]bool{}
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.ID)
		for _, name := range row.Tests {
			named[name] = true
			if id, ok := matrix.RowOf(name); !ok || id != row.ID {
				t.Errorf("security.md: %s names %s, which is not its own", row.ID, name)
			}
			if !tree[name] {
				t.Errorf("security.md: %s names %s, which the tree does not have", row.ID, name)
			}
		}
		if row.State != matrix.Open && (len(row.Tests) == 0 || row.Figure == "" || row.Mechanism == "") {
			t.Errorf("security.md: %s is %s without a mechanism, a test or a figure", row.ID, row.State)
		}
		if row.Program == "" || row.Attack == "" {
			t.Errorf("security.md: %s does not say what it is", row.ID)
		}
	}
	if want := rowIDs(); !slices.Equal(ids, want) {
		t.Errorf("security.md has the rows %v, the matrix %v", ids, want)
	}
	for name := range tree {
		if id, ok := matrix.RowOf(name); ok && !named[name] {
			t.Errorf("security.md: %s does not name %s; the comment above the table says how to add it", id, name)
		}
	}
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`|(Fuzz[A-Za-z0-9]+) \\|").FindAllStringSubmatch(page, -1) {
		if name := m[1] + m[2]; !tree[name] {
			t.Errorf("security.md names %s, which the tree does not have", name)
		}
	}
}

var logPattern = regexp.MustCompile(`"matrix: ([A-H][1-9][0-9]*) `)

// Each file with a test of the matrix logs a figure for its row.
func TestMatrixTestsLogFigures(t *testing.T) {
	figures := map[string]bool{}
	var files []string
	for _, pattern := range []string{"../*/*_test.go", "../*/*/*_test.go", "../*/*/*/*_test.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		for _, m := range logPattern.FindAllStringSubmatch(read(t, file), -1) {
			figures[m[1]] = true
		}
	}
	for name := range testsOfTree(t) {
		if id, ok := matrix.RowOf(name); ok && !figures[id] {
			t.Errorf("no test of row %s logs a figure, among them %s", id, name)
		}
	}
}
