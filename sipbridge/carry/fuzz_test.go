package carry

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// record is a Sender that keeps what was sent.
type record struct{ sent [][]byte }

func (r *record) Send(_ context.Context, _ Flow, msg []byte) error {
	r.sent = append(r.sent, bytes.Clone(msg))
	return nil
}

// still is a call whose goroutine does not run: a test calls it itself.
func still(t testing.TB, incoming bool) (*call, *record) {
	r := &record{}
	e, err := New(Config{Sender: r})
	if err != nil {
		t.Fatal(err)
	}
	c := e.newCall(aor("bob"), aor("alice"))
	near, _ := tunnelPair(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"))
	c.incoming, c.callID, c.wireID, c.callerTag = incoming, "signed", "signed", "m"
	c.tunnel = &pipe{t: near, out: make(chan []byte, 1<<12), done: make(chan struct{})}
	e.byID[c.id], e.active = c, 1
	return c, r
}

var phoneFlow = Flow{"udp", netip.MustParseAddrPort("127.0.0.1:5072"), netip.MustParseAddrPort("127.0.0.1:5060")}

// up makes c a call that bob has answered.
func up(t testing.TB, c *call) {
	c.targets = []Target{{"sip:bob@127.0.0.1:5072", phoneFlow}}
	c.fromTunnel(frame{kindRequest, 1, []byte(wire("INVITE", "m", "", "1"))}.bytes())
	invite := c.forks[0].t
	ok := "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=" + invite.branch + "\r\nFrom: <sip:alice@x>;tag=m\r\nTo: <sip:bob@x>;tag=b\r\nCall-ID: signed\r\nCSeq: 1 INVITE\r\nContact: <sip:bob@127.0.0.1:5072>\r\nContent-Length: 0\r\n\r\n"
	p, err := read([]byte(ok), true)
	if err != nil {
		t.Fatal(err)
	}
	c.answered(phoneFlow, p)
}

func wire(method, from, to, cseq string) string {
	if to != "" {
		to = ";tag=" + to
	}
	return method + " sip:bob@lan.example SIP/2.0\r\nMax-Forwards: 9\r\nFrom: <sip:alice@lan.example>;tag=" + from + "\r\nTo: <sip:bob@lan.example>" + to +
		"\r\nCall-ID: signed\r\nCSeq: " + cseq + " " + method + "\r\nContent-Length: 0\r\n\r\n"
}

// FuzzFrame: what decodes encodes to the same bytes.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(frame{kindRequest, 1, []byte("x")}.bytes())
	f.Add(frame{kindCancel, 1 << 60, nil}.bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if fr, err := decodeFrame(data); err == nil && !bytes.Equal(fr.bytes(), data) {
			t.Fatalf("%x became %x", data, fr.bytes())
		}
	})
}

// FuzzFromTunnel: the other adapter writes the frames. Whatever it writes,
// each message that reaches the phone is one well-formed message of this call,
// sent by us, to the phone, in the verified name.
func FuzzFromTunnel(f *testing.F) {
	for _, m := range []string{
		wire("INVITE", "m", "", "1"), wire("INFO", "m", "b", "2"), wire("ACK", "m", "b", "1"), wire("BYE", "m", "b", "3"),
		strings.Replace(wire("REFER", "m", "b", "2"), "Max-F", "Refer-To: <sip:carol@127.0.0.1?Replaces=a>\r\nMax-F", 1),
		strings.Replace(wire("INVITE", "m", "b", "2"), "Content-Length: 0\r\n\r\n", sdpBody(offer), 1),
	} {
		f.Add(false, byte(kindRequest), uint64(2), []byte(m))
		f.Add(true, byte(kindRequest), uint64(1), []byte(m))
		f.Add(true, byte(kindRequest), uint64(0), []byte(m))
	}
	f.Add(true, byte(kindCancel), uint64(1), []byte("SIP;cause=200"))
	f.Fuzz(func(t *testing.T, answered bool, k byte, number uint64, payload []byte) {
		c, sent := still(t, true)
		if answered {
			up(t, c)
			sent.sent = nil
		} else {
			c.targets = []Target{{"sip:bob@127.0.0.1:5072", phoneFlow}}
		}
		c.fromTunnel(frame{kind(k), number, payload}.bytes())
		for _, msg := range sent.sent {
			wellFormed(t, c, msg)
		}
	})
}

func wellFormed(t *testing.T, c *call, msg []byte) {
	t.Helper()
	p, err := read(msg, true)
	if err != nil {
		t.Fatalf("%v\n%q", err, msg)
	}
	if !bytes.Equal(p.Raw, msg) {
		t.Fatalf("one message became two:\n%q", msg)
	}
	if p.callID != c.callID || p.Count(message.Via) != 1 || !strings.HasPrefix(p.branch, branchPrefix+c.id+".") {
		t.Fatalf("not our call:\n%s", msg)
	}
	if !strings.HasPrefix(string(p.Get(message.From)), `"alice" <sip:alice@127.0.0.1>`) || p.Count(message.Contact) > 1 || p.Has(message.Route) {
		t.Fatalf("not in the verified name:\n%s", msg)
	}
	if _, ok := p.Check(&p.req); !ok {
		t.Fatalf("a phone cannot answer this:\n%s", msg)
	}
}

// FuzzFromPhone: a phone, or whatever sits on the loopback address, writes the
// messages. What goes into the tunnel is a message that the other adapter
// accepts, with nothing of this side's routing in it.
func FuzzFromPhone(f *testing.F) {
	c, _ := still(f, true)
	up(f, c)
	for _, m := range []string{"BYE", "INFO", "INVITE", "CANCEL", "ACK", "REFER"} {
		f.Add([]byte(m + " sip:alice@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5072;branch=z9hG4bKx\r\nFrom: <sip:bob@x>;tag=b\r\nTo: <sip:alice@x>;tag=m\r\nRefer-To: <sip:c@127.0.0.1>\r\nCall-ID: signed\r\nCSeq: 2 " + m + "\r\nContent-Length: 0\r\n\r\n"))
	}
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKcy\r\nFrom: <sip:alice@x>;tag=m\r\nTo: <sip:bob@x>;tag=b\r\nCall-ID: signed\r\nCSeq: 1 INVITE\r\nContact: <sip:x@y>\r\nContent-Length: 0\r\n\r\n"))
	files, _ := filepath.Glob("../message/testdata/rfc4475/*.dat")
	for _, file := range files {
		m, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m)
		f.Add(bytes.ReplaceAll(m, []byte("Call-ID: "), []byte("Call-ID: signed\r\nX: ")))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		p, err := read(msg, true)
		if err != nil {
			return
		}
		c, _ := still(t, true)
		up(t, c)
		for len(c.tunnel.out) > 0 {
			<-c.tunnel.out
		}
		c.now = time.Now()
		if !p.IsRequest() {
			p.branch = c.forks[0].t.branch
		}
		c.handle(phoneInput{phoneFlow, p})
		c.expire()
		for c.deadline(); len(c.tunnel.out) > 0; {
			fr, err := decodeFrame(<-c.tunnel.out)
			if err != nil {
				t.Fatal(err)
			}
			if fr.kind == kindCancel {
				continue
			}
			out, err := readWire(fr.payload)
			if err != nil {
				t.Fatalf("%v\n%q\nfrom\n%q", err, fr.payload, msg)
			}
			if out.callID != c.wireID || out.Has(message.Via) || out.Has(message.Route) || bytes.Contains(fr.payload, []byte("Record-Route:")) {
				t.Fatalf("%s", fr.payload)
			}
		}
	})
}
