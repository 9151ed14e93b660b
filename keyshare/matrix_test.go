package keyshare_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// The attacker runs n−k of the n holders. It has every share that was ever
// dealt to anybody, an earlier key of bob's with its private half, and keys of
// its own; it does not have the issuing key, except in the tests that say so.
// It wins if a resolver takes any key but bob's, and spoils the resolution if
// the k honest shares do not give bob's key.

// lie is one way to answer for share x instead of the honest record.
type lie struct {
	name   string
	reason string // that the liar must be named with
	answer func(s *scene, honest record.Record) record.Record
}

// scene is what the attacker has in its hands.
type scene struct {
	w         *world
	bob       identity.AOR
	key       identity.PublicKey // bob's, version 2
	evil      identity.PublicKey // the attacker's
	honest    []record.Record    // dealing 2 of version 2
	oldKey    []record.Record    // version 1: another key, which the attacker stole
	redealt   []record.Record    // an earlier dealing of the right key
	mallorys  []record.Record    // the attacker's own key, dealt to its own name
	expired   []record.Record    // the right shares, of three years ago
	selfmade  []record.Record    // bob's name, the attacker's key and issuer
	other     []record.Record    // bob's key as another k of n
	attacks   int                // how often the attacker answered
	stranger  identity.PrivateKey
	elsewhere *identity.Issuer
}

func newScene(t *testing.T) *scene {
	w := newWorld(t, 4, 10)
	s := &scene{
		w: w, bob: name(t, "bob"), key: newKey(t).Public(), evil: newKey(t).Public(), stranger: newKey(t),
		elsewhere: newWorld(t, 4, 10).issuer,
	}
	p := w.params(s.bob)
	p.Version, p.Dealing = 2, 2
	s.honest = w.deal(s.key, p)
	p.Dealing = 1
	s.redealt = w.deal(s.key, p)
	p.K, p.N = 3, 10
	s.other = w.deal(s.key, p)
	p.K = 4
	p.Version = 1
	s.oldKey = w.deal(s.evil, p)
	p = w.params(name(t, "mallory"))
	p.Version, p.Dealing = 2, 2
	s.mallorys = w.deal(s.evil, p)
	p.AOR = s.bob
	p.Now = now.Add(-3 * 365 * 24 * time.Hour)
	s.expired = w.deal(s.key, p)
	p.Now = now
	recs, err := keyshare.Deal(s.evil, p, s.elsewhere)
	must(t, err)
	s.selfmade = recs
	return s
}

// at returns the share of a dealing that lies where the honest one does.
func at(recs []record.Record, honest record.Record) record.Record {
	b, err := honest.Body()
	if err != nil {
		panic(err)
	}
	return recs[b.Part-1]
}

func lies() []lie {
	edit := func(f func(b *record.Body, s *record.Share)) func(*scene, record.Record) record.Record {
		return func(sc *scene, honest record.Record) record.Record {
			return sc.w.forgeBy(sc.stranger, honest, f)
		}
	}
	return []lie{
		{"x is zero", keyshare.ReasonSignature, edit(func(_ *record.Body, s *record.Share) { s.X, s.Y = 0, []byte("the attacker's key, 32 bytes long")[:32] })},
		{"x of somebody else", keyshare.ReasonSignature, edit(func(_ *record.Body, s *record.Share) { s.X = s.X%10 + 1 })},
		{"garbage y", keyshare.ReasonSignature, edit(func(_ *record.Body, s *record.Share) { rand.NewChaCha8([32]byte{s.X}).Read(s.Y) })},
		{"signature by another key", keyshare.ReasonSignature, edit(func(*record.Body, *record.Share) {})},
		{"another overlay's issuer", keyshare.ReasonSignature, func(s *scene, h record.Record) record.Record { return at(s.selfmade, h) }},
		{"duplicate x, replayed from the first position", keyshare.ReasonDuplicateX, func(s *scene, _ record.Record) record.Record { return s.honest[0] }},
		{"old version", keyshare.ReasonOldVersion, func(s *scene, h record.Record) record.Record { return at(s.oldKey, h) }},
		{"other dealing", keyshare.ReasonOtherDealing, func(s *scene, h record.Record) record.Record { return at(s.redealt, h) }},
		{"another person's share, validly signed", keyshare.ReasonOtherName, func(s *scene, h record.Record) record.Record { return at(s.mallorys, h) }},
		{"another threshold, validly signed", keyshare.ReasonThreshold, func(s *scene, h record.Record) record.Record { return at(s.other, h) }},
		{"replayed after it expired", keyshare.ReasonExpired, func(s *scene, h record.Record) record.Record { return at(s.expired, h) }},
		{"truncated", keyshare.ReasonMalformed, func(_ *scene, h record.Record) record.Record {
			h.Signed = h.Signed[:len(h.Signed)/2]
			return h
		}},
		{"signature damaged", keyshare.ReasonSignature, func(_ *scene, h record.Record) record.Record {
			h.Signed = append([]byte(nil), h.Signed...)
			h.Signed[len(h.Signed)-1] ^= 1
			return h
		}},
		{"its value changed, the path of the dealing kept", keyshare.ReasonSignature, func(s *scene, h record.Record) record.Record {
			return s.w.rebatch(h, func(p *batched) { p.Body = editShare(s.w.t, p.Body, func(v *record.Share) { v.Y[0] ^= 1 }) })
		}},
		{"the path of another share", keyshare.ReasonSignature, func(s *scene, h record.Record) record.Record {
			other := takeApart(s.w.t, s.honest[0])
			return s.w.rebatch(h, func(p *batched) { p.Index, p.Path = other.Index, other.Path })
		}},
		{"the attacker's key, the path of another dealing", keyshare.ReasonSignature, func(s *scene, h record.Record) record.Record {
			other := takeApart(s.w.t, at(s.mallorys, h))
			return s.w.rebatch(at(s.selfmade, h), func(p *batched) { p.Path, p.Signature = other.Path, other.Signature })
		}},
		{"nothing at all", keyshare.ReasonMalformed, func(*scene, record.Record) record.Record { return record.Record{} }},
	}
}

// play lets the holders answer in random order, liars[i] for share i+1, and
// returns the collector. The honest shares are not among the liars.
func (s *scene) play(t *testing.T, liars map[int]lie, order []int) *keyshare.Collector {
	t.Helper()
	c := keyshare.NewCollector(s.bob, 4, 10)
	// The certificate may come at any time among the shares.
	certAt := rand.IntN(len(order) + 1)
	for step, i := range order {
		if step == certAt {
			c.Expect(keyshare.Claim{Version: 2, Digest: s.key.Digest()})
		}
		r := s.honest[i]
		if l, ok := liars[i]; ok {
			s.attacks++
			r = l.answer(s, r)
		}
		share, err := keyshare.Verify(r, s.w.trust, now)
		if err != nil {
			reason := keyshare.ReasonMalformed
			if bad, ok := err.(*keyshare.BadShare); ok {
				reason = bad.Reason
			}
			c.Refuse(holder(i), 0, reason, err)
		} else {
			_ = c.Add(holder(i), share) // refusals are asked for below
		}
		if step >= certAt {
			if k, ok := c.Key(); ok && k.Key != s.key {
				t.Fatalf("the attacker's key was taken, order %v", order)
			}
		}
	}
	if certAt == len(order) {
		c.Expect(keyshare.Claim{Version: 2, Digest: s.key.Digest()})
	}
	return c
}

func TestMatrixD3EveryLieFails(t *testing.T) {
	const rounds = 20
	total, attacks := 0, 0
	for _, l := range lies() {
		t.Run(l.name, func(t *testing.T) {
			s := newScene(t)
			right := 0
			for range rounds {
				order := rand.Perm(10)
				liars := make(map[int]lie)
				for _, i := range order { // n−k of them, in any place; the first position stays honest
					if i != 0 && len(liars) < 6 {
						liars[i] = l
					}
				}
				order = rand.Perm(10)
				c := s.play(t, liars, order)
				if k, ok := c.Key(); ok && k.Key == s.key {
					right++
				}
				s.namesEvery(t, c, liars, l.reason)
			}
			if right != rounds {
				t.Errorf("right key in %d of %d resolutions", right, rounds)
			}
			total, attacks = total+right, attacks+s.attacks
			if s.attacks != 6*rounds {
				t.Errorf("the attacker answered %d times, not %d", s.attacks, 6*rounds)
			}
		})
	}
	t.Logf("matrix: D3 each of %d lies alone: right key in %d of %d resolutions, %d lies told", len(lies()), total, rounds*len(lies()), attacks)
}

// namesEvery checks that every liar is named, with the reason, and nobody
// else. Of two who answer with one x the later one is named, so there it may
// be the honest one; then it is one fewer liar.
func (s *scene) namesEvery(t *testing.T, c *keyshare.Collector, liars map[int]lie, reason string) {
	t.Helper()
	named := make(map[identity.NodeID]string)
	for _, b := range c.Bad() {
		named[b.From] = b.Reason
	}
	if len(named) != len(liars) {
		t.Errorf("%d named, %d lied: %v", len(named), len(liars), c.Bad())
	}
	for i := range liars {
		if got := named[holder(i)]; got != reason && reason != keyshare.ReasonDuplicateX {
			t.Errorf("liar %d is named with %q, not %q", i, got, reason)
		}
	}
}

func TestMatrixD3MixedLiesFail(t *testing.T) {
	const rounds = 150
	s := newScene(t)
	all := lies()
	right := 0
	for round := range rounds {
		liars := make(map[int]lie)
		for _, i := range rand.Perm(10)[:6] {
			liars[i] = all[rand.IntN(len(all))]
			if liars[i].reason == keyshare.ReasonDuplicateX {
				liars[i] = all[0] // needs the first position to be honest; see the test above
			}
		}
		c := s.play(t, liars, rand.Perm(10))
		if k, ok := c.Key(); !ok || k.Key != s.key {
			t.Fatalf("round %d: right key not had from 4 honest shares; liars %v, refused %v", round, liars, c.Bad())
		}
		right++
	}
	if s.attacks != 6*rounds {
		t.Errorf("the attacker answered %d times, not %d", s.attacks, 6*rounds)
	}
	t.Logf("matrix: D3 mixed lies: right key in %d of %d resolutions, %d lies told", right, rounds, s.attacks)
}

// Without the certificate, k old shares that come first do give the old key
// once; as soon as one share of the later version is seen, never again.
func TestMatrixD3LaterVersionOutranksOldShares(t *testing.T) {
	s := newScene(t)
	c := keyshare.NewCollector(s.bob, 4, 10)
	for i := range 6 {
		must(t, s.w.answer(c, holder(i), s.oldKey[i]))
		s.attacks++
	}
	for i := 6; i < 10; i++ {
		must(t, s.w.answer(c, holder(i), s.honest[i]))
		if k, ok := c.Key(); ok && k.Key == s.evil {
			t.Fatal("the old key outlived a share of the later version")
		}
	}
	if k, ok := c.Key(); !ok || k.Key != s.key {
		t.Fatal("right key not had")
	}
	if s.attacks == 0 || len(c.Bad()) != 6 {
		t.Errorf("named: %v", c.Bad())
	}
	t.Logf("matrix: D3 old shares heard first: %d, named as old: %d", s.attacks, len(c.Bad()))
}

// Old shares, from however many dealings, do not crowd out the right ones.
func TestMatrixD3OldDealingsDoNotCrowdOut(t *testing.T) {
	s := newScene(t)
	p := s.w.params(s.bob)
	p.Version = 2
	c := keyshare.NewCollector(s.bob, 4, 10)
	c.Expect(keyshare.Claim{Version: 2, Digest: s.key.Digest()})
	p.K, p.N = 4, 10
	for dealing := uint64(100); dealing < 120; dealing++ {
		p.Dealing = dealing
		_ = s.w.answer(c, holder(0), s.w.deal(s.key, p)[0])
		s.attacks++
	}
	p.Dealing = 1000
	for i, r := range s.w.deal(s.key, p)[6:] {
		must(t, s.w.answer(c, holder(6+i), r))
	}
	if k, ok := c.Key(); !ok || k.Key != s.key || k.Dealing != 1000 || s.attacks != 20 {
		t.Errorf("key %v after %d old shares", ok, s.attacks)
	}
	if len(c.Bad()) != 20 {
		t.Errorf("%d named", len(c.Bad()))
	}
	t.Logf("matrix: D3 shares of old dealings heard first: %d, named: %d, right key in the end", s.attacks, len(c.Bad()))
}

// An issuer that goes wrong, or whose key is stolen, can sign anything. It can
// keep a resolution from succeeding, but not give it a key that the digest
// does not confirm, and not two keys without leaving evidence.

func TestMatrixD3SignedGarbageIsOutvoted(t *testing.T) {
	s := newScene(t)
	for range 20 {
		c := keyshare.NewCollector(s.bob, 4, 10)
		for _, i := range rand.Perm(10) {
			r := s.honest[i]
			if i < 6 {
				s.attacks++
				r = s.w.forge(r, func(_ *record.Body, sh *record.Share) { rand.NewChaCha8([32]byte{byte(i), 1}).Read(sh.Y) })
			}
			must(t, s.w.answer(c, holder(i), r))
			if k, ok := c.Key(); ok && k.Key != s.key {
				t.Fatal("a key that nobody dealt")
			}
		}
		if k, ok := c.Key(); !ok || k.Key != s.key {
			t.Fatal("right key not had from 4 right shares")
		}
		bad := c.Bad()
		if len(bad) != 6 {
			t.Fatalf("named: %v", bad)
		}
		for _, b := range bad {
			if b.Reason != keyshare.ReasonWrongValue {
				t.Errorf("%v", &b)
			}
		}
	}
	if s.attacks != 120 {
		t.Errorf("the attacker answered %d times", s.attacks)
	}
	t.Logf("matrix: D3 garbage signed by the issuer: right key in 20 of 20 resolutions, %d lies told", s.attacks)
}

func TestMatrixD3MalformedButSignedIsRefused(t *testing.T) {
	s := newScene(t)
	c := keyshare.NewCollector(s.bob, 4, 10)
	for i, l := range []struct {
		reason string
		edit   func(b *record.Body, sh *record.Share)
	}{
		{keyshare.ReasonZeroX, func(_ *record.Body, sh *record.Share) { sh.X = 0 }},
		{keyshare.ReasonXRange, func(_ *record.Body, sh *record.Share) { sh.X = 11 }},
		{keyshare.ReasonMisplaced, func(_ *record.Body, sh *record.Share) { sh.X++ }},
		{keyshare.ReasonLength, func(_ *record.Body, sh *record.Share) { sh.Y = sh.Y[:31] }},
		{keyshare.ReasonLength, func(_ *record.Body, sh *record.Share) { sh.Y = append(sh.Y, 0) }},
		{keyshare.ReasonThreshold, func(_ *record.Body, sh *record.Share) { sh.K = 2 }},
		{keyshare.ReasonThreshold, func(_ *record.Body, sh *record.Share) { sh.N = 9 }},
		{keyshare.ReasonNotShare, func(b *record.Body, _ *record.Share) { b.Tombstone, b.Data = true, nil }},
	} {
		err := s.w.answer(c, holder(i), s.w.forge(s.honest[i], l.edit))
		s.attacks++
		bad, ok := err.(*keyshare.BadShare)
		if !ok || bad.Reason != l.reason {
			t.Errorf("want %s, got %v", l.reason, err)
		}
	}
	if _, ok := c.Key(); ok || c.Seen() || s.attacks != 8 {
		t.Errorf("something was counted of %d lies", s.attacks)
	}
	t.Logf("matrix: D3 malformed shares signed by the issuer: none of %d counted", s.attacks)
}

func TestMatrixD3SecondKeyIsEvidence(t *testing.T) {
	s := newScene(t)
	p := s.w.params(s.bob)
	p.Version, p.Dealing = 2, 9
	second := s.w.deal(s.evil, p) // by the right issuer: it equivocates
	c := keyshare.NewCollector(s.bob, 4, 10)
	for i := range 4 {
		must(t, s.w.answer(c, holder(i), s.honest[i]))
	}
	if k, ok := c.Key(); !ok || k.Key != s.key {
		t.Fatal("no key")
	}
	err := s.w.answer(c, holder(7), second[7])
	s.attacks++
	conflict, ok := err.(*keyshare.Conflict)
	if !ok || s.attacks == 0 {
		t.Fatalf("a second key is no conflict: %v", err)
	}
	if _, ok := c.Key(); ok {
		t.Error("a key is given while nobody can say which is right")
	}
	for _, claim := range []keyshare.Claim{conflict.First, conflict.Second} {
		v, err := record.Verify(*claim.Record, s.w.trust, now)
		must(t, err)
		if v.AOR != s.bob || v.Share.Digest != claim.Digest {
			t.Error("the evidence does not say what it is evidence of")
		}
	}
	if conflict.First.Digest != s.key.Digest() || conflict.Second.Digest != s.evil.Digest() {
		t.Error("the claims are not those of the two keys")
	}
	// A pin decides, and the other key stays refused.
	c.Expect(keyshare.Claim{Version: 2, Digest: s.key.Digest()})
	if k, ok := c.Key(); !ok || k.Key != s.key || c.Conflict() == nil {
		t.Error("the pinned key is not had, or the conflict is forgotten")
	}
	t.Logf("matrix: D3 second keys signed by the issuer: %d, kept as evidence: 1", s.attacks)
}
