package matrix

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const switches = `
# a comment
switch door
file house/door.go
- if locked {
- return errShut
+ if locked && !OFF {
+ return errShut
fails TestMatrixA1One
slow TestMatrixA1Two with window
`

func TestReadAndApply(t *testing.T) {
	list, err := ReadSwitches(strings.NewReader(switches))
	if err != nil || len(list) != 1 || len(list[0].Hunks) != 1 || len(list[0].Fails) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	s := &list[0]
	if two := s.Fails[1]; !two.Slow || !slices.Equal(two.Off, []string{"door", "window"}) || s.Fails[0].Slow {
		t.Errorf("%+v", s.Fails)
	}
	source := "func open() error {\n\tif locked {\n\t\treturn errShut\n\t}\n\treturn nil\n}\n"
	got, err := s.Apply(s.Hunks[0], source)
	if want := "func open() error {\nif locked && !undefendedOff(\"door\") {\nreturn errShut\n\t}\n\treturn nil\n}\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for what, source := range map[string]string{"gone": "func open() error { return nil }", "twice": source + source} {
		if _, err := s.Apply(s.Hunks[0], source); !errors.Is(err, ErrSwitch) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, bad := range []string{"file x.go", "switch x\n- a", "switch x\nfile f\nwhat is this", "switch x\n+ a"} {
		if _, err := ReadSwitches(strings.NewReader(bad)); !errors.Is(err, ErrSwitch) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Every switch fits the source as it is: whoever changes a defence changes its
// switch, too. What is compiled without defences is not looked at here.
func TestSwitchesFitTheSource(t *testing.T) {
	tree, err := NewTree("../..", "undefended/switches", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sources, err := tree.Sources()
	if err != nil {
		t.Error(err)
	}
	if len(sources) < 20 || len(tree.Bares()) < 70 {
		t.Errorf("%d changed files, %d tests: this looks in the wrong place", len(sources), len(tree.Bares()))
	}
}

func TestComplaints(t *testing.T) {
	out := "--- FAIL: TestX (0.00s)\n    x_test.go:1: seed 7\n    x_test.go:2: matrix: A1 none\n    x_test.go:3: let in\n"
	if got := complaint([]byte(out)); got != "let in" {
		t.Errorf("%q", got)
	}
}

func TestMark(t *testing.T) {
	lines := []Line{{Row: "A1"}, {Row: "B1"}}
	Mark(lines, []Seen{{Test: "TestMatrixA1One", Failed: true}, {Test: "TestMatrixA1One", Failed: true}, {Test: "TestMatrixA1Two"}})
	if lines[0].without() != 1 || lines[1].without() != 0 {
		t.Errorf("%+v", lines)
	}
	var text strings.Builder
	WriteText(&text, lines)
	if !strings.Contains(text.String(), "bare") {
		t.Errorf("%q", text.String())
	}
}
