package keyshare_test

import (
	"bytes"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// Threat model: the holder of a share sends any bytes in its place. Nothing
// but the issuer's own bytes is ever accepted, and nothing crashes.
func FuzzVerify(f *testing.F) {
	w := newWorld(f, 4, 10)
	recs := w.deal(newKey(f).Public(), w.params(name(f, "bob")))
	for _, r := range recs {
		f.Add(r.Signed, r.Chain.Certificates[0])
	}
	f.Add([]byte{}, []byte{})
	f.Add(recs[0].Signed[:40], recs[0].Chain.Certificates[0])
	f.Fuzz(func(t *testing.T, signed, cert []byte) {
		r := record.Record{Signed: signed, Chain: record.Chain{Certificates: [][]byte{cert}}}
		s, err := keyshare.Verify(r, w.trust, now)
		if err != nil {
			if _, ok := err.(*keyshare.BadShare); !ok {
				t.Fatalf("not a *BadShare: %v", err)
			}
			return
		}
		for _, mine := range recs {
			if bytes.Equal(mine.Signed, signed) {
				return
			}
		}
		t.Fatalf("accepted share %d that was never signed", s.X)
	})
}

// Threat model: holders answer with any mixture of shares that the issuer has
// ever signed, for anybody, right or wrong, in any order. Each byte of the
// input is one answer: which share of which dealing. The collector gives no
// key but the expected one, and that one as soon as k right shares are among
// the answers.
func FuzzCollector(f *testing.F) {
	w := newWorld(f, 4, 10)
	bob, key := name(f, "bob"), newKey(f).Public()
	p := w.params(bob)
	p.Version, p.Dealing = 2, 2
	dealings := make([][]*keyshare.Share, 0, 6)
	deal := func(k identity.PublicKey, p keyshare.Params, edit func(*record.Body, *record.Share)) {
		var out []*keyshare.Share
		for _, r := range w.deal(k, p) {
			if edit != nil {
				r = w.forge(r, edit)
			}
			s, err := keyshare.Verify(r, w.trust, now)
			must(f, err)
			out = append(out, s)
		}
		dealings = append(dealings, out)
	}
	deal(key, p, nil)                                                                       // 0: right
	deal(key, p, func(_ *record.Body, s *record.Share) { s.Y[3] ^= s.X * s.X * s.X * s.X }) // 1: signed, off the polynomial
	deal(key, keyshare.Params{AOR: bob, Version: 2, Dealing: 1, K: 4, N: 10, Seq: 1, Now: now, Lifetime: p.Lifetime}, nil)
	deal(newKey(f).Public(), keyshare.Params{AOR: bob, Version: 1, Dealing: 2, K: 4, N: 10, Seq: 1, Now: now, Lifetime: p.Lifetime}, nil)
	deal(newKey(f).Public(), p, nil) // 4: a second key, same version and dealing
	deal(newKey(f).Public(), keyshare.Params{AOR: name(f, "mallory"), Version: 2, Dealing: 2, K: 4, N: 10, Seq: 1, Now: now, Lifetime: p.Lifetime}, nil)

	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{10, 11, 12, 13, 14, 15, 6, 7, 8, 9})
	f.Add([]byte{40, 41, 42, 43, 0, 1, 2, 3, 30, 31, 32, 33, 54, 25})
	f.Fuzz(func(t *testing.T, answers []byte) {
		c := keyshare.NewCollector(bob, 4, 10)
		c.Expect(keyshare.Claim{Version: 2, Digest: key.Digest()})
		first := make(map[uint8]int) // the first dealing that answered for x counts
		for i, a := range answers[:min(len(answers), 64)] {
			d, x := int(a)/10%len(dealings), int(a)%10
			s := dealings[d][x]
			_ = c.Add(holder(i), s) // may refuse
			if _, seen := first[s.X]; !seen && d <= 1 {
				first[s.X] = d
			}
			right := 0
			for _, d := range first {
				if d == 0 {
					right++
				}
			}
			got, ok := c.Key()
			if ok && got.Key != key {
				t.Fatal("a wrong key")
			}
			if right >= 4 && !ok {
				t.Fatalf("%d right shares and no key", right)
			}
		}
	})
}
