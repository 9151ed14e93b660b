package sipbridge

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// Requests that cannot be handled get the code that says why, over UDP and TCP
// alike, and the phone can go on afterwards.
func TestBadRequests(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	for _, network := range []string{"udp", "tcp"} {
		p := r.phone(t, network, "alice")
		for name, c := range map[string]struct {
			msg    string
			status int
			has    string // a line of the answer
		}{
			"version":        {strings.Replace(p.request("INVITE", "bob"), "SIP/2.0\r\nVia", "SIP/7.0\r\nVia", 1), 505, ""},
			"sips":           {p.request("INVITE", "sips:bob@127.0.0.1"), 416, ""},
			"tel":            {p.request("INVITE", "tel:+49123"), 416, ""},
			"method":         {p.request("FROBNICATE", "bob"), 405, "Allow: " + message.Allow},
			"require":        {p.request("INVITE", "bob", "Require: frob"), 420, "Unsupported: frob"},
			"proxy-require":  {p.request("REGISTER", "sip:127.0.0.1", "Proxy-Require: frob"), 420, "Unsupported: frob"},
			"hops":           {p.request("INVITE", "bob", "Max-Forwards: 0"), 483, ""},
			"nobody":         {p.request("INVITE", "sip:127.0.0.1"), 484, ""},
			"CSeq":           {p.request("INVITE", "bob", "CSeq: 3 BYE"), 400, ""},
			"two From":       {p.request("INVITE", "bob", "f: <sip:x@y>"), 400, ""},
			"no To":          {p.request("INVITE", "bob", "To:"), 400, ""},
			"no Contact":     {p.request("INVITE", "bob", "Contact:"), 400, ""},
			"header line":    {p.request("INVITE", "bob", "Subject"), 400, ""},
			"bad escape":     {p.request("INVITE", "sip:b%zz@127.0.0.1"), 400, ""},
			"subscribe":      {p.request("SUBSCRIBE", "bob", "Event: presence"), 489, "Allow-Events: "},
			"publish":        {p.request("PUBLISH", "bob", "Event: presence"), 405, ""},
			"stray BYE":      {p.request("BYE", "bob", "To: <sip:bob@127.0.0.1>;tag=x"), 481, ""},
			"stray INFO":     {p.request("INFO", "bob"), 481, ""},
			"stray reINVITE": {p.request("INVITE", "bob", "To: <sip:bob@127.0.0.1>;tag=x"), 481, ""},
			"stray REFER":    {p.request("REFER", "bob", "Refer-To: <sip:c@d>"), 403, ""},
			"OPTIONS":        {p.request("OPTIONS", "sip:127.0.0.1"), 200, "Accept: application/sdp, text/plain"},
			"OPTIONS, spent": {p.request("OPTIONS", "sip:127.0.0.1", "Max-Forwards: 0"), 200, "Allow: " + message.Allow},
		} {
			m := p.ask(c.msg)
			if m.Status != c.status || !strings.Contains(m.String(), "\r\n"+c.has) {
				t.Errorf("%s, %s: want %d %s:\n%s", network, name, c.status, c.has, m)
			}
			if m.Status >= 300 && m.Status != 405 && m.field("Warning") == "" {
				t.Errorf("%s, %s: no Warning:\n%s", network, name, m)
			}
		}
		if m := p.ask(p.request("INVITE", "bob")); m.Status != 302 {
			t.Errorf("%s afterwards: %s", network, m)
		}
	}
	for _, reason := range []string{RefusedMalformed, RefusedUnsupported, RefusedHops, RefusedNoDialog} {
		if r.refused.of(reason) == 0 {
			t.Errorf("%s is not counted", reason)
		}
	}
}

// What is no request, or cannot be answered, gets no answer.
func TestUnanswered(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	p := r.phone(t, "udp", "alice")
	for _, c := range []struct{ msg, reason string }{
		{"hello\r\n\r\n", RefusedNotSIP},
		{"\x00\x01\x02\x03", RefusedNotSIP},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", RefusedNotSIP},
		{p.request("INVITE", "bob", "Via: nonsense"), RefusedUnanswerable},
		{p.request("INVITE", "bob", "Via:"), RefusedUnanswerable},
		{"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\n\r\n", RefusedResponse},
	} {
		before := r.refused.of(c.reason)
		p.send(c.msg)
		eventually(t, c.reason, func() bool { return r.refused.of(c.reason) == before+1 })
	}
	for _, msg := range []string{"\r\n\r\n", "\r\n", "\x00\x00", "", p.request("ACK", "bob"), p.request("ACK", "bob", "CSeq: 1 INVITE")} {
		p.send(msg)
	}
	p.silence()
	if m := p.ask(p.request("INVITE", "bob")); m.Status != 302 {
		t.Errorf("afterwards: %s", m)
	}
}

// Lines may end in a bare LF, and CRLFs may come first.
func TestSloppyLines(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	for _, network := range []string{"udp", "tcp"} {
		p := r.phone(t, network, "alice")
		if m := p.ask(strings.ReplaceAll(p.request("INVITE", "bob"), "\r\n", "\n")); m.Status != 302 {
			t.Errorf("%s, LF only: %s", network, m)
		}
		if m := p.ask("\r\n" + p.request("INVITE", "bob")); m.Status != 302 {
			t.Errorf("%s, leading CRLF: %s", network, m)
		}
		if m := p.ask(strings.Replace(p.request("INVITE", "bob"), ";tag", "\r\n ;tag", 1)); m.Status != 302 {
			t.Errorf("%s, folded: %s", network, m)
		}
	}
}

// Messages larger than one packet pass, both ways.
func TestLargeMessages(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	for _, network := range []string{"udp", "tcp"} {
		p := r.phone(t, network, "alice")
		name := strings.Repeat("Alice of the Hill ", 500)
		m := p.ask(p.request("INVITE", "bob", "From: \""+name+"\" <sip:alice@lan.example>;tag=1", "Body: "+strings.Repeat("x", 15000)))
		if m.Status != 302 || !strings.Contains(m.field("From"), name) {
			t.Errorf("%s: %.200s", network, m)
		}
		if again := p.ask(p.request("OPTIONS", "bob")); again.Status != 200 {
			t.Errorf("%s: %s", network, again)
		}
	}
}

// A stream may deliver its bytes in any pieces.
func TestStreamPieces(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	p := r.phone(t, "tcp", "alice")
	one, two := p.request("INVITE", "bob"), p.request("OPTIONS", "bob")
	for i := range len(one) {
		p.send(one[i : i+1])
	}
	if m := p.recv(); m.Status != 302 {
		t.Fatalf("%s", m)
	}
	p.send(two + p.request("OPTIONS", "bob") + one[:20])
	for range 2 {
		if m := p.recv(); m.Status != 200 {
			t.Fatalf("%s", m)
		}
	}
	p.send(one[20:])
	if m := p.recv(); m.Status != 302 {
		t.Fatalf("%s", m)
	}
}

// RFC 5626 §3.5.1: a double CRLF is answered with a CRLF.
func TestStreamKeepAlive(t *testing.T) {
	r := start(t, &hub{}, nil)
	p := r.phone(t, "tcp", "alice")
	p.send("\r\n\r\n")
	buf := make([]byte, 2)
	p.c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(p.r, buf); err != nil || string(buf) != "\r\n" {
		t.Fatalf("%q %v", buf, err)
	}
	if m := p.ask(p.request("OPTIONS", "bob")); m.Status != 200 {
		t.Errorf("%s", m)
	}
}

// A stream whose next message cannot be found is answered where that is
// possible, and closed.
func TestStreamEnds(t *testing.T) {
	r := start(t, &hub{}, nil)
	for name, c := range map[string]struct {
		msg    func(p *phone) string
		status int
	}{
		"no length":   {func(p *phone) string { return p.request("OPTIONS", "bob", "Content-Length:") }, 400},
		"bad length":  {func(p *phone) string { return p.request("OPTIONS", "bob", "Content-Length: x") }, 400},
		"two lengths": {func(p *phone) string { return p.request("OPTIONS", "bob", "l: 1") }, 400},
		"no SIP":      {func(*phone) string { return "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n" }, 0},
		"huge header": {func(*phone) string { return "OPTIONS sip:x SIP/2.0\r\nX: " + strings.Repeat("x", MaxMessage+1) }, 0},
		"huge body":   {func(p *phone) string { return p.request("OPTIONS", "bob", "Content-Length: 1000000") }, 513},
		"2^31-1":      {func(p *phone) string { return p.request("OPTIONS", "bob", "Content-Length: 2147483647") }, 513},
		"2^31":        {func(p *phone) string { return p.request("OPTIONS", "bob", "Content-Length: 2147483648") }, 400},
		"negative":    {func(p *phone) string { return p.request("OPTIONS", "bob", "Content-Length: -1") }, 400},
	} {
		p := r.phone(t, "tcp", "alice")
		p.send(c.msg(p))
		if c.status != 0 {
			if m := p.recv(); m.Status != c.status {
				t.Errorf("%s: %s", name, m)
			}
		}
		p.c.SetReadDeadline(time.Now().Add(patience))
		if b, err := p.r.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the connection stays open: %q %v", name, b, err)
		}
	}
	eventually(t, "the connections are forgotten", func() bool { return r.Stats().Conns == 0 })
}

func TestConnectionsAreBounded(t *testing.T) {
	r := start(t, &hub{}, nil)
	var open []*phone
	for range MaxConns {
		open = append(open, r.phone(t, "tcp", "alice"))
	}
	eventually(t, "all are open", func() bool { return r.Stats().Conns == MaxConns })
	if m := open[0].ask(open[0].request("OPTIONS", "bob")); m.Status != 200 {
		t.Errorf("%s", m)
	}
	p := r.phone(t, "tcp", "alice")
	if m := p.ask(p.request("OPTIONS", "bob")); m.Status != 200 {
		t.Errorf("%s", m)
	}
	if n := r.refused.of(RefusedConnections); n != 1 || r.Stats().Conns != MaxConns {
		t.Errorf("counted %d times, %d open", n, r.Stats().Conns)
	}
	if !open[1].closed() {
		t.Error("the one that was silent for longest stays")
	}
	if m := open[0].ask(open[0].request("OPTIONS", "bob")); m.Status != 200 {
		t.Errorf("one that was not: %s", m)
	}
}

// Anybody who can send to the port may send anything. Whatever comes, one
// message gets at most one answer, and an answer is a well-formed response to
// that message; afterwards the front still works.
func FuzzHandle(f *testing.F) {
	r := start(f, &hub{call: bob}, nil)
	p := r.phone(f, "udp", "alice")
	for _, m := range []string{"INVITE", "ACK", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE", "BYE", "SUBSCRIBE", "REFER", "PUBLISH"} {
		f.Add([]byte(p.request(m, "bob")))
	}
	f.Add([]byte(p.request("REGISTER", "sip:127.0.0.1", "Contact: *", "Expires: 0", "To: <sip:alice@127.0.0.1>")))
	f.Add([]byte(p.request("REGISTER", "sip:127.0.0.1", "Contact: sip:a@127.0.0.1, <sip:b@[::1]:9;transport=tcp>;q=0.1;expires=9", "To: <sip:alice@127.0.0.1>")))
	f.Add([]byte(p.request("INVITE", "sip:bob@elsewhere", "Route: <sip:127.0.0.1;lr>", "Require: x", "Authorization: Digest a=\"b")))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=x\r\n\r\n"))
	for _, row := range tortures(f) {
		f.Add(row.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out := r.answers(t, data, "127.0.0.1:40000")
		var in, m message.Message
		in.Parse(data)
		if in.Is("CANCEL") && len(out) == 2 { // its own and its INVITE's
			out = out[1:]
		}
		if len(out) > 1 {
			t.Fatalf("%d answers to %q:\n%s", len(out), data, bytes.Join(out, nil))
		}
		if len(out) == 0 {
			return
		}
		if err := m.Parse(out[0]); err != nil || m.Status < 200 || !bytes.Equal(m.Raw, out[0]) {
			t.Fatalf("%v: %q", err, out[0])
		}
		if !bytes.Equal(m.Get(message.CallID), in.Get(message.CallID)) || m.Count(message.Via) != in.Count(message.Via) {
			t.Fatalf("%q\nanswers\n%q", out[0], data)
		}
	})
}

// answers hands data to a worker as if it had come over a connection from that
// address, waits until everything is done, and returns what was sent back.
func (r *rig) answers(t testing.TB, data []byte, source string) [][]byte {
	c := &recorder{}
	remote := netip.MustParseAddrPort(source)
	from := origin{conn: &tcpConn{b: r.Bridge, c: c}, flow: carryFlow("tcp", remote, r.tcp)}
	from.conn.flow = from.flow
	newWorker(r.Bridge).handle(data, &from)
	eventually(t, fmt.Sprintf("%q is handled", data), r.settled)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out
}
