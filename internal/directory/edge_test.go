package directory_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

func TestNewNeedsARing(t *testing.T) {
	if _, err := directory.New(directory.Config{}); err == nil {
		t.Error("no error")
	}
}

// The issuer certifies a new key and deals no shares of it: whoever has pinned
// the old one hears that the key has changed, not that shares are missing.
func TestChangedKeyWithoutSharesIsAChangedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		evil := w.person("bob", "", 2)
		evil.put(evil.account(), evil.registration(6666))
		d := w.directory()
		must(t, d.Accept(bob.aor, bob.key.Public(), 1))
		_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrKeyChanged)
		if !strings.Contains(err.Error(), bob.key.Public().Fingerprint()) || strings.Contains(err.Error(), "bob") {
			t.Errorf("%v", err)
		}
		// Who has not, hears that shares are missing.
		_, err = w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrNotEnoughShares)
	})
}

// Shares of a later version under the same key are no second key, but the
// certificate must follow before they count.
func TestSharesAheadOfTheCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		bob.version = 2
		bob.put(bob.shares(1)...)
		d := w.directory()
		_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrNotEnoughShares)
		if len(d.Conflicts()) != 0 {
			t.Error("a conflict between one key and itself")
		}
		bob.certify()
		bob.put(bob.account())
		_, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
	})
}

// Without any certificate k shares still show that the name exists, but vouch
// for no key.
func TestSharesWithoutACertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.person("bob", "", 1)
		bob.put(bob.shares(1)...)
		bob.put(bob.issued(bob.aor, record.KindAccount, nil)) // closed
		res, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrNotRegistered)
		if !res.Key.IsZero() || res.Account != nil || res.Evidence.Pin != "" || len(res.Evidence.Shares) != 4 {
			t.Errorf("%+v", res)
		}
	})
}

// Two keys under one version in two certificates are a conflict by themselves.
func TestTwoCertificatesConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		evil := w.person("bob", "", 1)
		evil.put(evil.account())
		d := w.directory()
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrKeyConflict)
		var c *keyshare.Conflict
		if !errors.As(err, &c) || c.First.Digest == c.Second.Digest {
			t.Fatalf("%v", err)
		}
		for _, claim := range []keyshare.Claim{c.First, c.Second} { // certificates, or the first share met
			if len(claim.Certificate) == 0 && claim.Record == nil {
				t.Error("a claim without evidence")
			}
		}
		other := 0
		for _, b := range res.Evidence.Bad {
			if b.Reason == keyshare.ReasonOtherKey {
				other++
			}
		}
		if other == 0 {
			t.Errorf("nobody named: %+v", res.Evidence.Bad)
		}
	})
}

// Holders that answer with what belongs elsewhere are named with the reason.
func TestMisplacedAnswersAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		shares := bob.shares(1)
		old := w.person("bob", "", 1)
		bob.version = 2
		bob.certify()
		bob.put(bob.shares(2)...)
		bob.put(bob.account(), bob.registration(5000))
		oldAccount := old.account()
		w.ring.lie(func(a ask) (directory.Answer, error, bool) {
			switch {
			case a.part != nil && *a.part > 4:
				a.honest.Records = shares[:1]
			case a.resource == record.Resource(bob.aor, record.KindAccount):
				a.honest.Records = []record.Record{oldAccount}
			}
			return a.honest, nil, true
		})
		want := map[string]bool{keyshare.ReasonMisplaced: true, directory.ReasonOldVersion: true}
		d := w.directory()
		for len(want) > 0 { // which are asked is chance
			res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
			must(t, err)
			for _, b := range res.Evidence.Bad {
				delete(want, b.Reason)
			}
		}
	})
}
