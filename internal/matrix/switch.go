package matrix

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Switch is a defence that can be switched off in a copy of the product, and the
// attack tests that must fail then. The product's own source has no switches:
// each is a change to its text, which the compiler is given in place of the file
// (go build -overlay).
//
// In a file of switches it looks like this; what a changed line says is OFF is
// true in a process that was started with the switch off:
//
//	switch issuer-signature
//	file internal/identity/trust.go
//	- if err := signedBy(cert, issuer.cert); err != nil {
//	+ if err := signedBy(cert, issuer.cert); err != nil && !OFF {
//	fails TestMatrixA1ForgedCertificatesRefused
//
// The lines behind "-" stand in the file exactly once, one below the other;
// how far they are indented does not matter. A test that only fails when
// others are off, too, names them behind it: "fails TestX with other-switch"; one
// that takes long to fail has "slow" in place of "fails", one that attacks only as
// root "root".
type Switch struct {
	Name  string
	Hunks []Hunk
	Fails []Bare
}

// Hunk is a change to one place of a file.
type Hunk struct {
	File     string // from the module's root
	Old, New []string
}

// Bare is a test, and which switches are off when it must fail.
type Bare struct {
	Test string
	Off  []string
	Slow bool // it takes long to fail: not for every run
	Root bool // its attack needs another user's socket: root can make one
}

// ReadSwitches reads a file of them.
func ReadSwitches(in io.Reader) (list []Switch, err error) {
	lines := bufio.NewScanner(in)
	file, last := "", ""
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		word, rest, _ := strings.Cut(text, " ")
		rest = strings.TrimSpace(rest)
		var s *Switch
		if len(list) > 0 {
			s = &list[len(list)-1]
		}
		switch {
		case text == "" || strings.HasPrefix(text, "#"):
			continue
		case word == "switch" && rest != "":
			list = append(list, Switch{Name: rest})
			file = ""
		case s == nil:
			return nil, fmt.Errorf("%w: line %d: no switch yet", ErrSwitch, n)
		case word == "file" && rest != "":
			file = rest
		case word == "-" && file != "":
			if last != "-" {
				s.Hunks = append(s.Hunks, Hunk{File: file})
			}
			h := &s.Hunks[len(s.Hunks)-1]
			h.Old = append(h.Old, rest)
		case word == "+" && len(s.Hunks) > 0:
			h := &s.Hunks[len(s.Hunks)-1]
			h.New = append(h.New, rest)
		case (word == "fails" || word == "slow" || word == "root") && rest != "":
			test, with, _ := strings.Cut(rest, " with ")
			s.Fails = append(s.Fails, Bare{Test: test, Off: append([]string{s.Name}, strings.Fields(with)...), Slow: word == "slow", Root: word == "root"})
		default:
			return nil, fmt.Errorf("%w: line %d: %q", ErrSwitch, n, text)
		}
		last = word
	}
	return list, lines.Err()
}

// Apply returns the source with the change made. The error is ErrSwitch if the
// place is not there, or not once.
func (s *Switch) Apply(h Hunk, source string) (string, error) {
	lines := strings.Split(source, "\n")
	at := -1
	for i := range lines {
		if i+len(h.Old) > len(lines) || !slices.EqualFunc(lines[i:i+len(h.Old)], h.Old, func(have, want string) bool { return strings.TrimSpace(have) == want }) {
			continue
		}
		if at >= 0 {
			return "", fmt.Errorf("%w: %s: %s has it twice: %q", ErrSwitch, s.Name, h.File, h.Old)
		}
		at = i
	}
	if at < 0 {
		return "", fmt.Errorf("%w: %s: %s no longer has %q", ErrSwitch, s.Name, h.File, h.Old)
	}
	changed := make([]string, len(h.New))
	for i, line := range h.New {
		changed[i] = strings.ReplaceAll(line, "OFF", "undefendedOff("+strconv.Quote(s.Name)+")")
	}
	return strings.Join(slices.Replace(lines, at, at+len(h.Old), changed...), "\n"), nil
}

// SwitchFile is the file that a package with switches gets beside its own.
func SwitchFile(pkg string) string {
	return "package " + pkg + `

import (
	"os"
	"slices"
	"strings"
	"sync"
)

var undefendedList = sync.OnceValue(func() []string { return strings.Split(os.Getenv("` + SwitchEnv + `"), ",") })

func undefendedOff(name string) bool { return slices.Contains(undefendedList(), name) }
`
}

// SwitchEnv names the switches that are off, with commas between them.
const SwitchEnv = "SECP2PSIP_UNDEFENDED"
