package record_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

func TestVerifyKinds(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	for name, r := range alice.allKinds(t) {
		encoded := data(t, r)
		if len(encoded) != r.Size() {
			t.Errorf("%s: Size %d, encoded %d bytes", name, r.Size(), len(encoded))
		}
		var back record.Record
		if err := canon.Unmarshal(encoded, &back); err != nil {
			t.Fatal(name, err)
		}
		for range 2 { // the second time from the cache
			v, err := record.Verify(back, w.trust, testNow)
			if err != nil {
				t.Fatal(name, err)
			}
			b, err := r.Body()
			if err != nil || !cmp.Equal(b, v.Body, cmpopts.EquateEmpty()) || b.AOR != v.AOR.String() || v.Resource() != record.Resource(v.AOR, b.Kind) {
				t.Fatal(name, err, v.Body)
			}
			if v.Owner != alice.owner || v.Issuer == nil || v.Issuer.Key != w.issuer.Key().Public() {
				t.Errorf("%s: owner %s, issuer %v", name, v.Owner, v.Issuer)
			}
			digest, keyed := v.KeyDigest()
			if keyed != (name != "number") || keyed && digest != alice.account.Public().Digest() {
				t.Errorf("%s: key digest %x, %t", name, digest, keyed)
			}
		}
		t.Logf("%s: %d bytes", name, r.Size())
	}
	v, err := record.Verify(alice.registration(t, 1, 5), w.trust, testNow)
	if err != nil || v.Registration.Node != alice.node || v.Delegation.Device != alice.device.Public() ||
		v.Account.AOR != alice.aor || len(v.Registration.Addrs) != 1 {
		t.Fatal(v, err)
	}
}

func TestBodyGolden(t *testing.T) {
	b := record.Body{
		AOR: "sip:alice@lan.example", Kind: record.KindShare, Part: 3, Seq: 1000, Time: 1772366400000,
		Lifetime: 900, Data: []byte{0xaa},
	}
	r := must[record.Record](t)(record.Sign(b, testKey(t, 1), record.Chain{Certificates: [][]byte{{1}}}))
	const (
		signed = "d28443a10127a0" + "5834" + // COSE_Sign1, payload of 52 bytes
			"89" + "75" + "7369703a616c696365406c616e2e6578616d706c65" + "02" + "03" + "1903e8" +
			"1b0000019ca9450a00" + "190384" + "1b0000019ca952c5a0" + "f4" + "41aa" +
			"5840"
		chain = "82" + "814101" + "40"
	)
	got := hex.EncodeToString(data(t, r))
	if head := "82" + "587f" + signed; got[:min(len(got), len(head))] != head || got[len(got)-len(chain):] != chain || len(got) != len(head)+128+len(chain) {
		t.Fatal(got)
	}
}

func TestKindsGolden(t *testing.T) {
	for want, v := range map[string]any{
		"8550000102030405060708090a0b0c0d0e0f" + "8146c0000207581b" +
			"5820" + "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c" + "816763617272696564" +
			"818250ff000000000000000000000000000000" + "8146c0000208591b": record.Registration{
			Node:  identity.NodeID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
			Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:7000")}, Device: testKey(t, 1).Public(), Features: []string{"carried"},
			Via: []record.Via{{Node: identity.NodeID{0xff}, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.8:7001")}}},
		},
		"8801" + "02" + "03" + "4104" + "04" + "0a" + "5820" + hex.EncodeToString(bytes.Repeat([]byte{5}, 32)) + "480600000000000000": record.Share{
			Version: 1, Dealing: 2, X: 3, Y: []byte{4}, K: 4, N: 10, Digest: [32]byte(bytes.Repeat([]byte{5}, 32)), Owner: identity.OwnerTag{6},
		},
		"8301" + "4107" + "60":                       record.Account{Version: 1, Certificate: []byte{7}},
		"8265" + "7369703a61" + "480600000000000000": record.Number{AOR: "sip:a", Owner: identity.OwnerTag{6}},
	} {
		if got := hex.EncodeToString(data(t, v)); got != want {
			t.Errorf("%T = %s\nwant %s", v, got, want)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	for name, edit := range map[string]func(*record.Body){
		"no name":         func(b *record.Body) { b.AOR = "" },
		"loose name":      func(b *record.Body) { b.AOR = "Alice@lan.example" },
		"kind 0":          func(b *record.Body) { b.Kind = 0 },
		"kind 6":          func(b *record.Body) { b.Kind = 6 },
		"seq 0":           func(b *record.Body) { b.Seq = 0 },
		"time 0":          func(b *record.Body) { b.Time = 0 },
		"lifetime 0":      func(b *record.Body) { b.Lifetime = 0 },
		"expired at once": func(b *record.Body) { b.Expires = b.Time },
		"lives too long":  func(b *record.Body) { b.Expires = b.Time + 900_001 },
		"no data":         func(b *record.Body) { b.Data = nil },
		"data in a tomb":  func(b *record.Body) { b.Tombstone = true },
		"too much data":   func(b *record.Body) { b.Data = make([]byte, record.MaxData+1) },
	} {
		b := alice.registrationBody(t, 1, 1)
		edit(&b)
		if _, err := record.Sign(b, alice.device, alice.chain(t, 1)); !errors.Is(err, record.ErrMalformed) && !errors.Is(err, record.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fat := record.Chain{Certificates: [][]byte{make([]byte, record.MaxRecord)}}
	if _, err := record.Sign(alice.registrationBody(t, 1, 1), alice.device, fat); !errors.Is(err, record.ErrTooLarge) {
		t.Error(err)
	}
}

// An attacker holds every record of alice, may write under its own name, and
// has an issuer of its own. It turns each byte of each kind of record.
func TestMatrixD1EveryByteCounts(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	tried := 0
	for name, r := range alice.allKinds(t) {
		good := data(t, r)
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			tried++
			var back record.Record
			if canon.Unmarshal(bad, &back) != nil {
				continue
			}
			if _, err := record.Verify(back, w.trust, testNow); err == nil {
				t.Fatalf("%s: accepted with byte %d turned", name, i)
			}
		}
		for n := range good {
			if canon.Unmarshal(good[:n], new(record.Record)) == nil {
				t.Fatalf("%s: the first %d bytes decode", name, n)
			}
		}
	}
	if tried < 1000 {
		t.Fatalf("only %d attacks", tried)
	}
	t.Logf("matrix: D1 records with one byte changed accepted: 0 of %d", tried)
}

func TestMatrixD1ForgedRecordsRefused(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice, mallory := w.person(t, "alice", 20), w.person(t, "mallory", 30)
	twin := newWorld(t, 60, nil)
	other := newWorld(t, 70, func(c *identity.Charter) { c.Overlay = "wan.example" })
	issuer := record.Chain{Certificates: [][]byte{w.issuer.Certificate()}}
	sign := func(b record.Body, k identity.PrivateKey, c record.Chain) record.Record {
		t.Helper()
		return must[record.Record](t)(record.Sign(b, k, c))
	}
	reg := alice.registrationBody(t, 1, 5)
	with := func(b record.Body, edits ...func(*record.Body)) record.Body { return edited(b, edits) }
	registration := func(edit func(*record.Registration)) func(*record.Body) {
		d := record.Registration{Node: alice.node, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:1")}, Device: alice.device.Public()}
		edit(&d)
		return func(b *record.Body) { b.Data = data(t, d) }
	}
	addr := func(text string) func(*record.Body) {
		return registration(func(d *record.Registration) { d.Addrs = []netip.AddrPort{netip.MustParseAddrPort(text)} })
	}
	via := func(addrs ...int) func(*record.Body) {
		return registration(func(d *record.Registration) {
			for i, n := range addrs {
				d.Via = append(d.Via, record.Via{Node: identity.NodeID{byte(i)}, Addrs: slices.Repeat(d.Addrs, n)})
			}
		})
	}
	share := func(edit func(*record.Share)) record.Record {
		s := alice.share(3)
		edit(&s)
		return alice.issued(t, record.KindShare, 3, 5, s)
	}
	lookup := func(a record.Account) record.Record { return alice.issued(t, record.KindAccount, 0, 5, a) }
	shareBody := must[record.Body](t)(alice.shareRecord(t, 3, 5).Body())

	tried, accepted := 0, 0
	for name, r := range map[string]record.Record{
		"empty":                      {},
		"by another person's device": sign(reg, mallory.device, alice.chain(t, 1)),
		"by the account key itself":  sign(reg, alice.account, alice.chain(t, 1)),
		"mallory's chain":            sign(reg, mallory.device, mallory.chain(t, 1)),
		"mallory's delegation":       sign(reg, mallory.device, record.Chain{Certificates: alice.chain(t, 1).Certificates, Delegation: mallory.delegation(t, 1)}),
		"mallory's certificate":      sign(reg, alice.device, record.Chain{Certificates: mallory.chain(t, 1).Certificates, Delegation: alice.delegation(t, 1)}),
		"another part":               sign(reg, alice.device, alice.chain(t, 2)),
		"another node":               sign(with(reg, registration(func(d *record.Registration) { d.Node = mallory.node })), alice.device, alice.chain(t, 1)),
		"another device":             sign(with(reg, registration(func(d *record.Registration) { d.Device = mallory.device.Public() })), alice.device, alice.chain(t, 1)),
		"no delegation":              sign(reg, alice.device, record.Chain{Certificates: alice.chain(t, 1).Certificates}),
		"no certificate":             sign(reg, alice.device, record.Chain{}),
		"certificates swapped":       sign(reg, alice.device, record.Chain{Certificates: [][]byte{w.issuer.Certificate(), alice.cert}, Delegation: alice.delegation(t, 1)}),
		"root beside":                sign(reg, alice.device, record.Chain{Certificates: [][]byte{alice.cert, w.issuer.Certificate(), w.rootDER}, Delegation: alice.delegation(t, 1)}),
		"registration by the issuer": sign(reg, w.issuer.Key(), issuer),
		"lives for days":             sign(with(reg, func(b *record.Body) { b.Lifetime = 86400 }), alice.device, alice.chain(t, 1)),
		"no address":                 sign(with(reg, registration(func(d *record.Registration) { d.Addrs = nil })), alice.device, alice.chain(t, 1)),
		"nine addresses":             sign(with(reg, registration(func(d *record.Registration) { d.Addrs = make([]netip.AddrPort, 9) })), alice.device, alice.chain(t, 1)),
		"port 0":                     sign(with(reg, addr("192.0.2.1:0")), alice.device, alice.chain(t, 1)),
		"unspecified address":        sign(with(reg, addr("0.0.0.0:1")), alice.device, alice.chain(t, 1)),
		"multicast address":          sign(with(reg, addr("[ff02::1]:1")), alice.device, alice.chain(t, 1)),
		"mapped address":             sign(with(reg, addr("[::ffff:192.0.2.1]:1")), alice.device, alice.chain(t, 1)),
		"zone":                       sign(with(reg, addr("[fe80::1%eth0]:1")), alice.device, alice.chain(t, 1)),
		"four peers":                 sign(with(reg, via(1, 1, 1, 1)), alice.device, alice.chain(t, 1)),
		"a peer without address":     sign(with(reg, via(1, 0)), alice.device, alice.chain(t, 1)),
		"a peer with five addresses": sign(with(reg, via(5)), alice.device, alice.chain(t, 1)),
		"a peer twice": sign(with(reg, registration(func(d *record.Registration) {
			d.Via = []record.Via{{Node: mallory.node, Addrs: d.Addrs}, {Node: mallory.node, Addrs: d.Addrs}}
		})), alice.device, alice.chain(t, 1)),
		"itself as peer": sign(with(reg, registration(func(d *record.Registration) {
			d.Via = []record.Via{{Node: alice.node, Addrs: d.Addrs}}
		})), alice.device, alice.chain(t, 1)),
		"odd feature":                  sign(with(reg, registration(func(d *record.Registration) { d.Features = []string{"a b"} })), alice.device, alice.chain(t, 1)),
		"share as registration":        sign(with(reg, func(b *record.Body) { b.Data = data(t, alice.share(1)) }), alice.device, alice.chain(t, 1)),
		"share by the owner":           sign(shareBody, alice.account, issuer),
		"share by a device":            sign(shareBody, alice.device, alice.chain(t, 3)),
		"share by another overlay":     sign(shareBody, twin.issuer.Key(), record.Chain{Certificates: [][]byte{twin.issuer.Certificate()}}),
		"share with a delegation":      sign(shareBody, w.issuer.Key(), record.Chain{Certificates: issuer.Certificates, Delegation: alice.delegation(t, 1)}),
		"share in another place":       alice.issued(t, record.KindShare, 4, 5, alice.share(3)),
		"share 0":                      alice.issued(t, record.KindShare, 0, 5, alice.share(3)),
		"share 11 of 10":               alice.issued(t, record.KindShare, 11, 5, alice.share(11)),
		"share x = 0":                  share(func(s *record.Share) { s.X = 0 }),
		"share k = 1":                  share(func(s *record.Share) { s.K = 1 }),
		"share k > n":                  share(func(s *record.Share) { s.K = 11 }),
		"share of 31 bytes":            share(func(s *record.Share) { s.Y = s.Y[1:] }),
		"share without digest":         share(func(s *record.Share) { s.Digest = [32]byte{} }),
		"share version 0":              share(func(s *record.Share) { s.Version = 0 }),
		"account of another name":      lookup(record.Account{Version: 1, Certificate: mallory.cert, Number: "sip:1m@lan.example"}),
		"account of another version":   lookup(record.Account{Version: 2, Certificate: alice.cert, Number: "sip:1a@lan.example"}),
		"account of another number":    lookup(record.Account{Version: 1, Certificate: alice.cert, Number: "sip:1m@lan.example"}),
		"account without its number":   lookup(record.Account{Version: 1, Certificate: alice.cert}),
		"account with a junk number":   lookup(record.Account{Version: 1, Certificate: alice.cert, Number: "101"}),
		"account without certificate":  lookup(record.Account{Version: 1}),
		"account, part 1":              alice.issued(t, record.KindAccount, 1, 5, record.Account{Version: 1, Certificate: alice.cert}),
		"number of itself":             alice.issued(t, record.KindNumber, 0, 5, record.Number{AOR: alice.aor.String()}),
		"number of another overlay":    alice.issued(t, record.KindNumber, 0, 5, record.Number{AOR: "sip:x@wan.example"}),
		"number of nobody":             alice.issued(t, record.KindNumber, 0, 5, record.Number{}),
		"number, part 1":               alice.issued(t, record.KindNumber, 1, 5, record.Number{AOR: mallory.aor.String()}),
		"revocation":                   alice.issued(t, record.KindRevocation, 0, 5, record.Number{AOR: mallory.aor.String()}),
		"other overlay":                other.person(t, "alice", 20).registration(t, 1, 5),
		"other overlay's share":        other.person(t, "alice", 20).shareRecord(t, 1, 5),
		"same overlay name, its twin":  twin.person(t, "alice", 20).registration(t, 1, 5),
		"same overlay name, its share": twin.person(t, "alice", 20).shareRecord(t, 1, 5),
		"fat chain":                    {Signed: alice.registration(t, 1, 5).Signed, Chain: record.Chain{Certificates: [][]byte{make([]byte, 5000)}}},
		"many certificates":            {Signed: alice.registration(t, 1, 5).Signed, Chain: record.Chain{Certificates: make([][]byte, 1000)}},
		"fat body":                     {Signed: make([]byte, 1<<20)},
	} {
		tried++
		for range 2 { // a refusal must not be remembered as success
			if v, err := record.Verify(r, w.trust, testNow); err == nil || v != nil {
				accepted++
				t.Errorf("%s: accepted", name)
			}
		}
	}
	t.Logf("matrix: D1 forged records accepted: %d of %d", accepted, tried)
}

func TestVerifyTime(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	reg, share := alice.registration(t, 1, 5), alice.shareRecord(t, 1, 5)
	for _, c := range []struct {
		what string
		r    record.Record
		now  time.Time
		want error
	}{
		{"registration", reg, testNow, nil},
		{"registration, time unknown", reg, time.Time{}, nil},
		{"registration, clock behind", reg, testNow.Add(-identity.ClockSkew), nil},
		{"registration, clock far behind", reg, testNow.Add(-identity.ClockSkew - time.Second), record.ErrFuture},
		{"registration at its end", reg, testNow.Add(900 * time.Second), nil},
		{"registration after its end", reg, testNow.Add(901 * time.Second), identity.ErrExpired},
		{"share in its grace", share, testNow.Add(90*day + grace), nil},
		{"share after its grace", share, testNow.Add(90*day + grace + time.Second), identity.ErrExpired},
		{"registration under an old certificate", alice.registration(t, 1, 6, at(testNow.Add(200*day))), testNow.Add(200 * day), nil},
		{"registration under a dead certificate", alice.registration(t, 1, 6, at(testNow.Add(271*day))), testNow.Add(271 * day), identity.ErrExpired},
	} {
		for range 2 {
			if _, err := record.Verify(c.r, w.trust, c.now); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
		}
	}
}

// What Verify hands out must not hang on a buffer that is used again.
func TestVerifyCopies(t *testing.T) {
	w := newWorld(t, 1, nil)
	r := w.person(t, "alice", 20).registration(t, 1, 5)
	v := must[*record.Verified](t)(record.Verify(r, w.trust, testNow))
	r.Signed[20] ^= 1
	r.Chain.Certificates[0][20] ^= 1
	if _, err := record.Verify(v.Record, w.freshTrust(t), testNow); err != nil {
		t.Fatal(err)
	}
}
