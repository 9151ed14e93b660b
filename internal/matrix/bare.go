package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Seen is what became of one test without a defence.
type Seen struct {
	Test   string   `json:"test"`
	Off    []string `json:"off"`
	Failed bool     `json:"failed"` // as it must
	Says   string   `json:"says"`   // the first thing it complains about
	Millis int64    `json:"ms"`
}

// patience is the switch that is off in all runs without a defence: it shortens
// the time that tests wait for what will not happen.
const patience = "patience"

// bareTime bounds one test without its defence.
const bareTime = 240 * time.Second

// bareAtOnce is how many tests of one room run at a time: those of which most
// wait.
const bareAtOnce = 3

// Tree is a copy of the module's source in which defences can be switched off.
// The files of the module itself stay as they are.
type Tree struct {
	Root    string // of the module
	Scratch string // an empty folder
	list    []Switch
	homes   map[string]string // test -> its folder, from Root
}

// NewTree reads every *.txt in the folder of switches.
func NewTree(root, switches, scratch string) (*Tree, error) {
	t := &Tree{Root: root, Scratch: scratch, homes: map[string]string{}}
	files, err := filepath.Glob(filepath.Join(switches, "*.txt"))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list, err := ReadSwitches(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.list = append(t.list, list...)
	}
	return t, t.findTests()
}

var testFunc = regexp.MustCompile(`(?m)^func (TestMatrix[A-H][0-9]\w+)\(`)

func (t *Tree) findTests() error {
	return filepath.WalkDir(t.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_long_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(t.Root, filepath.Dir(path))
		for _, m := range testFunc.FindAllSubmatch(data, -1) {
			t.homes[string(m[1])] = dir
		}
		return err
	})
}

// Sources returns the changed files by their path from the root, with every
// switch in place, and one more file for each package that has any. The error is
// ErrSwitch if one does not fit the source any more, or names a test or a switch
// that there is not.
func (t *Tree) Sources() (map[string]string, error) {
	out, names := map[string]string{}, map[string]bool{}
	var errs []error
	for i := range t.list {
		s := &t.list[i]
		if names[s.Name] || len(s.Hunks) == 0 || len(s.Fails) == 0 && s.Name != patience {
			errs = append(errs, fmt.Errorf("%w: %s stands there twice, changes nothing or fails nothing", ErrSwitch, s.Name))
		}
		names[s.Name] = true
		for _, h := range s.Hunks {
			if err := t.patch(out, s, h); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, b := range t.Bares() {
		if t.homes[b.Test] == "" {
			errs = append(errs, fmt.Errorf("%w: there is no test %s", ErrSwitch, b.Test))
		}
		for _, off := range b.Off {
			if !names[off] {
				errs = append(errs, fmt.Errorf("%w: there is no switch %s", ErrSwitch, off))
			}
		}
	}
	return out, errors.Join(errs...)
}

var packageClause = regexp.MustCompile(`(?m)^package (\w+)`)

func (t *Tree) patch(out map[string]string, s *Switch, h Hunk) error {
	if _, ok := out[h.File]; !ok {
		data, err := os.ReadFile(filepath.Join(t.Root, h.File))
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrSwitch, s.Name, err)
		}
		out[h.File] = string(data)
		out[filepath.Join(filepath.Dir(h.File), "undefended_switches.go")] = SwitchFile(packageClause.FindStringSubmatch(string(data))[1])
	}
	changed, err := s.Apply(h, out[h.File])
	if err == nil {
		out[h.File] = changed
	}
	return err
}

// Bares returns every test that must fail, in the order of the files.
func (t *Tree) Bares() (all []Bare) {
	for _, s := range t.list {
		all = append(all, s.Fails...)
	}
	return all
}

// Run builds each package whose tests are wanted once, runs the tests one by
// one, jobs at once, and returns what became of them. wanted says which to run;
// control runs each with everything switched on instead: they must pass then.
func (t *Tree) Run(ctx context.Context, wanted func(Bare) bool, jobs int, control bool) ([]Seen, error) {
	overlay, err := t.overlay()
	if err != nil {
		return nil, err
	}
	rooms := map[string][]Bare{}
	for _, b := range t.Bares() {
		if wanted(b) {
			rooms[t.homes[b.Test]] = append(rooms[t.homes[b.Test]], b)
		}
	}
	var (
		mu   sync.Mutex
		all  []Seen
		errs []error
		wg   sync.WaitGroup
		free = make(chan struct{}, jobs)
	)
	for _, dir := range slices.Sorted(maps.Keys(rooms)) {
		free <- struct{}{} // room by room: building is what takes longest
		wg.Go(func() {
			defer func() { <-free }()
			seen, err := t.room(ctx, overlay, dir, rooms[dir], control)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, seen...)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	slices.SortStableFunc(all, func(a, b Seen) int { return strings.Compare(a.Test, b.Test) })
	return all, errors.Join(errs...)
}

// overlay writes the changed files and the list of them for the compiler.
func (t *Tree) overlay() (string, error) {
	sources, err := t.Sources()
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range sources {
		file := filepath.Join(t.Scratch, strings.ReplaceAll(name, string(filepath.Separator), "_"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(t.Root, name)] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(t.Scratch, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}

// room builds and runs the tests of one folder.
func (t *Tree) room(ctx context.Context, overlay, dir string, tests []Bare, control bool) (seen []Seen, err error) {
	binary := filepath.Join(t.Scratch, strings.ReplaceAll(dir, string(filepath.Separator), "_")+".test")
	// #nosec G204 -- a package of this module, by the switches in the tree
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-ldflags=-s -w", "-vet=off", "-o", binary, "./"+filepath.ToSlash(dir))
	build.Dir = t.Root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w\n%s", ErrSwitch, dir, err, out)
	}
	seen = make([]Seen, len(tests))
	var work errgroup.Group
	work.SetLimit(bareAtOnce)
	for i, b := range tests {
		work.Go(func() error {
			seen[i] = t.one(ctx, binary, filepath.Join(t.Root, dir), b, control)
			return nil
		})
	}
	return seen, errors.Join(work.Wait(), os.Remove(binary))
}

func (t *Tree) one(ctx context.Context, binary, dir string, b Bare, control bool) Seen {
	run := exec.CommandContext(ctx, binary, "-test.run", "^"+b.Test+"$", "-test.timeout", bareTime.String()) // #nosec G204 -- the test binary built a moment ago
	run.Dir = dir
	run.Env = os.Environ()
	if !control {
		run.Env = append(run.Env, SwitchEnv+"="+strings.Join(append(b.Off, patience), ","))
	}
	start := time.Now()
	out, err := run.CombinedOutput()
	forgetExamples(dir)
	s := Seen{Test: b.Test, Off: b.Off, Millis: time.Since(start).Milliseconds()}
	// What crashes or hangs has not been seen to notice the attack.
	s.Failed = err != nil && bytes.Contains(out, []byte("--- FAIL: "+b.Test+" (")) && !bytes.Contains(out, []byte("\npanic: "))
	s.Says = complaint(out)
	if err != nil && !s.Failed {
		s.Says = strings.TrimSpace(string(out))
	}
	return s
}

// forgetExamples removes what package rapid has written beside a test that fails
// as it must.
func forgetExamples(dir string) {
	examples := filepath.Join(dir, "testdata", "rapid")
	_ = os.RemoveAll(examples)
	_ = os.Remove(filepath.Dir(examples)) // if it is empty
}

const saysMost = 120 // characters

var complaintLine = regexp.MustCompile(`(?m)^\s+\w+_test\.go:\d+: (.*)$`)

// complaint returns the first line that a failing test has said, without what
// it has measured.
func complaint(out []byte) string {
	for _, m := range complaintLine.FindAllSubmatch(out, -1) {
		if text := []rune(string(m[1])); !strings.HasPrefix(string(text), "matrix: ") && !strings.HasPrefix(string(text), "seed ") {
			return string(text[:min(len(text), saysMost)])
		}
	}
	return ""
}
