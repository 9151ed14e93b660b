package adapter_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
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
// fetches new certificates and makes the links anew, and no call is missed, when
// the old key ends neither.
func TestIssuingKeyIsReplacedInTheGrace(t *testing.T) {
	t.Parallel()
	replacedInTheGrace(t, 2)
}

// graceEnough is a grace in whose first quarter everybody renews.
const graceEnough = 32 * time.Second

// endGrace ends a grace early.
func endGrace(t *testing.T, l *testnet.LAN, of *admin.RootResult) {
	t.Helper()
	if time.Now().After(of.Revokes) {
		t.Fatal("it has ended by itself: nobody was ready in time")
	}
	replaceIssuer(t, l, 0)
}

// replacedInTheGrace has people call each other in a circle, each twenty times a
// second, from before the replacement until a while after its end, which comes
// early, when everybody is ready for it, however fast this machine is.
func replacedInTheGrace(t *testing.T, people int) {
	l := testnet.New(t, func(c *bootstrap.Config) { c.Limits.RequestRate, c.Limits.RequestBurst = 10_000, 100_000_000 })
	var ms []*testnet.Member
	for i := range people {
		m := l.Add(fmt.Sprintf("person%d", i), map[bool]func(*adapter.Config){true: uncached, false: many}[i%2 == 0])
		m.Phone(toneA)
		ms = append(ms, m)
	}
	callee := func(i int) string { return ms[(i+1)%people].Name }
	for i, m := range ms {
		testnet.Eventually(t, m.Name+" calls", func() bool { status, _ := call(t, m, callee(i)); return status == 302 })
		testnet.Eventually(t, m.Name+" has pinned "+callee(i), func() bool { return !m.Lookup(callee(i)).Pinned.IsZero() })
	}
	before := ms[0].Lookup(callee(0)).Fingerprint
	old, err := l.Server.It.Node().Trust().IssuerOf(l.Server.It.Node().Chain())
	if err != nil {
		t.Fatal(err)
	}

	cs := caller{every: 50 * time.Millisecond}
	var work sync.WaitGroup
	done := make(chan struct{})
	for i, m := range ms {
		work.Go(func() { cs.run(t, m, callee(i), done) })
	}
	got := replaceIssuer(t, l, graceEnough)
	if got.Revokes.Before(time.Now()) || got.Issuer == "" {
		t.Errorf("%+v", got)
	}
	if _, err := callRoot(l, admin.RootRequest{Replace: true, GraceSeconds: 60}); err == nil {
		t.Error("another replacement in the grace of this one")
	}
	warned := 0
	for _, m := range ms {
		testnet.Eventually(t, m.Name+" has new certificates", func() bool {
			if strings.Contains(strings.Join(m.It.Status().Warnings, " "), "is replaced and will be revoked") {
				warned++
			}
			return issuedBy(l, m)
		})
	}
	ready(t, l, old, ms...)
	isRevoked := func(m *testnet.Member) bool { return m.It.Node().Board().IssuerRevoked(old) }
	if isRevoked(ms[0]) {
		t.Error("revoked before its time")
	}
	if calls := cs.calls.Load(); calls == 0 || time.Now().After(got.Revokes) {
		t.Errorf("%d calls while both keys count", calls)
	}
	began := cs.calls.Load()
	endGrace(t, l, got)
	if _, err := callRoot(l, admin.RootRequest{Replace: true}); err == nil || !strings.Contains(err.Error(), "nothing is left") {
		t.Error("whoever ends a grace that has just ended revokes the new key:", err)
	}
	for _, m := range ms {
		testnet.Eventually(t, "the old key is revoked at "+m.Name, func() bool { return isRevoked(m) })
	}
	after := cs.calls.Load()
	testnet.Eventually(t, "calls go on", func() bool { return cs.calls.Load() >= after+int64(40*people) })
	close(done)
	work.Wait()
	late, asleep := 0, 0
	for _, err := range cs.why {
		switch text := err.Error(); {
		case strings.Contains(text, "the phone does not answer"): // in time; no link is to blame
			asleep++
		case strings.Contains(text, "too few nodes of the ring answered"): // for seconds, on a machine that stands still
			late++
		default:
			t.Error(err)
		}
	}
	if int64(late)*50 > cs.calls.Load() {
		t.Errorf("%d of %d look-ups came to no result in time", late, cs.calls.Load())
	}
	if int64(asleep)*50 > cs.calls.Load() {
		t.Errorf("in %d of %d calls the phone did not answer in time", asleep, cs.calls.Load())
	}
	t.Logf("calls missed: %d of %d (in %d the phone did not answer in time, in %d the ring), %d of them while the old key ended",
		cs.failed.Load(), cs.calls.Load(), asleep, late, after-began)
	pinnedAs(t, ms[0], callee(0), before)
	if warned == 0 {
		t.Error("no status has said that the issuing key is replaced")
	}
	if st := l.Server.It.Node().Board(); !st.IssuerRevoked(old) {
		t.Error("the server has not revoked it")
	}
}

// A call that goes on meanwhile is moved to the link that was made anew, and has
// not lost a packet for it when the old one is closed.
func TestACallGoesOverToLinksMadeAnew(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("protected"))
	a, b := l.Add("alice", device("require-protected")), l.Add("bob", device("require-protected"))
	hangUp := inCall(t, a, b, a.Phone(toneA), b.Phone(toneB))
	old, err := l.Server.It.Node().Trust().IssuerOf(l.Server.It.Node().Chain())
	if err != nil {
		t.Fatal(err)
	}
	got := replaceIssuer(t, l, graceEnough)
	for _, m := range []*testnet.Member{a, b} {
		testnet.Eventually(t, m.Name+" has new certificates", func() bool { return issuedBy(l, m) })
	}
	ready(t, l, old, a, b)
	more(t, "on the links made anew", a, b) // a call looks twice a second where it should be
	endGrace(t, l, got)
	for _, m := range []*testnet.Member{a, b} {
		testnet.Eventually(t, "the old key is revoked at "+m.Name, func() bool { return m.It.Node().Board().IssuerRevoked(old) })
	}
	more(t, "after the end of the grace", a, b)
	for _, m := range []*testnet.Member{a, b} {
		live := m.It.Status().Live
		if len(live) != 1 || live[0].Media == nil {
			t.Fatalf("%s: %+v", m.Name, live)
		}
		got := live[0].Media.Received
		t.Logf("%s: %d packets, %d lost", m.Name, got.Packets, got.Lost)
		if got.Lost > 10 { // a fifth of a second; this machine may be busy
			t.Errorf("%s: %+v", m.Name, got)
		}
	}
	hangUp(true)
}

// ready waits until no link in use rests on an issuing key any more, and no
// registration.
func ready(t *testing.T, l *testnet.LAN, issuer identity.PublicKey, ms ...*testnet.Member) {
	t.Helper()
	nodes := []*node.Node{l.Server.It.Node()}
	for _, m := range ms {
		nodes = append(nodes, m.It.Node())
	}
	for _, n := range nodes {
		testnet.Eventually(t, n.ID().Short()+"'s links are made anew", func() bool {
			return len(n.Link().Outdated(func(_ identity.NodeID, chain [][]byte) bool {
				key, err := n.Trust().IssuerOf(chain)
				return err != nil || key.Equal(issuer)
			})) == 0
		})
		testnet.Eventually(t, n.ID().Short()+"'s registrations are signed anew", func() bool {
			return !slices.ContainsFunc(n.Store().All(), func(r record.Record) bool {
				v, err := record.Verify(r, n.Trust(), time.Now())
				return err != nil || v.Body.Kind == record.KindRegistration && v.Issuer.Key.Equal(issuer) && keeps(n, v)
			})
		})
	}
}

// keeps tells whether it is for that node to keep a record. It may still have
// one from the time when there were fewer nodes: nobody brings it the next.
func keeps(n *node.Node, v *record.Verified) bool {
	for _, pos := range record.PositionsOf(v.Body, n.Trust().Charter()) {
		if slices.ContainsFunc(n.Ring().View().Holders(pos), func(p wire.Peer) bool { return p.ID == n.ID() }) {
			return true
		}
	}
	return false
}
