package sipbridge

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// Whoever reaches the port writes one message after the other, repeats them,
// and cancels and acknowledges what is not theirs, from two places. However
// they follow each other, no more answers come than requests were sent, but for
// a CANCEL that ends another; each answer is one message; and at the end
// nothing is in progress. The messages are cut at bytes 0xff, and those that
// begin with '2' come from the second place.
func FuzzConversation(f *testing.F) {
	r := start(f, &hub{call: bob, forgetful: true}, nil)
	p := r.phone(f, "udp", "alice")
	invite := p.request("INVITE", "bob")
	p.n--
	cancel, ack := p.request("CANCEL", "bob"), p.request("ACK", "bob")
	register := p.request("REGISTER", "sip:127.0.0.1", "To: <sip:alice@127.0.0.1>")
	join := func(list ...string) []byte {
		var b [][]byte
		for _, m := range list {
			b = append(b, []byte(m))
		}
		return bytes.Join(b, []byte{0xff})
	}
	f.Add(join(invite, cancel, ack, invite, "2"+invite, "2"+cancel))
	f.Add(join(register, "2"+register, register, p.request("MESSAGE", "bob", "Body: hi"), "2"+p.request("BYE", "bob")))
	for rows := range slices.Chunk(tortures(f), 4) {
		f.Add(bytes.Join([][]byte{rows[0].data, rows[2].data, rows[0].data}, []byte{0xff}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		one, two := &recorder{}, &recorder{}
		w := newWorker(r.Bridge)
		requests, cancels := 0, 0
		for msg := range bytes.SplitSeq(data, []byte{0xff}) {
			c, source := one, "127.0.0.1:40001"
			if rest, ok := bytes.CutPrefix(msg, []byte("2")); ok {
				c, source, msg = two, "127.0.0.1:40002", rest
			}
			var m message.Message
			m.Parse(msg)
			if len(m.Method) > 0 {
				requests++
			}
			if m.Is("CANCEL") {
				cancels++
			}
			from := origin{conn: &tcpConn{b: r.Bridge, c: c}, flow: carryFlow("tcp", netip.MustParseAddrPort(source), r.tcp)}
			from.conn.flow = from.flow
			w.handle(msg, &from)
		}
		eventually(t, fmt.Sprintf("%q is handled", data), r.settled)
		out := append(one.out, two.out...)
		if len(out) > requests+cancels {
			t.Fatalf("%d answers to %d requests, %d of them CANCEL:\n%s", len(out), requests, cancels, bytes.Join(out, nil))
		}
		for _, a := range out {
			var m message.Message
			if err := m.Parse(a); err != nil || m.IsRequest() || !bytes.Equal(m.Raw, a) {
				t.Fatalf("%v: %q", err, a)
			}
		}
	})
}

// A stream is cut into messages by bytes that its sender chose. However they
// arrive, the same answers come, each of them one message, and what is kept
// unread is less than one message.
func FuzzStream(f *testing.F) {
	r := start(f, &hub{}, nil)
	p := r.phone(f, "tcp", "alice")
	for _, row := range tortures(f) {
		f.Add(row.data, uint16(100))
	}
	f.Add([]byte("\r\n\r\n"+p.request("OPTIONS", "bob")+p.request("OPTIONS", "bob", "Body: hi")), uint16(7))
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		whole, _ := r.stream(t, data, len(data)+1)
		cut, rest := r.stream(t, data, int(piece%512)+1)
		if rest > MaxMessage || !slices.Equal(statuses(t, whole), statuses(t, cut)) {
			t.Fatalf("%d bytes unread; %q whole, %q in pieces", rest, whole, cut)
		}
	})
}

// statuses returns the start lines of answers, and fails where one is no
// answer.
func statuses(t *testing.T, out [][]byte) (list []string) {
	t.Helper()
	for _, a := range out {
		line, _, _ := bytes.Cut(a, []byte("\r\n"))
		list = append(list, string(line))
		var m message.Message
		if len(line) > 0 && (m.Parse(a) != nil || !bytes.Equal(m.Raw, a) || m.IsRequest()) {
			t.Fatalf("%q", a)
		}
	}
	return list
}

// stream gives a new connection its bytes in pieces, as serve does, and returns
// what was answered and how much was left unread.
func (r *rig) stream(t testing.TB, data []byte, piece int) (out [][]byte, rest int) {
	c := &recorder{}
	conn := &tcpConn{b: r.Bridge, c: c, flow: carryFlow("tcp", netip.AddrPortFrom(loop, uint16(time.Now().UnixNano()>>10)|1), r.tcp)}
	from, w := origin{conn: conn, flow: conn.flow}, newWorker(r.Bridge)
	var buf []byte
	for open := true; open && len(data) > 0; {
		n := min(piece, len(data))
		buf = append(buf, data[:n]...)
		data = data[n:]
		if buf, open = conn.take(w, &from, buf); len(buf) > rest {
			rest = len(buf)
		}
		eventually(t, "it is handled", r.settled)
	}
	return c.out, rest
}

// A phone's answer to OPTIONS says where it listens for sound. Whatever it
// says, only an address that others reach makes it one that they reach.
func FuzzHeard(f *testing.F) {
	for _, s := range []string{"", "c=IN IP4 127.0.0.1\r\n", "v=0\r\nc=IN IP4 192.0.2.1\r\n", "c=IN IP6 ::1\n", "c=IN IP4 192.0.2.1/127\r\nc=IN IP4 0.0.0.0", "c=IN IP"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := heard(body)
		if got != present && got != inward && got != outward || got != present && !bytes.Contains(body, []byte("c=IN IP")) {
			t.Fatalf("%q: %d", body, got)
		}
		if got == outward && (bytes.Contains(body, []byte("c=IN IP4 127.")) || bytes.Contains(body, []byte("c=IN IP6 ::1\n"))) {
			t.Fatalf("%q: a loopback address is said to be reached by others", body)
		}
	})
}
