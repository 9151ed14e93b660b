package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/seal"
)

// maxChanged bounds the names whose key has changed, those that are settled
// among them; a settled one goes first, and of open ones the first stay.
const maxChanged = 64

// How a change of keys was settled.
const (
	settledAccepted = "accepted"            // by a person
	settledBack     = "the old key is back" // on the ring
	settledSigned   = "signed"              // a rotation that the old key has signed
)

// ChangedFile is the name of that file in a state folder.
const ChangedFile = "changed-keys"

// changedKeys are the keys that were not those of earlier calls, in a file of
// JSON: what they were, what came instead, and who said so. Safe for concurrent
// use.
type changedKeys struct {
	path string // "": kept nowhere
	box  *seal.Box
	log  zerolog.Logger

	mu   sync.Mutex
	list []admin.ChangedKey // by first sighting
}

func loadChanged(path string, box *seal.Box, log zerolog.Logger) (*changedKeys, error) {
	c := &changedKeys{path: path, box: box, log: log}
	if path == "" {
		return c, nil
	}
	b, err := identity.ReadSecretFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		b, err = box.OpenLine(ChangedFile, bytes.TrimSuffix(b, []byte("\n")))
	}
	if err == nil {
		err = json.Unmarshal(b, &c.list)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; delete it if it is damaged: what it says of changed keys is found again", path, err)
	}
	c.list = c.list[:min(len(c.list), maxChanged)]
	return c, nil
}

// reconcile settles what a person has settled by editing the pins.
func (c *changedKeys) reconcile(pins *identity.Pins, now time.Time) {
	for _, k := range c.all() {
		aor, err := identity.ParseAOR(k.AOR)
		if err != nil || k.Settled != "" {
			continue
		}
		if pin, ok := pins.Get(aor); !ok || pin.Key.String() != k.Old {
			c.settle(aor, settledAccepted, now)
		}
	}
}

// note takes in that a pinned key has changed.
func (c *changedKeys) note(e *directory.KeyChangedError, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.findLocked(e.AOR)
	if at >= 0 && c.list[at].New == e.New.String() {
		c.list[at].Last = now
		c.list[at].Times++
		return
	}
	if at < 0 && len(c.list) >= maxChanged {
		settled := slices.IndexFunc(c.list, func(k admin.ChangedKey) bool { return k.Settled != "" })
		if settled < 0 {
			return
		}
		c.list = slices.Delete(c.list, settled, settled+1)
	}
	k := admin.ChangedKey{
		AOR: e.AOR.String(), Old: e.Old.String(), New: e.New.String(), OldFingerprint: e.Old.Fingerprint(), NewFingerprint: e.New.Fingerprint(),
		OldVersion: e.OldVersion, NewVersion: e.NewVersion, First: now, Last: now, Times: 1,
	}
	for _, s := range e.Seen {
		k.Seen = append(k.Seen, admin.Sighting{Kind: s.Kind, X: int(s.X), Node: s.Holder.Node, Owner: s.Holder.Owner.String()})
	}
	if at >= 0 {
		c.list[at] = k
	} else {
		c.list = append(c.list, k)
	}
	c.saveLocked()
}

// follow notes a change that the old key has signed: nothing to decide, but to
// be seen.
func (c *changedKeys) follow(f directory.Followed, now time.Time) {
	c.settle(f.AOR, settledSigned, now) // an alarm that came before the proof did
	c.note(&directory.KeyChangedError{AOR: f.AOR, Old: f.Old, New: f.New, OldVersion: f.OldVersion, NewVersion: f.NewVersion}, now)
	c.settle(f.AOR, settledSigned, now)
}

// settle ends the alarm for a name.
func (c *changedKeys) settle(aor identity.AOR, how string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.findLocked(aor); at >= 0 {
		c.list[at].Settled, c.list[at].SettledAt = how, now
		c.saveLocked()
	}
}

// findLocked returns the index of the name's open change, -1 if none.
func (c *changedKeys) findLocked(aor identity.AOR) int {
	name := aor.String()
	return slices.IndexFunc(c.list, func(k admin.ChangedKey) bool { return k.AOR == name && k.Settled == "" })
}

// open returns the name's change that nobody has decided on.
func (c *changedKeys) open(aor identity.AOR) (admin.ChangedKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.findLocked(aor); at >= 0 {
		return c.list[at], true
	}
	return admin.ChangedKey{}, false
}

func (c *changedKeys) all() []admin.ChangedKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// saveLocked writes the file; what cannot be written holds in memory.
func (c *changedKeys) saveLocked() {
	if c.path == "" {
		return
	}
	b, err := json.MarshalIndent(c.list, "", "  ")
	if err == nil {
		err = identity.WriteFileAtomic(c.path, append(c.box.SealLine(ChangedFile, b), '\n'), 0o600)
	}
	if err != nil {
		c.log.Warn().Err(err).Msg("what is known of changed keys could not be written")
	}
}

// sentences says of each open change what happened and what to do.
func (c *changedKeys) sentences() []string {
	var out []string
	for _, k := range c.all() {
		if k.Settled == "" {
			out = append(out, fmt.Sprintf(
				"the key of %s is not the one of earlier calls (%s before, %s now) and its calls are refused: ask its owner, then 'secp2psip accept %s'",
				k.AOR, k.OldFingerprint, k.NewFingerprint, strings.TrimPrefix(k.AOR, "sip:")))
		}
	}
	slices.Sort(out)
	return out
}
