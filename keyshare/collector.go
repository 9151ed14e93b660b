package keyshare

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Bounds of what one Collector keeps, whoever answers.
const (
	maxGroups  = 8    // dealings of one name
	maxBad     = 64   // refusals that are named
	maxSubsets = 1024 // interpolations tried for one dealing
)

// Collector takes the shares of one name as they come in and has the key as
// soon as k of them give it. It is for one goroutine.
//
// Shares count only together with shares of the same version, dealing and
// digest. The key is what k of them interpolate to and the digest confirms;
// where one of the first k is wrong although it is signed, other k of those
// that have come are tried. A wrong key is never returned.
type Collector struct {
	aor      identity.AOR
	k, n     uint8
	want     *Claim
	also     []Claim // of earlier keys, which count while there is no later one
	groups   []*group
	refused  []BadShare
	conflict *Conflict
}

// group holds the shares of one dealing.
type group struct {
	version uint32
	dealing uint64
	digest  [sha256.Size]byte
	entries []entry
	subsets int   // interpolations tried
	used    []int // indexes of the entries that gave the key, or nil
	key     identity.PublicKey
}

type entry struct {
	from  identity.NodeID
	point point
	share *Share
}

// Key is a reconstructed key and what it was made of.
type Key struct {
	Key     identity.PublicKey
	Version uint32
	Dealing uint64
	Used    []Used // k of them
}

// Used is one share that the key was made of.
type Used struct {
	X    uint8
	From identity.NodeID
}

// NewCollector expects shares of aor, k of n.
func NewCollector(aor identity.AOR, k, n uint8) *Collector {
	return &Collector{aor: aor, k: k, n: n}
}

// Expect says which key and version a certificate gives the name; from now on
// only shares of that key give one. It may be called before, between and after
// Add, and again with another claim.
func (c *Collector) Expect(claim Claim) {
	c.want = &claim
	c.conflict = nil
	for _, g := range c.groups {
		c.judge(g)
	}
}

// Also says, behind Expect, which keys the expected one has followed a short time
// ago: while its shares are not enough, theirs give the key.
func (c *Collector) Also(earlier []Claim) {
	c.also = earlier
}

// Add counts a share that a holder answered with. The error is a *BadShare if
// the share does not count towards the key, and a *Conflict if it shows a
// second key under the version of the first.
func (c *Collector) Add(from identity.NodeID, s *Share) error {
	if reason := c.misfit(s); reason != "" {
		return c.refuse(from, s.X, reason, nil)
	}
	g := c.group(s)
	if g == nil {
		return c.refuse(from, s.X, ReasonTooMany, nil)
	}
	for i := range g.entries {
		if g.entries[i].share.X == s.X {
			return c.refuse(from, s.X, ReasonDuplicateX, nil)
		}
	}
	g.entries = append(g.entries, entry{from: from, point: newPoint(s.X, s.Y), share: s})
	if g.used == nil {
		g.reconstruct(int(c.k))
	}
	if reason := c.judge(g); reason == ReasonOtherKey {
		return c.conflict
	} else if reason != "" {
		return &BadShare{From: from, X: s.X, Reason: reason}
	}
	return nil
}

// Has reports whether the same share has counted already, whoever brought it.
func (c *Collector) Has(s *Share) bool {
	for _, g := range c.groups {
		if g.version != s.Version || g.dealing != s.Dealing || g.digest != s.Digest {
			continue
		}
		return slices.ContainsFunc(g.entries, func(e entry) bool { return e.share.X == s.X && bytes.Equal(e.share.Y, s.Y) })
	}
	return false
}

// Refuse names a holder whose answer was refused before it came to Add.
func (c *Collector) Refuse(from identity.NodeID, x uint8, reason string, cause error) error {
	return c.refuse(from, x, reason, cause)
}

func (c *Collector) refuse(from identity.NodeID, x uint8, reason string, cause error) error {
	b := BadShare{From: from, X: x, Reason: reason, Err: cause}
	if len(c.refused) < maxBad {
		c.refused = append(c.refused, b)
	}
	return &b
}

// misfit returns why s can be no share of this name at all, or "".
func (c *Collector) misfit(s *Share) string {
	switch {
	case s.AOR != c.aor:
		return ReasonOtherName
	case s.X == 0:
		return ReasonZeroX
	case s.K < 2 || s.K != c.k || s.N != c.n:
		return ReasonThreshold
	case s.X > c.n:
		return ReasonXRange
	case uint64(s.X) != s.Part:
		return ReasonMisplaced
	case len(s.Y) != KeyLen:
		return ReasonLength
	}
	return ""
}

// group finds or makes the group of s. If there are too many, that of the
// earliest dealing goes, so that old shares, however many, crowd out no newer
// ones; nil if s itself is the earliest.
func (c *Collector) group(s *Share) *group {
	earliest := -1
	for i, g := range c.groups {
		if g.version == s.Version && g.dealing == s.Dealing && g.digest == s.Digest {
			return g
		}
		if earliest < 0 || g.before(c.groups[earliest].version, c.groups[earliest].dealing) {
			earliest = i
		}
	}
	g := &group{version: s.Version, dealing: s.Dealing, digest: s.Digest}
	switch {
	case len(c.groups) < maxGroups:
		c.groups = append(c.groups, g)
	case c.groups[earliest].before(s.Version, s.Dealing):
		for _, e := range c.groups[earliest].entries {
			_ = c.refuse(e.from, e.share.X, ReasonTooMany, nil) // says what it was told
		}
		c.groups[earliest] = g
	default:
		return nil
	}
	return g
}

func (g *group) before(version uint32, dealing uint64) bool {
	return g.version < version || g.version == version && g.dealing < dealing
}

// judge returns why the shares of g do not count towards the key, or "", and
// notes a conflict.
func (c *Collector) judge(g *group) string {
	if c.want != nil {
		return c.judgeWanted(g)
	}
	for _, o := range c.groups {
		if o == g {
			continue
		}
		if o.version == g.version && o.digest != g.digest {
			c.note(o.claim(), g.claim())
			return ReasonOtherKey
		}
		if o.version > g.version {
			return ReasonOldVersion
		}
	}
	return ""
}

func (c *Collector) judgeWanted(g *group) string {
	for _, e := range c.also {
		if g.version == e.Version && g.digest == e.Digest {
			return ""
		}
	}
	switch {
	case g.version < c.want.Version:
		return ReasonOldVersion
	case g.version > c.want.Version:
		return ReasonNewVersion
	case g.digest != c.want.Digest:
		c.note(*c.want, g.claim())
		return ReasonOtherKey
	}
	return ""
}

func (c *Collector) note(first, second Claim) {
	if c.conflict == nil {
		c.conflict = &Conflict{AOR: c.aor, First: first, Second: second}
	}
}

// Key returns the key once it is there. Without Expect it is that of the
// highest version seen, and none while two keys share that version: somebody
// who holds k old shares could answer first, so call Expect where a
// certificate is at hand.
func (c *Collector) Key() (Key, bool) {
	g := c.winner()
	if g == nil {
		return Key{}, false
	}
	k := Key{Key: g.key, Version: g.version, Dealing: g.dealing, Used: make([]Used, len(g.used))}
	for i, j := range g.used {
		k.Used[i] = Used{X: g.entries[j].share.X, From: g.entries[j].from}
	}
	return k, true
}

func (c *Collector) winner() *group {
	if c.want == nil && c.conflict != nil {
		return nil
	}
	var win *group
	for _, g := range c.groups {
		if g.used != nil && c.judge(g) == "" && (win == nil || win.before(g.version, g.dealing)) {
			win = g
		}
	}
	return win
}

// Conflict returns the first contradiction of the issuer with itself, or nil.
func (c *Collector) Conflict() *Conflict { return c.conflict }

// Newer returns the claim of a share of a later version than the expected one,
// if there was one.
func (c *Collector) Newer() (Claim, bool) {
	if c.want != nil {
		for _, g := range c.groups {
			if g.version > c.want.Version {
				return g.claim(), true
			}
		}
	}
	return Claim{}, false
}

// Valid returns how many shares count towards the key so far: those of the
// largest dealing that is not refused.
func (c *Collector) Valid() int {
	most := 0
	for _, g := range c.groups {
		if c.judge(g) == "" {
			most = max(most, len(g.entries))
		}
	}
	return most
}

// Seen tells whether any share of this name has come that an issuer signed.
func (c *Collector) Seen() bool { return len(c.groups) > 0 }

// newestDealing returns the highest dealing of the latest key that counts.
func (c *Collector) newestDealing() (version uint32, dealing uint64) {
	for _, g := range c.groups {
		if c.judge(g) == "" && (g.version > version || g.version == version && g.dealing > dealing) {
			version, dealing = g.version, g.dealing
		}
	}
	return version, dealing
}

// Bad names every holder whose share does not count, with the reason: those
// refused at once, those of other versions and earlier dealings, and, once the
// key is there, those that are signed but do not lie on its polynomial.
func (c *Collector) Bad() []BadShare {
	bad := slices.Clone(c.refused)
	win := c.winner()
	version, newest := c.newestDealing()
	for _, g := range c.groups {
		reason := c.judge(g)
		if reason == "" && g.version == version && g.dealing < newest {
			reason = ReasonOtherDealing
		}
		for i := range g.entries {
			e := &g.entries[i]
			why := reason
			if g == win && !g.fits(i) {
				why = ReasonWrongValue
			}
			if why != "" {
				bad = append(bad, BadShare{From: e.from, X: e.share.X, Reason: why})
			}
		}
	}
	return bad
}
