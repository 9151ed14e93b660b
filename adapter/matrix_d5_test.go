package adapter_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// visibleTo says who can find a member's phones, as the command line does.
func visibleTo(t *testing.T, m *testnet.Member, req admin.VisibleRequest) (*admin.Visible, error) {
	t.Helper()
	raw, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	res, err := m.It.Handlers()[admin.MethodVisible](limited(), raw)
	if err != nil {
		return nil, err
	}
	return res.(*admin.Visible), nil
}

func mustSee(t *testing.T, m *testnet.Member, req admin.VisibleRequest) *admin.Visible {
	t.Helper()
	v, err := visibleTo(t, m, req)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// read fetches a name's registrations from all positions, over real links to
// the member's node, as whoever has a node can.
func (r *rogue) read(m *testnet.Member, name string) (all []record.Record) {
	r.t.Helper()
	aor, err := identity.NewAOR(name, testnet.Overlay)
	if err != nil {
		r.t.Fatal(err)
	}
	conn := r.to(m)
	resource := record.Resource(aor, record.KindRegistration)
	for i := range 4 {
		answer, err := conn.Call(limited(), &wire.Fetch{Position: record.Position(resource, i, 4), Resource: resource})
		if got, ok := answer.(*wire.Fetched); ok && err == nil {
			all = append(all, got.Records...)
		}
	}
	return all
}

// newest returns the one with the highest sequence number.
func newest(t *testing.T, all []record.Record) (best record.Record) {
	t.Helper()
	high := uint64(0)
	for _, r := range all {
		if b, err := r.Body(); err == nil && b.Seq > high {
			high, best = b.Seq, r
		}
	}
	if high == 0 {
		t.Fatal("no registration could be read")
	}
	return best
}

// shows tells which of the things that say where a member is stand in a record.
func shows(t *testing.T, rec record.Record, m *testnet.Member) (out []string) {
	t.Helper()
	self := m.It.Node().Self()
	encoded, err := canon.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	port := self.Addrs[0].Port()
	address, err := canon.Marshal(self.Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string][]byte{"Node-ID": self.ID[:], "address": address, "port": {byte(port), byte(port >> 8)}, "feature": []byte("carried")} {
		if bytes.Contains(encoded, secret) && (what != "port" || bytes.Contains(encoded, append([]byte{127, 0, 0, 1}, secret...))) {
			out = append(out, what)
		}
	}
	return out
}

// alice's registration is sealed for bob. carol, a member like him, and mallory,
// who reads raw records out of the nodes that hold them, learn neither where
// she is nor whether her phone is there; bob calls her as before, with as many
// questions to the ring. Nobody but who she delegated to can write it. The same
// reader learns everything when she ends it.
func TestMatrixD5SealedRegistration(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b, c := l.Add("alice", many), l.Add("bob", many), l.Add("carol", many)
	for _, m := range []*testnet.Member{a, b, c} {
		newTextPhone(t, m)
	}
	mallory := newRogue(t, l, "mallory")
	open := b.Lookup("alice")
	see := func(who *testnet.Member) int {
		t.Helper()
		var res *admin.LookupResult
		testnet.Eventually(t, who.Name+" hears of alice", func() bool { // a busy machine lets look-ups time out
			res = who.Lookup("alice")
			return res.Outcome == admin.OutcomeVerified || res.Outcome == admin.OutcomeNotRegistered
		})
		return len(res.Devices)
	}
	if see(b) != 1 || see(c) != 1 || len(shows(t, newest(t, mallory.read(b, "alice")), a)) == 0 {
		t.Fatal("alice cannot be found before")
	}

	v := mustSee(t, a, admin.VisibleRequest{Change: true, Readers: []string{"bob"}})
	if v.Everybody || len(v.Readers) != 1 || v.Readers[0].Fingerprint == "" {
		t.Errorf("%+v", v)
	}
	raw := newest(t, mallory.read(b, "alice"))
	size := raw.Size()
	if see(b) != 1 || see(a) != 1 {
		t.Error("bob and alice do not find her")
	}
	if status, err := settledCall(t, b, "alice"); status != 302 {
		t.Errorf("bob calls: %v", err)
	}
	learnt := 0
	for range 5 {
		learnt += see(c)
	}
	if status, err := settledCall(t, c, "alice"); status != 480 {
		t.Errorf("carol calls: %d, %v", status, err)
	}
	found := shows(t, raw, a)
	if learnt += len(found); learnt > 0 {
		t.Errorf("who is no reader learns %v, and %d devices", found, learnt-len(found))
	}
	if sealed := kinds(b.Lookup("alice")); kinds(open) != sealed {
		t.Errorf("asked of the ring: %s, and sealed: %s", kinds(open), sealed)
	}
	writes, refused := mallory.writes(t, raw, a, b, c)
	if refused != writes {
		t.Errorf("%d of %d forged registrations were refused", refused, writes)
	}
	if see(b) != 1 {
		t.Error("after the forgeries bob does not find alice")
	}

	// As many bytes for three as for one; and then for everybody.
	mustSee(t, a, admin.VisibleRequest{Change: true, Readers: []string{"bob", "carol", "mallory"}})
	if got := newest(t, mallory.read(b, "alice")).Size(); got != size {
		t.Errorf("%d bytes for three readers, %d for one", got, size)
	}
	if see(c) != 1 {
		t.Error("carol does not find her now")
	}
	mustSee(t, a, admin.VisibleRequest{Change: true, Everybody: true})
	if again := shows(t, newest(t, mallory.read(b, "alice")), a); len(again) == 0 {
		t.Error("mallory cannot read her registration in the clear: the above proves nothing")
	}
	t.Logf("matrix: D5 unlisted reads that learnt where she is: %d of 7; unlisted writes accepted: %d of %d; bytes for 1 and for 3 readers: %d", learnt, writes-refused, writes, size)
}

// settledCall is call, again while the ring is too busy to answer.
func settledCall(t *testing.T, from *testnet.Member, to string) (status int, err error) {
	t.Helper()
	testnet.Eventually(t, from.Name+"'s call is answered", func() bool {
		status, err = call(t, from, to)
		return status != 408 && status != 503
	})
	return status, err
}

// kinds lists what a look-up asked for.
func kinds(r *admin.LookupResult) string {
	seen := map[string]bool{}
	for _, p := range r.Evidence.Positions {
		seen[p.Kind] = true
	}
	out, err := json.Marshal(seen)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// writes tries to replace the registration of somebody who did not name the
// rogue, in every way that a member can.
func (r *rogue) writes(t *testing.T, raw record.Record, holders ...*testnet.Member) (tried, refused int) {
	t.Helper()
	body, err := raw.Body()
	if err != nil {
		t.Fatal(err)
	}
	body.Seq, body.Time, body.Expires = body.Seq+1_000_000, time.Now().UnixMilli(), 0
	now := time.Now()
	forged, err := identity.Delegation{
		AOR: body.AOR, Device: r.device.Public(), Part: body.Part, Issued: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli(),
	}.Sign(r.account)
	if err != nil {
		t.Fatal(err)
	}
	tombstone := body
	tombstone.Data, tombstone.Tombstone = nil, true
	for _, b := range []record.Body{body, tombstone} {
		for _, chain := range []record.Chain{
			raw.Chain, // hers, with the rogue's signature
			{Certificates: raw.Chain.Certificates, Delegation: forged},
			{Certificates: r.chain, Delegation: forged},
			{Certificates: r.chain, Delegation: r.delegation},
			{Certificates: raw.Chain.Certificates, Delegation: r.delegation},
		} {
			rec, err := record.Sign(b, r.device, chain)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range holders { // straight to the holders, past every check of the rogue's own node
				positions := record.PositionsOf(b, m.It.Node().Trust().Charter())
				answer, err := r.to(m).Call(limited(), &wire.Store{Position: positions[tried%len(positions)], Record: rec})
				tried++
				if got, ok := answer.(*wire.Stored); err != nil || ok && !record.Outcome(got.Outcome).Held() {
					refused++
				}
			}
		}
	}
	return tried, refused
}

func TestVisibleRequests(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a := l.Add("alice", many)
	if _, err := visibleTo(t, a, admin.VisibleRequest{}); err == nil {
		t.Error("of nobody")
	}
	newTextPhone(t, a)
	for _, req := range []admin.VisibleRequest{
		{Change: true, Everybody: true, Readers: []string{"alice"}},
		{Change: true, Readers: []string{"nobody"}},
		{Change: true, Readers: []string{"bob@elsewhere.example"}},
		{Change: true, Readers: []string{"a b"}},
		{Change: true, Readers: make([]string, record.MaxReaders+1)},
		{Account: "bob"},
	} {
		if _, err := visibleTo(t, a, req); err == nil {
			t.Errorf("%+v is done", req)
		}
	}
	if v := mustSee(t, a, admin.VisibleRequest{}); !v.Everybody || len(v.Readers) != 0 {
		t.Errorf("%+v", v)
	}
	if v := mustSee(t, a, admin.VisibleRequest{Change: true}); v.Everybody || len(v.Readers) != 0 {
		t.Errorf("%+v", v)
	}
	a.Stop(t)
	a.Start()
	a.Joined()
	if v := mustSee(t, a, admin.VisibleRequest{}); v.Everybody {
		t.Error("after a restart everybody can see her")
	}
}
