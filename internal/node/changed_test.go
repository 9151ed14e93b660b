package node

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
)

func aKey(t *testing.T, n byte) identity.PublicKey {
	t.Helper()
	k, err := identity.NewKeyFromSeed(append(make([]byte, 31), n))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func aName(t *testing.T, user string) identity.AOR {
	t.Helper()
	aor, err := identity.NewAOR(user, "lan.example")
	if err != nil {
		t.Fatal(err)
	}
	return aor
}

// An alarm lasts over restarts, until the key is accepted or the old one is
// back; what was seen is kept.
func TestChangedKeysAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changed-keys")
	load := func() *changedKeys {
		t.Helper()
		c, err := loadChanged(path, nil, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	bob := aName(t, "bob")
	change := &directory.KeyChangedError{AOR: bob, Old: aKey(t, 1), New: aKey(t, 2), OldVersion: 1, NewVersion: 2,
		Seen: []directory.Sighting{{Kind: "account", Holder: directory.Holder{Node: identity.NodeID{7}}}}}
	c := load()
	c.note(change, now)
	c.note(change, now.Add(time.Hour))
	if k, ok := c.open(bob); !ok || k.Times != 2 || !k.Last.Equal(now.Add(time.Hour)) || len(c.all()) != 1 {
		t.Errorf("%+v", c.all())
	}
	c = load()
	if k, ok := c.open(bob); !ok || len(k.Seen) != 1 || k.Seen[0].Node != (identity.NodeID{7}) || len(c.sentences()) != 1 {
		t.Errorf("after a restart: %+v", c.all())
	}
	pins, err := identity.LoadPins("")
	if err != nil {
		t.Fatal(err)
	}
	if err := pins.Set(bob, identity.Pin{Key: aKey(t, 1), Version: 1, First: now, Last: now}); err != nil {
		t.Fatal(err)
	}
	c.reconcile(pins, now) // the old key is still pinned: nobody has decided
	if _, ok := c.open(bob); !ok {
		t.Error("the alarm has ended by itself")
	}
	c.settle(bob, settledBack, now)
	if c = load(); len(c.sentences()) != 0 || len(c.all()) != 1 || c.all()[0].Settled != settledBack {
		t.Errorf("after the old key is back: %+v", c.all())
	}
	c.note(change, now)
	if err := pins.Forget(bob); err != nil {
		t.Fatal(err)
	}
	c.reconcile(pins, now)
	if _, ok := c.open(bob); ok {
		t.Error("a person has deleted the pin, and the alarm goes on")
	}
}

// However many names change their keys, the list does not grow, and the first
// open ones stay.
func TestChangedKeysAreBounded(t *testing.T) {
	c, err := loadChanged("", nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	for i := range maxChanged + 20 {
		name := aName(t, fmt.Sprintf("user%d", i))
		c.note(&directory.KeyChangedError{AOR: name, Old: aKey(t, 1), New: aKey(t, 2)}, now)
		if i < 10 {
			c.settle(name, settledAccepted, now)
		}
	}
	_, first := c.open(aName(t, "user10"))
	_, last := c.open(aName(t, fmt.Sprintf("user%d", maxChanged+19)))
	if len(c.all()) != maxChanged || !first || last {
		t.Errorf("%d kept, the first open one: %v, the last: %v", len(c.all()), first, last)
	}
}
