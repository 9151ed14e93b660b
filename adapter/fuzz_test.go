package adapter_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// FuzzInvite is what an enrolled node can do to another's adapter with the
// call exchange: send INVITEs and texts that say anything, signed as it can
// sign, or changed afterwards, over a real link. An answer of 302, or a text
// delivered, must mean that all it said was true. Whatever came before, an
// honest INVITE is answered.
func FuzzInvite(f *testing.F) {
	f.Add("sip:mallory@lan.example", "sip:bob@lan.example", "id", "direct,carried", int64(0), uint16(0), uint8(0))
	f.Add("sip:alice@lan.example", "sip:bob@lan.example", "id", "direct", int64(0), uint16(0), uint8(0))
	f.Add("sip:mallory@lan.example", "sip:nobody@lan.example", "", "", int64(59_000), uint16(0), uint8(1))
	f.Add("sip:mallory@lan.example", "sip:bob@lan.example", "id", "", int64(-3_600_000), uint16(0), uint8(2))
	f.Add("sip:mallory@other.example", "sip:101@lan.example", "id", "x", int64(0), uint16(7), uint8(3))
	f.Add("mallory@lan.example", "bob", "id", "carried", int64(0), uint16(300), uint8(4))
	f.Add("sip:mallory@lan.example", "sip:bob@lan.example", "id", "carried", int64(0), uint16(0), uint8(8))
	l := testnet.New(f, nil)
	b := l.Add("bob", many)
	b.Phone(toneB)
	mallory := newRogue(f, l, "mallory")
	conn := mallory.to(b)
	honest := func(t *testing.T) {
		if status, _ := mallory.ask(conn, mallory.sign(mallory.body(conn, "bob"))); status != 302 {
			t.Fatalf("an honest INVITE is answered %d", status)
		}
	}
	f.Fuzz(func(t *testing.T, caller, callee, callID, paths string, skew int64, flip uint16, what uint8) {
		mallory.t = t
		body := mallory.body(conn, "bob")
		body.Caller, body.Callee, body.CallID, body.Paths = caller, callee, callID, nil
		if paths != "" {
			body.Paths = strings.Split(paths, ",")
		}
		skew %= 10 * time.Hour.Milliseconds()
		body.Time += skew
		switch what % 8 {
		case 1:
			body.CallerNode[0] ^= 1
		case 2:
			body.CalleeNode[0] ^= 1
		case 3:
			body.Exporter[0] ^= 1
		case 4:
			rand.Read(body.Challenge[:])
		case 5:
			body.Version = uint8(flip)
		}
		m, err := wire.SignInvite(body, mallory.device, mallory.delegation, mallory.chain)
		if err != nil {
			return // it cannot even be written
		}
		if flip != 0 {
			m.Signed = slices.Clone(m.Signed)
			m.Signed[int(flip)%len(m.Signed)] ^= 1 << (flip % 8)
		}
		allTrue := caller == mallory.aor() && callee == "sip:bob@"+testnet.Overlay && flip == 0 &&
			(what%8 == 0 || what%8 >= 6 || what%8 == 4) && (skew < 55_000 && skew > -55_000)
		status, _ := mallory.ask(conn, m)
		if status == 302 && !allTrue && (skew < 60_000 && skew > -60_000 || flip != 0) {
			t.Errorf("accepted: %+v, flip %d, what %d, skew %d", body, flip, what, skew)
		}
		text := wire.TextBody{
			Caller: caller, Callee: callee, CallerNode: body.CallerNode, CalleeNode: body.CalleeNode, CallID: callID, Nonce: body.Nonce,
			Time: body.Time, Exporter: body.Exporter, Device: mallory.device.Public(), ContentType: paths, Body: []byte(callID),
		}
		rand.Read(text.Nonce[:])
		if signed, err := wire.SignText(text, mallory.device, mallory.delegation, mallory.chain); err == nil {
			_, err := conn.Call(limited(), signed)
			if remote := new(link.RemoteError); err != nil && !errors.As(err, &remote) {
				t.Fatalf("a text breaks the link: %v", err)
			}
		}
		honest(t)
	})
}
