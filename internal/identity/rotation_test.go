package identity_test

import (
	"errors"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// rotated returns a chain of rotations over the keys 10, 11, … and the last key.
func rotated(t *testing.T, aor identity.AOR, steps int) (rs []identity.Rotation, last identity.PublicKey) {
	t.Helper()
	for i := range steps {
		from, to := testKey(t, byte(10+i)), testKey(t, byte(11+i))
		rs = append(rs, must(identity.SignRotation(from, aor, to.Public(), uint32(i+2), testNow, time.Hour))(t))
	}
	return rs, testKey(t, byte(10+steps)).Public()
}

func TestRotationsInCertificates(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	aor := mustAOR(t, "alice", "lan.example")
	for steps := range identity.MaxRotations + 1 {
		rs, key := rotated(t, aor, steps)
		der := o.account(t, func(p *identity.AccountParams) { p.Key, p.Version, p.Rotations = key, uint32(steps+1), rs })
		cert, err := o.trust.VerifyAccount(o.chain(der), testNow)
		if err != nil || len(cert.Rotations) != steps {
			t.Fatalf("%d steps: %v", steps, err)
		}
		for i := range steps {
			r, version := cert.Before(testKey(t, byte(10+i)).Public().Digest())
			if r == nil || version != uint32(i+1) || !r.Until().Equal(testNow.Add(time.Hour)) || !cert.Follows(r.Old) {
				t.Errorf("%d steps, key %d: %+v, version %d", steps, i, r, version)
			}
		}
		if !cert.Follows(key) || cert.Follows(testKey(t, 99).Public()) {
			t.Errorf("%d steps: Follows", steps)
		}
		t.Logf("an account certificate with %d rotations has %d bytes", steps, len(der))
	}
}

// TestMatrixA2ForgedRotations: whoever has not got the old key cannot make a
// certificate that follows it, though he be the issuer.
func TestMatrixA2ForgedRotations(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	alice, bob := mustAOR(t, "alice", "lan.example"), mustAOR(t, "bob", "lan.example")
	evil, target := testKey(t, 66), testKey(t, 11).Public()
	good := must(identity.SignRotation(testKey(t, 10), alice, target, 2, testNow, time.Hour))(t)
	byEvil := must(identity.SignRotation(evil, alice, target, 2, testNow, time.Hour))(t)
	byEvil.Old = good.Old
	forged := map[string]identity.AccountParams{
		"signed by another key": {Key: target, Version: 2, Rotations: []identity.Rotation{byEvil}},
		"to another key":        {Key: evil.Public(), Version: 2, Rotations: []identity.Rotation{good}},
		"of another version":    {Key: target, Version: 3, Rotations: []identity.Rotation{good}},
		"of another name":       {Key: target, Version: 2, AOR: bob, Rotations: []identity.Rotation{good}},
		"twice":                 {Key: target, Version: 3, Rotations: []identity.Rotation{good, good}},
		"to the first key":      {Key: target, Version: 1, Rotations: []identity.Rotation{good}},
	}
	longer := good
	longer.Overlap += time.Hour
	forged["with a longer overlap"] = identity.AccountParams{Key: target, Version: 2, Rotations: []identity.Rotation{longer}}
	for i := range len(good.Bytes()) {
		b := good.Bytes()
		b[i] ^= 1
		forged["with byte "+string(rune('0'+i))+" changed"] = identity.AccountParams{Key: target, Version: 2, Rotations: must(identity.ParseRotations(b))(t)}
	}
	attacks, issued := 0, 0
	for what, p := range forged {
		attacks++
		if p.AOR.IsZero() {
			p.AOR = alice
		}
		p.Owner, p.NotBefore, p.NotAfter = identity.OwnerTag{1}, testNow, testNow.Add(90*day)
		if _, err := o.issuer.IssueAccount(p); err == nil {
			t.Errorf("%s: issued", what)
			issued++
		} else if !errors.Is(err, identity.ErrUntrusted) && !errors.Is(err, identity.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
		der := identity.IssueUnchecked(t, o.issuer, p) // as a dishonest issuer would
		if _, err := o.trust.VerifyAccount(o.chain(der), testNow); err == nil {
			t.Errorf("%s: believed", what)
			issued++
		}
	}
	t.Logf("matrix: A2 rotations without the old key that are believed: %d of %d", issued, attacks)
	for _, bad := range []struct {
		to      identity.PublicKey
		version uint32
		overlap time.Duration
	}{{good.Old, 2, 0}, {target, 1, 0}, {target, 2, -time.Second}, {target, 2, identity.MaxOverlap + time.Second}, {identity.PublicKey{}, 2, 0}} {
		if _, err := identity.SignRotation(testKey(t, 10), alice, bad.to, bad.version, testNow, bad.overlap); !errors.Is(err, identity.ErrMalformed) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
