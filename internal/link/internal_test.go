package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"
	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/identity"
	"golang.org/x/time/rate"
)

func TestQuota(t *testing.T) {
	q := newQuota(5, 2, 3, "full", "address")
	for _, step := range []struct{ addr, want string }{
		{"192.0.2.1", ""}, {"192.0.2.1", ""}, {"192.0.2.1", "address"},
		{"2001:db8::1", ""}, {"2001:db8::ffff:1", ""}, {"2001:db8::2", "address"}, // one /64
		{"2001:db8:0:1::1", ""}, {"192.0.2.2", "full"},
	} {
		if got := q.enter(netip.MustParseAddr(step.addr)); got != step.want {
			t.Fatalf("%s: %q, not %q", step.addr, got, step.want)
		}
	}
	q.leave(netip.MustParseAddr("2001:db8::9"))
	if got := q.enter(netip.MustParseAddr("192.0.2.2")); got != "" {
		t.Error(got)
	}
	q = newQuota(5, 2, 3, "full", "address")
	for i, want := range []string{"", "", "", "address"} {
		if got := q.enter(netip.IPv6Loopback()); got != want {
			t.Errorf("loopback %d: %q", i, got)
		}
	}
	for range 3 {
		q.leave(netip.IPv6Loopback())
	}
	if q.total != 0 || len(q.byAddr) != 0 {
		t.Error(q.total, q.byAddr)
	}
}

// A pass ends once: by success, by the end of its connection, or by its limit.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		counts := make(map[string]int)
		g := newGate(Limits{Handshake: 3 * time.Second}.withDefaults(), func(r string) {
			mu.Lock()
			defer mu.Unlock()
			counts[r]++
		})
		info := &quic.ClientInfo{RemoteAddr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}}
		enter := func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			ctx, err := g.admit(ctx, info)
			if err != nil {
				t.Fatal(err)
			}
			return ctx, cancel
		}
		done, cancelDone := enter()
		failed, cancelFailed := enter()
		passFrom(failed).because(ReasonCertificate)
		_, cancelSilent := enter()
		_, cancelLost := enter()
		if _, err := g.admit(t.Context(), info); err == nil {
			t.Fatal("five of one address")
		}
		passFrom(done).done()
		cancelDone()
		cancelFailed()
		synctest.Wait()
		if g.quota.total != 2 {
			t.Errorf("%d places taken", g.quota.total)
		}
		cancelLost()
		<-time.After(7 * time.Second) // virtual: beyond the limit
		synctest.Wait()
		cancelSilent()
		synctest.Wait()
		if g.quota.total != 0 {
			t.Errorf("%d places taken", g.quota.total)
		}
		want := map[string]int{ReasonHandshakesAddr: 1, ReasonCertificate: 1, ReasonHandshake: 2}
		for reason, n := range want {
			if counts[reason] != n {
				t.Errorf("%s: %d, not %d", reason, counts[reason], n)
			}
		}
	})
}

func TestRatesForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRates(rate.Limit(1), 2)
		a, b := identity.HashID("a"), identity.HashID("b")
		r.of(a).AllowN(time.Now(), 2)
		r.of(b)
		r.forget()
		if len(r.byNode) != 1 || r.of(a).Allow() {
			t.Error("a spent bucket is forgotten")
		}
		<-time.After(3 * time.Second) // virtual
		r.forget()
		if len(r.byNode) != 0 {
			t.Error("a full bucket is kept")
		}
	})
}

// Threat: a member of the overlay chooses these bytes, and how they are cut into
// packets. However they are cut, the frames are the same; nothing that is
// announced and does not come takes memory.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame([]byte("abc")), frame(nil)...))
	f.Add(frame(bytes.Repeat([]byte{1}, 9000)))
	f.Add([]byte{0, 0, 1})
	f.Add([]byte{0, 0, 0, 9, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		want, wantErr := cut(b)
		for _, r := range []io.Reader{
			bytes.NewReader(b), iotest.OneByteReader(bytes.NewReader(b)),
			iotest.HalfReader(bytes.NewReader(b)), iotest.DataErrReader(bytes.NewReader(b)),
		} {
			var fr frameReader
			var got [][]byte
			var err error
			for {
				var one []byte
				if one, err = fr.next(r); err != nil {
					break
				}
				got = append(got, one)
			}
			if !errors.Is(err, wantErr) || len(got) != len(want) {
				t.Fatalf("%d frames, %v; want %d, %v", len(got), err, len(want), wantErr)
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("frame %d differs", i)
				}
			}
			if cap(fr.body) > 2*len(b)+4096 {
				t.Fatalf("%d bytes kept of %d", cap(fr.body), len(b))
			}
		}
	})
}

// cut is the obvious way to cut frames when all bytes are there.
func cut(b []byte) (frames [][]byte, err error) {
	for len(b) > 0 {
		if len(b) < 4 {
			return frames, io.ErrUnexpectedEOF
		}
		n := binary.BigEndian.Uint32(b)
		if n > MaxFrame {
			return frames, ErrTooLarge
		}
		if uint64(len(b)) < 4+uint64(n) {
			return frames, io.ErrUnexpectedEOF
		}
		frames, b = append(frames, b[4:4+n]), b[4+n:]
	}
	return frames, io.EOF
}

// A read that a deadline ends in the middle of a frame can be taken up again.
func TestFramesAfterError(t *testing.T) {
	var fr frameReader
	full := frame([]byte("abcdef"))
	for i := range full {
		if b, err := fr.next(io.MultiReader(bytes.NewReader(full[i:i+1]), iotest.ErrReader(io.ErrNoProgress))); i < len(full)-1 {
			if !errors.Is(err, io.ErrNoProgress) {
				t.Fatal(i, err)
			}
		} else if err != nil || string(b) != "abcdef" {
			t.Fatalf("%q, %v", b, err)
		}
	}
}

// Threat: anybody can send any datagram, with any source address. An answer goes
// only to a binding request, tells nothing but the source, and is not worth
// using to multiply traffic.
func FuzzDatagram(f *testing.F) {
	request, _ := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	success, _ := stun.Build(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(192, 0, 2, 1), Port: 1})
	indication, _ := stun.Build(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication))
	for _, m := range []*stun.Message{request, success, indication} {
		f.Add(m.Raw, true)
	}
	f.Add([]byte("INVITE"), false)
	f.Fuzz(func(t *testing.T, b []byte, six bool) {
		from := netip.MustParseAddrPort("192.0.2.9:9")
		if six {
			from = netip.MustParseAddrPort("[2001:db8::9]:9")
		}
		s := newStunner(1 << 20)
		response, refused := s.take(bytes.Clone(b), from)
		if (response == nil) == (refused == "") {
			t.Fatalf("response %x, refused %q", response, refused) // no own question is open
		}
		if response == nil {
			return
		}
		question, answer := stun.Message{Raw: b}, stun.Message{Raw: response}
		var mapped stun.XORMappedAddress
		if err := errors.Join(question.Decode(), answer.Decode(), mapped.GetFrom(&answer)); err != nil {
			t.Fatal(err)
		}
		if question.Type != stun.BindingRequest || answer.TransactionID != question.TransactionID || mapped.String() != from.String() {
			t.Fatalf("%v answers %v", answer, question)
		}
		if len(response) > 3*len(b) {
			t.Fatalf("%d bytes for %d", len(response), len(b))
		}
	})
}
