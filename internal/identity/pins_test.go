package identity_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestPins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	p := must(identity.LoadPins(path))(t)
	bob, carol := mustAOR(t, "bob", "lan.example"), mustAOR(t, "jürgen", "lan.example")
	pin := identity.Pin{Key: testKey(t, 1).Public(), Version: 1, First: testNow, Last: testNow}
	if _, ok := p.Get(bob); ok {
		t.Fatal("a pin from nowhere")
	}
	for _, name := range []identity.AOR{bob, carol} {
		if err := p.Set(name, pin); err != nil {
			t.Fatal(err)
		}
	}
	onlyFile(t, path)
	reload := func() map[identity.AOR]identity.Pin { return must(identity.LoadPins(path))(t).All() }
	if got := reload(); !maps.Equal(got, p.All()) || got[bob] != pin || len(got) != 2 {
		t.Fatal(got)
	}
	// Another sighting is written once a day, another key at once.
	pin.Last = testNow.Add(time.Hour)
	if err := p.Set(bob, pin); err != nil || !reload()[bob].Last.Equal(testNow) {
		t.Fatal(reload(), err)
	}
	if got, _ := p.Get(bob); got != pin {
		t.Fatal(got)
	}
	pin.Last = testNow.Add(25 * time.Hour)
	if err := p.Set(bob, pin); err != nil || reload()[bob] != pin {
		t.Fatal(reload(), err)
	}
	pin.Key, pin.Version = testKey(t, 2).Public(), 2
	if err := p.Set(bob, pin); err != nil || reload()[bob] != pin {
		t.Fatal(reload(), err)
	}
	if err := p.Forget(bob); err != nil || len(reload()) != 1 {
		t.Fatal(reload(), err)
	}
	if err := p.Set(identity.AOR{}, pin); !errors.Is(err, identity.ErrMalformed) {
		t.Fatal(err)
	}
	if err := p.Set(bob, identity.Pin{}); !errors.Is(err, identity.ErrMalformed) {
		t.Fatal(err)
	}
}

func TestPinsBounded(t *testing.T) {
	p := must(identity.LoadPins(""))(t)
	key := testKey(t, 1).Public()
	for i := range identity.MaxPins + 10 {
		name := mustAOR(t, fmt.Sprintf("u%d", i), "lan")
		if err := p.Set(name, identity.Pin{Key: key, Version: 1, First: testNow, Last: testNow.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	all := p.All()
	_, oldest := all[mustAOR(t, "u9", "lan")]
	_, kept := all[mustAOR(t, "u10", "lan")]
	if len(all) != identity.MaxPins || oldest || !kept {
		t.Fatal(len(all), oldest, kept)
	}
}

func TestPinsBrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	good := fmt.Sprintf("sip:bob@lan %s 1 2026-03-01T12:00:00Z 2026-03-01T12:00:00Z\n", testKey(t, 1).Public())
	for text, ok := range map[string]bool{
		"":                          true,
		"# only this\n\n" + good:    true,
		good + good:                 false,
		"sip:bob@lan\n":             false,
		"x " + good:                 false,
		"sip:BOB" + good[7:]:        false,
		good[:len(good)-3] + "\n":   false,
		good[:30] + "a" + good[31:]: false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := identity.LoadPins(path)
		if ok && err != nil || !ok && !errors.Is(err, identity.ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A disk that fails must not lose what was pinned, in memory or on it.
func TestPinsDiskFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := must(identity.LoadPins(filepath.Join(dir, "pins")))(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	bob := mustAOR(t, "bob", "lan")
	pin := identity.Pin{Key: testKey(t, 1).Public(), Version: 1, First: testNow, Last: testNow}
	if err := p.Set(bob, pin); err == nil {
		t.Fatal("no error")
	}
	if got, ok := p.Get(bob); !ok || got != pin {
		t.Fatal(got)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.Set(bob, pin); err != nil {
		t.Fatal("the next write:", err)
	}
	if got := must(identity.LoadPins(filepath.Join(dir, "pins")))(t).All(); got[bob] != pin {
		t.Fatal(got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := identity.NewCache[int, int](4)
	for i := range 1000 {
		c.Put(i, i)
		if v, ok := c.Get(0); ok && v != 0 || c.Len() > 8 {
			t.Fatal(v, ok, c.Len())
		}
	}
	if _, ok := c.Get(0); !ok {
		t.Error("what is used is forgotten")
	}
	if _, ok := c.Get(500); ok {
		t.Error("what is not used is kept")
	}
}
