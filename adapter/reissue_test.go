package adapter_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// replaceIssuer does what 'secp2psip root replace' asks for.
func replaceIssuer(t *testing.T, l *testnet.LAN, grace time.Duration) *admin.RootResult {
	t.Helper()
	out, err := callRoot(l, admin.RootRequest{Replace: true, GraceSeconds: int64(grace / time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func callRoot(l *testnet.LAN, req admin.RootRequest) (*admin.RootResult, error) {
	raw, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	out, err := l.Server.It.Handlers()[admin.MethodRoot](limited(), raw)
	if err != nil {
		return nil, err
	}
	return out.(*admin.RootResult), nil
}

// issuedBy tells whether a member's certificates are of the issuing key that
// the bootstrap server has now.
func issuedBy(l *testnet.LAN, m *testnet.Member) bool {
	trust := l.Server.It.Node().Trust()
	want, err := trust.IssuerOf(l.Server.It.Node().Chain())
	if err != nil {
		return false
	}
	_, _, chain, _ := m.It.Papers(m.Name)
	for _, c := range [][][]byte{m.It.Node().Chain(), chain} {
		if key, err := trust.IssuerOf(c); err != nil || !key.Equal(want) {
			return false
		}
	}
	return true
}

// pinnedAs fails if a name is not found, pinned, with that fingerprint.
func pinnedAs(t *testing.T, m *testnet.Member, name, fingerprint string) {
	t.Helper()
	var res *admin.LookupResult
	testnet.Eventually(t, m.Name+" finds "+name, func() bool {
		res = m.Lookup(name)
		return res.Outcome == admin.OutcomeVerified && len(res.Devices) > 0
	})
	if res.Fingerprint != fingerprint || res.Pinned.IsZero() || res.KeyVersion != 1 {
		t.Errorf("%s finds %s with the key %s (version %d), pinned %v; before it was %s", m.Name, name, res.Fingerprint, res.KeyVersion, res.Pinned, fingerprint)
	}
}

// Somebody has the issuing key. The operator revokes it at once: whoever goes on
// with what it has certified is refused, what it had revoked stays so, and all
// others have new certificates without anybody's doing, one that was away
// meanwhile, too; nobody's key changes.
func TestIssuingKeyIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b, c := l.Add("alice", many), l.Add("bob", many), l.Add("carol", many)
	for _, m := range []*testnet.Member{a, b, c} {
		m.Phone(toneA)
	}
	mallory := newRogue(t, l, "mallory")
	newRogue(t, l, "trudy")
	own := mallory.registration(t)
	for _, m := range []*testnet.Member{a, c} {
		testnet.Eventually(t, m.Name+" calls bob", func() bool { status, _ := call(t, m, "bob"); return status == 302 })
		testnet.Eventually(t, m.Name+" has pinned bob", func() bool { return !m.Lookup("bob").Pinned.IsZero() })
	}
	before := a.Lookup("bob").Fingerprint
	if _, err := l.Server.It.Revoke(bootstrap.RevokeParams{User: "trudy", Device: bootstrap.NoDevice}); err != nil {
		t.Fatal(err)
	}
	testnet.Eventually(t, "trudy is revoked", func() bool { return a.Lookup("trudy").Outcome == admin.OutcomeRevoked })
	c.Pin()
	c.Stop(t)

	began := time.Now()
	replaceIssuer(t, l, 0)
	for _, m := range []*testnet.Member{a, b} {
		testnet.Eventually(t, m.Name+" has new certificates", func() bool { return issuedBy(l, m) })
	}
	testnet.Eventually(t, "alice calls bob", func() bool { status, _ := call(t, a, "bob"); return status == 302 })
	t.Logf("calls go through again %v after the issuing key was revoked", time.Since(began).Round(100*time.Millisecond))
	pinnedAs(t, a, "bob", before)
	if tried, served := mallory.goesOn(b.It.Node(), "bob", own); served != 0 || tried == 0 {
		t.Errorf("%d of %d attempts with the old certificate were served", served, tried)
	}
	if got := a.Lookup("trudy").Outcome; got != admin.OutcomeRevoked {
		t.Errorf("who was revoked under the old key is %s", got)
	}
	if w := strings.Join(a.It.Status().Warnings, " "); strings.Contains(w, "issuing key") {
		t.Errorf("still warned: %s", w)
	}

	c.Start()
	testnet.Eventually(t, "carol, who was away, has new certificates", func() bool { return issuedBy(l, c) })
	testnet.Eventually(t, "carol calls bob", func() bool { status, _ := call(t, c, "bob"); return status == 302 })
	pinnedAs(t, c, "bob", before)
}

// The operator replaces the issuing key in good time: while both count everybody
// fetches new certificates, and no call is missed. When the old key ends all links
// are made anew at once, and calls go through again soon; how many are refused
// meanwhile is printed.
func TestIssuingKeyIsReplacedInTheGrace(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", uncached), l.Add("bob", many)
	a.Phone(toneA)
	b.Phone(toneB)
	testnet.Eventually(t, "alice calls bob", func() bool { status, _ := call(t, a, "bob"); return status == 302 })
	testnet.Eventually(t, "alice has pinned bob", func() bool { return !a.Lookup("bob").Pinned.IsZero() })
	before := a.Lookup("bob").Fingerprint
	old, err := l.Server.It.Node().Trust().IssuerOf(l.Server.It.Node().Chain())
	if err != nil {
		t.Fatal(err)
	}

	var cs caller
	var work sync.WaitGroup
	done := make(chan struct{})
	work.Go(func() { cs.run(t, a, "bob", done) })
	work.Go(func() { cs.run(t, b, "alice", done) })
	const grace = 20 * time.Second
	got := replaceIssuer(t, l, grace)
	if got.Revokes.Before(time.Now()) || got.Issuer == "" {
		t.Errorf("%+v", got)
	}
	if _, err := callRoot(l, admin.RootRequest{Replace: true, GraceSeconds: 60}); err == nil {
		t.Error("another replacement in the grace of this one")
	}
	warned := 0
	for _, m := range []*testnet.Member{a, b} {
		testnet.Eventually(t, m.Name+" has new certificates", func() bool {
			if strings.Contains(strings.Join(m.It.Status().Warnings, " "), "is replaced and will be revoked") {
				warned++
			}
			return issuedBy(l, m)
		})
	}
	isRevoked := func(m *testnet.Member) bool { return m.It.Node().Board().IssuerRevoked(old) }
	if isRevoked(a) {
		t.Error("revoked before its time")
	}
	if calls := cs.calls.Load(); calls == 0 || time.Now().After(got.Revokes) {
		t.Errorf("%d calls while both keys count", calls)
	}
	cs.mu.Lock()
	for _, err := range cs.why { // all of them while both keys counted
		t.Error(err)
	}
	missed := cs.failed.Load()
	cs.mu.Unlock()
	testnet.Eventually(t, "the old key is revoked everywhere", func() bool { return isRevoked(a) && isRevoked(b) })
	testnet.Eventually(t, "alice calls bob again", func() bool { status, _ := call(t, a, "bob"); return status == 302 })
	close(done)
	work.Wait()
	t.Logf("calls missed while both keys counted: %d; of %d in all, when the old one ended: %d", missed, cs.calls.Load(), cs.failed.Load()-missed)
	pinnedAs(t, a, "bob", before)
	if warned == 0 {
		t.Error("no status has said that the issuing key is replaced")
	}
	if st := l.Server.It.Node().Board(); !st.IssuerRevoked(old) {
		t.Error("the server has not revoked it")
	}
}
