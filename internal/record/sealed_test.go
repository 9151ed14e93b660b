package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// sealedChain is the chain of a writer that is delegated to without a place.
func (p *person) sealedChain(t testing.TB, writer identity.PrivateKey, part uint64) record.Chain {
	t.Helper()
	d := must[identity.SignedDelegation](t)(identity.Delegation{
		AOR: p.aor.String(), Device: writer.Public(), Part: part, Issued: testNow.UnixMilli(), Expires: testNow.Add(90 * day).UnixMilli(),
	}.Sign(p.account))
	return record.Chain{Certificates: [][]byte{p.cert, p.w.issuer.Certificate()}, Delegation: d}
}

func (p *person) where() record.Registration {
	return record.Registration{
		Node: p.node, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:7000")}, Device: p.device.Public(), Features: []string{"carried"},
	}
}

// sealed is a person's registration for readers.
func (p *person) sealed(t testing.TB, reg record.Registration, readers ...identity.PrivateKey) record.Record {
	t.Helper()
	var keys []identity.PublicKey
	for _, r := range readers {
		keys = append(keys, r.Public())
	}
	b := p.registrationBody(t, 3, 7)
	b.Data = must[[]byte](t)(record.SealRegistration(reg, p.aor, 3, p.account.Public(), keys))
	writer := testKey(t, 77)
	return must[record.Record](t)(record.Sign(b, writer, p.sealedChain(t, writer, 3)))
}

func TestSealedRegistration(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 10)
	readers := []identity.PrivateKey{testKey(t, 20), testKey(t, 21), testKey(t, 22)}
	rec := alice.sealed(t, alice.where(), readers...)
	v, err := record.Verify(rec, w.trust, testNow)
	if err != nil || v.Registration != nil || v.Sealed == nil {
		t.Fatalf("%+v, %v", v, err)
	}
	for i, r := range append(readers, alice.account) {
		got, err := v.Open([]identity.PrivateKey{testKey(t, 30), r})
		if err != nil {
			t.Fatalf("reader %d: %v", i, err)
		}
		if diff := cmp.Diff(alice.where(), *got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(record.Registration{})); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := v.Open([]identity.PrivateKey{testKey(t, 30), alice.device}); !errors.Is(err, record.ErrNotForUs) {
		t.Errorf("somebody else: %v", err)
	}
	encoded := must[[]byte](t)(canon.Marshal(rec))
	for what, secret := range map[string][]byte{"node": alice.node[:], "device": alice.device.Public().Ed25519(), "address": {192, 0, 2, 7}, "feature": []byte("carried")} {
		if bytes.Contains(encoded, secret) {
			t.Errorf("the sealed record shows the %s", what)
		}
	}
}

// One reader or eight, one address or many: the same length, and slots that
// differ from one another.
func TestSealedRegistrationsLookAlike(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 10)
	large := record.Registration{Node: alice.node, Device: alice.device.Public(), Features: []string{"carried", "protected", "text", strings.Repeat("n", 32)}}
	for i := range 5 {
		large.Addrs = append(large.Addrs, netip.MustParseAddrPort(fmt.Sprintf("[2001:db8::%d]:5871", i+1)))
	}
	for i := range record.MaxVia {
		large.Via = append(large.Via, record.Via{Node: identity.NodeID{byte(i + 1)}, Addrs: large.Addrs[:2]})
	}
	var readers []identity.PrivateKey
	sizes := map[int]bool{}
	for n := range record.MaxReaders + 1 {
		for _, reg := range []record.Registration{alice.where(), large} {
			rec := alice.sealed(t, reg, readers...)
			sizes[rec.Size()] = true
			v := must[*record.Verified](t)(record.Verify(rec, w.trust, testNow))
			slots := map[string]bool{}
			for i := range record.MaxReaders + 1 {
				slots[string(v.Sealed.Slots[i*64:][:64])] = true
			}
			if len(slots) != record.MaxReaders+1 {
				t.Errorf("%d slots differ", len(slots))
			}
		}
		readers = append(readers, testKey(t, byte(20+n)))
	}
	if len(sizes) != 1 {
		t.Errorf("sizes %v", sizes)
	}
	keys := make([]identity.PublicKey, record.MaxReaders+1)
	if _, err := record.SealRegistration(alice.where(), alice.aor, 3, alice.account.Public(), keys); !errors.Is(err, record.ErrTooLarge) {
		t.Errorf("nine readers: %v", err)
	}
	if _, err := record.SealRegistration(alice.where(), alice.aor, 3, alice.account.Public(), keys[:1]); err == nil {
		t.Error("sealed for no key at all")
	}
}

// A sealed registration needs its own delegation, a plain one its own, and
// what is sealed belongs to its name and part.
func TestSealedRegistrationsDoNotMix(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice, mallory := w.person(t, "alice", 10), w.person(t, "mallory", 40)
	reader, writer := testKey(t, 20), testKey(t, 77)
	rec := alice.sealed(t, alice.where(), reader)
	body := must[record.Body](t)(rec.Body())
	sign := func(b record.Body, key identity.PrivateKey, chain record.Chain) error {
		t.Helper()
		v, err := record.Verify(must[record.Record](t)(record.Sign(b, key, chain)), w.trust, testNow)
		if err == nil {
			_, err = v.Open([]identity.PrivateKey{reader})
		}
		return err
	}
	plain := alice.registrationBody(t, 3, 8)
	if sign(plain, writer, alice.sealedChain(t, writer, 3)) == nil {
		t.Error("in the clear, by who may only seal")
	}
	if sign(body, alice.device, alice.chain(t, 3)) == nil {
		t.Error("sealed, by a delegation that says where the device is")
	}
	for what, chain := range map[string]record.Chain{"mallory's": mallory.sealedChain(t, writer, 3), "alice's for another key": alice.sealedChain(t, testKey(t, 78), 3)} {
		if sign(body, writer, chain) == nil {
			t.Errorf("with %s delegation", what)
		}
	}
	moved := body
	moved.Part = 4
	if sign(moved, writer, alice.sealedChain(t, writer, 4)) == nil {
		t.Error("in another part")
	}
	moved = body
	moved.AOR = mallory.aor.String()
	if sign(moved, writer, mallory.sealedChain(t, writer, 3)) == nil {
		t.Error("under another name")
	}
	for i := 0; i < len(body.Data); i += 11 {
		bad := body
		bad.Data = bytes.Clone(body.Data)
		bad.Data[i] ^= 1
		// A changed slot of nobody's is nothing to the reader.
		if err := sign(bad, writer, alice.sealedChain(t, writer, 3)); err == nil && (i < 4 || i >= 4+(record.MaxReaders+1)*64) {
			t.Errorf("byte %d does not count", i)
		}
	}
}
