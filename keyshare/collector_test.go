package keyshare_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

func TestCollectorCounts(t *testing.T) {
	s := newScene(t)
	c := keyshare.NewCollector(s.bob, 4, 10)
	if c.Seen() || c.Valid() != 0 {
		t.Error("something before anything")
	}
	for i := range 3 {
		must(t, s.w.answer(c, holder(i), s.honest[i]))
	}
	must(t, s.w.answer(c, holder(3), s.redealt[3])) // another dealing does not add up
	if !c.Seen() || c.Valid() != 3 {
		t.Errorf("%d valid", c.Valid())
	}
	if _, ok := c.Key(); ok {
		t.Error("a key from three and one")
	}
	must(t, s.w.answer(c, holder(9), s.honest[9]))
	k, ok := c.Key()
	if !ok || k.Version != 2 || k.Dealing != 2 {
		t.Fatalf("%+v", k)
	}
	var xs []uint8
	for _, u := range k.Used {
		xs = append(xs, u.X)
		if u.From != holder(int(u.X)-1) {
			t.Errorf("share %d from %v", u.X, u.From)
		}
	}
	if string(xs) != string([]uint8{1, 2, 3, 10}) {
		t.Errorf("made of %v", xs)
	}
}

func TestCollectorTellsOfALaterKey(t *testing.T) {
	s := newScene(t)
	c := keyshare.NewCollector(s.bob, 4, 10)
	if _, ok := c.Newer(); ok {
		t.Error("later than nothing")
	}
	c.Expect(keyshare.Claim{Version: 1, Digest: s.evil.Digest()})
	err := s.w.answer(c, holder(0), s.honest[0])
	var bad *keyshare.BadShare
	if !errors.As(err, &bad) || bad.Reason != keyshare.ReasonNewVersion || !errors.Is(err, keyshare.ErrBadShare) {
		t.Fatalf("%v", err)
	}
	later, ok := c.Newer()
	if !ok || later.Version != 2 || later.Digest != s.key.Digest() || later.Record == nil {
		t.Errorf("%+v", later)
	}
	// The certificate of the later key comes after all: its share counts.
	c.Expect(keyshare.ClaimOf(&identity.AccountCertificate{Version: 2, Key: s.key}))
	if _, ok := c.Newer(); ok || c.Valid() != 1 {
		t.Error("still later than the certificate")
	}
}

func TestErrorsSayWhoAndWhy(t *testing.T) {
	s := newScene(t)
	c := keyshare.NewCollector(s.bob, 4, 10)
	cause := errors.New("cause")
	err := c.Refuse(holder(1), 7, keyshare.ReasonSignature, cause)
	if text := err.Error(); !strings.Contains(text, "share 7 from 02000000") || !strings.Contains(text, "bad_signature: cause") || !errors.Is(err, cause) {
		t.Errorf("%q", text)
	}
	conflict := error(&keyshare.Conflict{AOR: s.bob, First: keyshare.Claim{Version: 1}, Second: keyshare.Claim{Version: 2}})
	if !errors.Is(conflict, keyshare.ErrKeyConflict) || strings.Contains(conflict.Error(), "bob") {
		t.Errorf("%v", conflict)
	}
}

func TestClaimedReadsSharesOnly(t *testing.T) {
	s := newScene(t)
	aor, share, err := keyshare.Claimed(s.honest[4])
	if err != nil || aor != s.bob.String() || share.X != 5 {
		t.Errorf("%s %d %v", aor, share.X, err)
	}
	if _, _, err := keyshare.Claimed(record.Record{}); err == nil {
		t.Error("read out of nothing")
	}
	r, err := record.Sign(record.Body{
		AOR: s.bob.String(), Kind: record.KindNumber, Seq: 1, Time: now.UnixMilli(), Lifetime: 60, Data: []byte{0},
	}, s.stranger, record.Chain{})
	must(t, err)
	if _, _, err := keyshare.Claimed(r); !errors.Is(err, keyshare.ErrBadShare) {
		t.Errorf("%v", err)
	}
}

// x out of range and the like cannot pass record.Verify; the collector does
// not rely on that.
func TestCollectorChecksWhatVerifyChecks(t *testing.T) {
	s := newScene(t)
	for reason, edit := range map[string]func(*keyshare.Share){
		keyshare.ReasonZeroX:     func(sh *keyshare.Share) { sh.X, sh.Part = 0, 0 },
		keyshare.ReasonXRange:    func(sh *keyshare.Share) { sh.X, sh.Part = 11, 11 },
		keyshare.ReasonMisplaced: func(sh *keyshare.Share) { sh.X = 2 },
		keyshare.ReasonLength:    func(sh *keyshare.Share) { sh.Y = nil },
		keyshare.ReasonThreshold: func(sh *keyshare.Share) { sh.K, sh.N = 0, 0 },
		keyshare.ReasonOtherName: func(sh *keyshare.Share) { sh.AOR = identity.AOR{} },
	} {
		verified, err := keyshare.Verify(s.honest[0], s.w.trust, now)
		must(t, err)
		share := *verified
		edit(&share)
		err = keyshare.NewCollector(s.bob, 4, 10).Add(holder(0), &share)
		var bad *keyshare.BadShare
		if !errors.As(err, &bad) || bad.Reason != reason {
			t.Errorf("want %s, got %v", reason, err)
		}
	}
}
