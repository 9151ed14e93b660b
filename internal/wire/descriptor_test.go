package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A descriptor has at most 150 bytes whatever its addresses, and Size says how
// many without encoding it.
func TestDescriptorSize(t *testing.T) {
	k := key(t, "alice's node")
	long := netip.MustParseAddrPort("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535")
	largest := 0
	for _, addrs := range [][]netip.AddrPort{
		nil, {addr4}, {addr6}, {addr4, long}, {long, addr4, addr4}, {long, long}, {long, long, long}, {long, addr4, long, addr4},
		{addr4, addr4, addr4, addr4, addr4}, {addr4, addr4, addr4, addr4, addr4, addr4, addr4, addr4}, {addr4, addr4, addr4, long},
	} {
		for _, seq := range []int64{0, 23, 24, 255, 256, 65_535, 65_536, 1 << 32, 1_700_000_000_000, 1<<48 - 1} {
			for _, life := range []uint32{0, 60, 3600, wire.MaxLifetime} {
				d := wire.Descriptor{ID: peerA.ID, Addrs: wire.FitAddrs(addrs), Seq: seq, Lifetime: life, State: wire.NodeLeaving}
				d = must[wire.Descriptor](t)(wire.SignDescriptor(d, "lan.example", k))
				b := must[[]byte](t)(canon.Marshal(&d))
				if len(b) != d.Size() || len(b) > wire.MaxDescriptor {
					t.Errorf("%v, %d, %d: %d bytes, Size says %d", d.Addrs, seq, life, len(b), d.Size())
				}
				if len(addrs) > 0 && len(d.Addrs) == 0 {
					t.Errorf("no address of %v fits", addrs)
				}
				largest = max(largest, len(b))
			}
		}
	}
	n := notice(t)
	if b := must[[]byte](t)(canon.Marshal(&n)); len(b) != n.Size() || len(b) > wire.MaxDescriptor {
		t.Errorf("a notice of %d bytes, Size says %d", len(b), n.Size())
	}
	t.Logf("largest descriptor: %d bytes; a notice: %d", largest, n.Size())
}

// What does not fit or cannot be is neither signed nor verified.
func TestDescriptorRefused(t *testing.T) {
	k := key(t, "alice's node")
	for name, d := range map[string]wire.Descriptor{
		"too many addresses": {Addrs: []netip.AddrPort{addr4, addr4, addr4, addr4, addr4, addr4}},
		"too large":          {Addrs: []netip.AddrPort{addr6, addr6}, Seq: 1 << 40},
		"before 1970":        {Seq: -1},
		"far future":         {Seq: 1 << 48},
		"unknown state":      {State: 2},
		"lifetime":           {Lifetime: 1 << 16},
		"no port":            {Addrs: []netip.AddrPort{netip.AddrPortFrom(addr4.Addr(), 0)}},
	} {
		if _, err := wire.SignDescriptor(d, "lan.example", k); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: signed: %v", name, err)
		}
		if err := d.Verify("lan.example", k.Public()); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: verified: %v", name, err)
		}
		if _, err := wire.Encode(&wire.Members{Descs: []wire.Descriptor{d}}); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: encoded: %v", name, err)
		}
	}
}

// The signature holds for this node, this overlay and this purpose only, and no
// byte of the descriptor can be another.
func TestDescriptorSignature(t *testing.T) {
	alice, bob := key(t, "alice's node"), key(t, "bob's node")
	d, n := descriptor(t), notice(t)
	if err := d.Verify("lan.example", alice.Public()); err != nil {
		t.Fatal(err)
	}
	if err := n.Verify("lan.example", bob.Public()); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"other overlay":         d.Verify("lan2.example", alice.Public()),
		"other key":             d.Verify("lan.example", bob.Public()),
		"notice, other overlay": n.Verify("lan2.example", bob.Public()),
		"notice, other key":     n.Verify("lan.example", alice.Public()),
	} {
		if !errors.Is(err, wire.ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := must[[]byte](t)(wire.Encode(&wire.Gossip{Groups: []wire.News{{Descs: []wire.Descriptor{d}, Notices: []wire.Notice{n}}}}))
	accepted := 0
	for i := range whole {
		for _, flip := range []byte{1, 0x80, 0xff} {
			b := bytes.Clone(whole)
			b[i] ^= flip
			m, err := wire.Decode(b)
			g, ok := m.(*wire.Gossip)
			if err != nil || !ok || len(g.Groups) != 1 || len(g.Groups[0].Descs) != 1 || len(g.Groups[0].Notices) != 1 {
				continue
			}
			badD := g.Groups[0].Descs[0].Verify("lan.example", alice.Public()) != nil
			badN := g.Groups[0].Notices[0].Verify("lan.example", bob.Public()) != nil
			if !badD && !badN && g.Groups[0].Until == ([16]byte{}) && g.Groups[0].From == ([16]byte{}) {
				t.Errorf("byte %d of %x may be another", i, whole)
			}
			accepted++
		}
	}
	if accepted < len(whole) {
		t.Errorf("only %d of the mutants could be read at all", accepted)
	}
}

// Threat: descriptors and notices come from any member, passed on by any other.
// What can be read has one encoding of bounded size and is refused unless it is
// exactly what was signed.
func FuzzDescriptor(f *testing.F) {
	d := descriptor(f)
	good := must[[]byte](f)(canon.Marshal(&d))
	f.Add(good)
	d.Addrs, d.State = nil, wire.NodeHere
	f.Add(must[[]byte](f)(canon.Marshal(&d)))
	public := key(f, "alice's node").Public()
	f.Fuzz(func(t *testing.T, b []byte) {
		var d wire.Descriptor
		if canon.Unmarshal(b, &d) != nil || wire.Check(&d) != nil {
			return
		}
		if again := must[[]byte](t)(canon.Marshal(&d)); !bytes.Equal(again, b) || len(b) != d.Size() || len(b) > wire.MaxDescriptor {
			t.Fatalf("%x encodes as %x, Size %d", b, again, d.Size())
		}
		if err := d.Verify("lan.example", public); (err == nil) != bytes.Equal(b, good) {
			t.Fatalf("%s verifies: %v", hex.EncodeToString(b), err)
		}
	})
}

// The digest tells states apart and is the same on both sides.
func TestStateDigest(t *testing.T) {
	seen := map[uint64]string{}
	for name, s := range map[string]*wire.State{
		"whole":           {Self: peerA, Pred: &peerB, Succ: []wire.Peer{peerB, peerA}},
		"no predecessor":  {Self: peerA, Succ: []wire.Peer{peerB, peerA}},
		"other order":     {Self: peerA, Pred: &peerB, Succ: []wire.Peer{peerA, peerB}},
		"shorter":         {Self: peerA, Pred: &peerB, Succ: []wire.Peer{peerB}},
		"no addresses":    {Self: wire.Peer{ID: peerA.ID}, Pred: &peerB, Succ: []wire.Peer{peerB, peerA}},
		"empty":           {},
		"address of IPv6": {Self: wire.Peer{ID: peerA.ID, Addrs: []netip.AddrPort{addr6}}},
	} {
		d := s.Digest()
		if other, ok := seen[d]; ok || d == 0 {
			t.Errorf("%s and %s have the digest %x", name, other, d)
		}
		seen[d] = name
		back := must[wire.Message](t)(wire.Decode(must[[]byte](t)(wire.Encode(s)))).(*wire.State)
		if back.Digest() != d {
			t.Errorf("%s: %x, and %x when read", name, d, back.Digest())
		}
	}
}
