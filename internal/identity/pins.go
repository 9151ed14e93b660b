package identity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MaxPins bounds the pinned keys of one node; beyond it the one seen longest
// ago is forgotten.
const MaxPins = 2048

// pinTouch is how old the last sighting on disk may be before it is rewritten.
const pinTouch = 24 * time.Hour

// Pin is the key that a name had when it was last seen.
type Pin struct {
	Key         PublicKey
	Version     uint32    // of the key, as certified
	First, Last time.Time // seen, to the second

	// Two people have compared the key; zero: they have not. The key that they
	// compared had version ComparedVersion: where that is below Version, its
	// owner has changed keys since, each change signed by the key before.
	Compared        time.Time // to the second
	ComparedVersion uint32
}

// Pins are the keys that this node has seen, in a text file with one line each:
//
//	sip:bob@lan.example p2psip-pub1… VERSION FIRST LAST
//	sip:eve@lan.example p2psip-pub1… VERSION FIRST LAST compared VERSION WHEN
//
// with times in RFC 3339, UTC. Empty lines and lines that begin with # are
// skipped. Safe for concurrent use by one process; reading never waits for the
// disk.
type Pins struct {
	path string
	box  Box

	writing sync.Mutex  // held while the file is written; before mu
	written map[AOR]Pin // as on disk; of writing

	mu     sync.Mutex
	byName map[AOR]Pin
}

// Box keeps the file of pins sealed; seal.Box is one.
type Box interface {
	SealLine(context string, plain []byte) []byte
	OpenLine(context string, line []byte) ([]byte, error)
}

// LoadPins is LoadSealedPins of a file in the clear.
func LoadPins(path string) (*Pins, error) { return LoadSealedPins(path, nil) }

// LoadSealedPins reads the file at path, which need not exist; an empty path
// keeps nothing. A file that is open to others is ErrUnsafeFile, a bad line
// ErrMalformed with its number. With a box, the whole file is one sealed line
// under its own name as the context.
func LoadSealedPins(path string, box Box) (*Pins, error) {
	p := &Pins{path: path, box: box, byName: make(map[AOR]Pin), written: make(map[AOR]Pin)}
	if path == "" {
		return p, nil
	}
	b, err := ReadSecretFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if box != nil {
		if b, err = box.OpenLine(filepath.Base(path), bytes.TrimSuffix(b, []byte("\n"))); err != nil {
			return nil, fmt.Errorf("%s: %w; move it away, and every contact's key counts as new", path, err)
		}
	}
	byName, err := parsePins(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p.byName, p.written = byName, maps.Clone(byName)
	return p, nil
}

func parsePins(b []byte) (map[AOR]Pin, error) {
	out := make(map[AOR]Pin)
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, pin, err := parsePin(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if _, twice := out[name]; twice || len(out) >= MaxPins {
			return nil, fmt.Errorf("line %d: %w: %s is there twice, or there are more than %d lines", n, ErrMalformed, name, MaxPins)
		}
		out[name] = pin
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return out, nil
}

func parsePin(line string) (AOR, Pin, error) {
	f := strings.Fields(line)
	if len(f) != 5 && (len(f) != 8 || f[5] != "compared") {
		return AOR{}, Pin{}, fmt.Errorf("%w: a pin has five fields, or eight", ErrMalformed)
	}
	var (
		name AOR
		pin  Pin
	)
	version, errVersion := strconv.ParseUint(f[2], 10, 32)
	first, errFirst := time.Parse(time.RFC3339, f[3])
	last, errLast := time.Parse(time.RFC3339, f[4])
	err := errors.Join(name.UnmarshalText([]byte(f[0])), pin.Key.UnmarshalText([]byte(f[1])), errVersion, errFirst, errLast)
	if err != nil {
		return AOR{}, Pin{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	pin.Version, pin.First, pin.Last = uint32(version), first.UTC(), last.UTC()
	if len(f) == 5 {
		return name, pin, nil
	}
	compared, errVersion := strconv.ParseUint(f[6], 10, 32)
	when, errWhen := time.Parse(time.RFC3339, f[7])
	if err := errors.Join(errVersion, errWhen); err != nil || when.IsZero() {
		return AOR{}, Pin{}, fmt.Errorf("%w: when it was compared: %w", ErrMalformed, err)
	}
	pin.Compared, pin.ComparedVersion = when.UTC(), uint32(compared)
	return name, pin, nil
}

// Get returns the pin of a name.
func (p *Pins) Get(name AOR) (Pin, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pin, ok := p.byName[name]
	return pin, ok
}

// All returns a copy of all pins.
func (p *Pins) All() map[AOR]Pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.byName)
}

// Set pins a name to a key. A new pin or another key is on the disk when Set
// returns; a mere later sighting is written once a day. On an error the pin
// holds in memory.
func (p *Pins) Set(name AOR, pin Pin) error { return p.SetAll(map[AOR]Pin{name: pin}) }

// SetAll is Set for many names, with one write of the file.
func (p *Pins) SetAll(pins map[AOR]Pin) error {
	for name, pin := range pins {
		if name.IsZero() || pin.Key.IsZero() {
			return fmt.Errorf("%w: a pin needs a name and a key", ErrMalformed)
		}
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	news := false
	for name, pin := range pins {
		pin.First, pin.Last, pin.Compared = toSecond(pin.First), toSecond(pin.Last), toSecond(pin.Compared)
		p.mu.Lock()
		if _, known := p.byName[name]; !known && len(p.byName) >= MaxPins {
			p.forgetOldestLocked()
		}
		p.byName[name] = pin
		p.mu.Unlock()
		old, ok := p.written[name]
		news = news || !ok || old.Key != pin.Key || old.Version != pin.Version || !old.Compared.Equal(pin.Compared) || pin.Last.Sub(old.Last) >= pinTouch
	}
	if !news {
		return nil
	}
	return p.write()
}

func toSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// Forget removes the pin of a name.
func (p *Pins) Forget(name AOR) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	delete(p.byName, name)
	p.mu.Unlock()
	return p.write()
}

// forgetOldestLocked makes room. What people have compared goes last.
func (p *Pins) forgetOldestLocked() {
	var (
		oldest AOR
		worth  Pin
	)
	for name, pin := range p.byName {
		kept := !pin.Compared.IsZero()
		than := !worth.Compared.IsZero()
		if oldest.IsZero() || !kept && than || kept == than && pin.Last.Before(worth.Last) {
			oldest, worth = name, pin
		}
	}
	delete(p.byName, oldest)
}

// write brings the file up to date; the caller holds writing, and with it the
// only right to change byName.
func (p *Pins) write() error {
	if p.path == "" {
		return nil
	}
	now := p.All()
	text := formatPins(now)
	if p.box != nil {
		text = append(p.box.SealLine(filepath.Base(p.path), bytes.TrimSuffix(text, []byte("\n"))), '\n')
	}
	if err := WriteFileAtomic(p.path, text, 0o600); err != nil {
		return err
	}
	p.written = now
	return nil
}

func formatPins(byName map[AOR]Pin) []byte {
	var b bytes.Buffer
	b.WriteString("# Keys seen: name, key, version, first and last time, and the version and time of a key that people have compared. One line a name; delete a line to forget its key.\n")
	for _, name := range sortedNames(byName) {
		pin := byName[name]
		fmt.Fprintf(&b, "%s %s %d %s %s", name, pin.Key, pin.Version, pin.First.Format(time.RFC3339), pin.Last.Format(time.RFC3339))
		if !pin.Compared.IsZero() {
			fmt.Fprintf(&b, " compared %d %s", pin.ComparedVersion, pin.Compared.Format(time.RFC3339))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func sortedNames(m map[AOR]Pin) []AOR {
	return slices.SortedFunc(maps.Keys(m), func(a, b AOR) int { return strings.Compare(a.String(), b.String()) })
}
