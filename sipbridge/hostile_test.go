package sipbridge

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// A request that says one thing twice is refused, whether or not the two
// agree: two readers could each take another.
func TestConflictingFields(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	for _, network := range []string{"udp", "tcp"} {
		for name, line := range map[string]string{
			"To": "t: <sip:carol@lan.example>", "From": "f: <sip:carol@lan.example>;tag=2", "CSeq": "Cseq: 7 INVITE",
			"Call-ID": "i: another", "Max-Forwards": "max-forwards: 3", "Contact": "m: <sip:x@192.0.2.1>",
			"Content-Length": "l: 5", "equal Content-Length": "l: 0", "Expires": "Expires: 1\r\nexpires: 2", "Content-Type": "c: a/b\r\nContent-Type: a/b",
			"branch in one Via": "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa;rport;branch=z9hG4bKb",
			"From tag":          "From: <sip:alice@lan.example>;tag=1;tag=2", "To tag": "To: <sip:bob@lan.example>;tag=1;tag=1",
		} {
			p := r.phone(t, network, "alice")
			lines := []string{line}
			if strings.HasPrefix(line, "Via:") {
				lines[0] = strings.Replace(line, "127.0.0.1", p.addr(), 1)
			}
			m := p.ask(p.request("INVITE", "bob", lines...))
			if m.Status != 400 || m.field("Warning") == "" {
				t.Errorf("two %s over %s: %s", name, network, m)
			}
		}
		p := r.phone(t, network, "alice")
		for name, contact := range map[string]string{
			"expires": "<sip:alice@127.0.0.1:5999>;expires=60;expires=3600", "q": "<sip:alice@127.0.0.1:5999>;q=1;q=0",
			"instance": `<sip:alice@127.0.0.1:5999>;+sip.instance="<a>";+sip.instance="<b>"`, "star": "*, <sip:alice@127.0.0.1:5999>",
		} {
			if m := p.ask(p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: "+contact)); m.Status != 400 {
				t.Errorf("two %s in a Contact over %s: %s", name, network, m)
			}
		}
	}
	if _, n := last(r.hub, calls); n != 0 {
		t.Errorf("%d calls", n)
	}
	if n := len(r.Bindings(aor("alice"))); n != 0 {
		t.Errorf("%d phones", n)
	}
}

// A Content-Length that is none, or that no message can have, costs nothing:
// a datagram is answered, a stream is answered and closed.
func TestContentLengths(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	for value, stream := range map[string]int{
		"2147483647": 513, "2147483648": 400, "4294967296": 400, "18446744073709551617": 400, "99999999999999999999999999": 400,
		"-1": 400, "-2147483648": 400, "+1": 400, "1 1": 400, "0x10": 400, "1e3": 400, "": 400, "65535": 513,
	} {
		line := "Content-Length:" + value + "\r\nX: "
		for network, want := range map[string]int{"udp": 400, "tcp": stream} {
			p := r.phone(t, network, "alice")
			m := p.ask(strings.Replace(p.request("INVITE", "bob", line), "\r\nX: ", "", 1))
			if m.Status != want {
				t.Errorf("%q over %s: %s", value, network, m)
			}
			if network == "tcp" && !p.closed() {
				t.Errorf("%q: the stream stays open", value)
			}
		}
	}
}

// closed tells whether the other side has closed the connection.
func (p *phone) closed() bool {
	p.c.SetReadDeadline(time.Now().Add(patience))
	_, err := p.r.ReadByte()
	ne, ok := errors.AsType[net.Error](err)
	return err != nil && (!ok || !ne.Timeout())
}

// A header may be as long as a datagram, in any shape; nothing in it makes the
// reading of it slow, and nothing of it stays.
func TestHugeHeaders(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	fill := func(piece string) string { return strings.Repeat(piece, 60_000/len(piece)) }
	for name, c := range map[string]struct {
		line   string
		status int
	}{
		"one line":       {"X-Long: " + fill("x"), 302},
		"a From":         {"From: \"" + fill("Alice ") + "\" <sip:alice@lan.example>;tag=1", 302},
		"params of From": {"From: <sip:alice@lan.example>;tag=1" + fill(";a=b"), 302},
		"tags of From":   {"From: <sip:alice@lan.example>" + fill(";tag=a"), 400},
		"a body's type":  {"Content-Type: " + fill("a"), 302},
		"folds":          {"X-Long: a" + fill("\r\n b"), 302},
		"quotes":         {"Contact: " + fill("\""), 302},
		"brackets":       {"Contact: " + fill("<"), 302},
		"commas":         {"Route: " + fill(","), 400},
		"routes":         {"Route: <sip:127.0.0.1;lr>" + fill(",<sip:127.0.0.1;lr>"), 302},
		"options":        {"Require: a" + fill(",a"), 420},
		"a Call-ID":      {"Call-ID: " + fill("x"), 400},
		"many lines":     {"X: y" + fill("\r\nX: y"), 400},
	} {
		for _, network := range []string{"udp", "tcp"} {
			p := r.phone(t, network, "alice")
			if m := p.ask(p.request("INVITE", "bob", c.line)); m.Status != c.status {
				t.Errorf("%s over %s: want %d: %.300s", name, network, c.status, m)
			}
		}
	}
	if n := r.Stats().Pending; n != 0 {
		t.Errorf("%d requests stay", n)
	}
}

// The longest message is taken, and not one byte more.
func TestLargestMessage(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	for network, size := range map[string]int{"udp": 65507, "tcp": MaxMessage} {
		p := r.phone(t, network, "alice")
		base := len(p.request("INVITE", "bob", "X-Long: x"))
		p.n--
		msg := p.request("INVITE", "bob", "X-Long: "+strings.Repeat("x", size-base+1))
		if len(msg) != size {
			t.Fatalf("%d bytes", len(msg))
		}
		if m := p.ask(msg); m.Status != 302 {
			t.Errorf("%s: %.300s", network, m)
		}
	}
	p := r.phone(t, "tcp", "alice")
	base := len(p.request("INVITE", "bob", "X-Long: x"))
	m := p.ask(p.request("INVITE", "bob", "X-Long: "+strings.Repeat("x", MaxMessage-base+2)))
	if m.Status != 513 || !p.closed() {
		t.Errorf("%.300s", m)
	}
}

// evil is what must never come out as a field of its own.
const evil = "X-Evil"

// smuggles are texts with a line end in them, raw and escaped, as an attacker
// writes them where a name or a value should be.
var smuggles = []string{
	"a%0d%0aX-Evil:%20b", "a%0D%0AX-Evil:%20b", "a%0aX-Evil:%20b", "a%0dX-Evil:%20b", "a%00%0d%0aX-Evil:b",
	"a\rX-Evil: b", "a\nX-Evil: b", "a\r\nX-Evil: b", "a\r\n X-Evil: b", "a\r\r\nX-Evil: b", "a\x00\r\nX-Evil: b", "a\n\rX-Evil: b",
	"a\\\r\nX-Evil: b", "a\\\nX-Evil: b", "a%250d%250aX-Evil: b", "a\u0085X-Evil: b", "a\u2028X-Evil: b", "a\vX-Evil: b", "a\fX-Evil: b",
	"a\r\n\r\nSIP/2.0 200 OK\r\nX-Evil: b\r\n\r\n",
}

// Whatever stands in a request, each answer is one message, in which no line
// is the attacker's, and the hub gets no name with a line end.
func TestMatrixF3Smuggling(t *testing.T) {
	h := &hub{call: bob}
	r := start(t, h, nil)
	attacks, answers := 0, 0
	for _, s := range smuggles {
		p := r.phone(t, "udp", "alice")
		for _, msg := range []string{
			p.request("INVITE", "sip:"+s+"@127.0.0.1"), p.request("INVITE", "sip:bob@127.0.0.1;x="+s), p.request("INVITE", "sip:bob@"+s),
			p.request("INVITE", "bob", `From: "`+s+`" <sip:alice@lan.example>;tag=1`), p.request("INVITE", "bob", "From: "+s+" <sip:alice@lan.example>;tag=1"),
			p.request("INVITE", "bob", "From: <sip:alice@lan.example>;tag="+s), p.request("INVITE", "bob", "From: <sip:"+s+"@lan.example>;tag=1"),
			p.request("INVITE", "bob", `To: "`+s+`" <sip:bob@lan.example>`), p.request("INVITE", "bob", "Call-ID: "+s), p.request("INVITE", "bob", "Timestamp: "+s),
			p.request("INVITE", "bob", "Via: SIP/2.0/UDP "+p.addr()+";rport;branch=z9hG4bK"+s), p.request("INVITE", "bob", "Via: SIP/2.0/UDP "+p.addr()+";rport, "+s),
			p.request("INVITE", "bob", "CSeq: 1 INVITE"+s), p.request("INVITE", "bob", "Require: "+s), p.request("INVITE", "bob", "User-Agent: "+s),
			p.request("MESSAGE", "bob", "Content-Type: text/plain;x="+s), p.request(s, "bob"),
			p.request("REGISTER", "sip:lan.example", "To: <sip:"+s+"@lan.example>"),
			p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: <sip:"+s+"@"+p.addr()+">"),
			p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: <sip:a@"+p.addr()+";x="+s+">"),
			p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: \""+s+"\" <sip:a@"+p.addr()+">;+sip.instance=\"<"+s+">\""),
			p.request("REGISTER", "sip:lan.example", "To: <sip:alice@lan.example>", "Contact: <sip:a@"+p.addr()+">;x="+s),
		} {
			attacks++
			for _, a := range r.answersTo(p, msg) {
				answers++
				unsplit(t, msg, a)
			}
		}
	}
	if attacks < 400 || answers < attacks/2 {
		t.Errorf("%d attacks, %d answers: that was none", attacks, answers)
	}
	for _, c := range h.calls {
		if c.Target != message.Clean(c.Target, 1000) || c.CallID != message.Clean(c.CallID, 1000) {
			t.Errorf("the hub was asked for %q", c)
		}
	}
	t.Logf("matrix: F3 smuggled header fields that came out: 0 in %d answers to %d requests", answers, attacks)
}

// unsplit fails if what came is more than one message, or has an attacker's
// field.
func unsplit(t *testing.T, attack string, a *reply) {
	t.Helper()
	if a.field(evil) != "" || len(a.Body) > 0 && a.Status > 0 {
		t.Errorf("%q\nsplits\n%q", attack, a.Raw)
	}
	known := "|via|from|to|call-id|cseq|timestamp|contact|date|content-length|warning|allow|unsupported|retry-after|accept|supported|allow-events|max-forwards|content-type|"
	for _, f := range a.Fields {
		if !strings.Contains(known, "|"+strings.ToLower(string(f.Name))+"|") {
			t.Errorf("%q\nbrings the field %q", attack, f.Name)
		}
	}
	for _, line := range strings.Split(string(a.Raw), "\r\n") {
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("%q\nleaves a bare line end in\n%q", attack, a.Raw)
		}
	}
}

// The same, for what other adapters and the hub say, and for what phones get
// of each other.
func TestMatrixF3SmugglingFromAfar(t *testing.T) {
	h := &hub{}
	r := start(t, h, nil)
	seen := 0
	for i, s := range smuggles {
		p := r.phone(t, "udp", "alice")
		h.answer(func(context.Context, Call) (*Answer, error) { return nil, refuse(480, "Gone "+s, "because "+s) })
		for _, a := range r.answersTo(p, p.request("INVITE", "bob")) {
			seen++
			unsplit(t, s, a)
		}
		for _, contact := range []string{"sip:" + s + "@192.0.2.1", "sip:bob@192.0.2.1;" + s, "sip:bob@" + s, "sip:bob@192.0.2.1?X-Evil=" + s} {
			h.answer(func(context.Context, Call) (*Answer, error) {
				return &Answer{Callee: aor("bob"), Path: PathDirect, Contact: contact}, nil
			})
			for _, a := range r.answersTo(p, p.request("INVITE", "bob")) {
				seen++
				unsplit(t, contact, a)
				if strings.Contains(a.field("Contact"), "?") {
					t.Errorf("headers for the caller's phone: %s", a)
				}
			}
		}
		seen += takeText(t, r, Message{From: aor("bob"), To: aor("p" + strconv.Itoa(i)), ContentType: "text/plain;" + s, Body: []byte("hello " + s), CallID: s})
	}
	if seen < 6*len(smuggles) {
		t.Errorf("%d messages came", seen)
	}
	t.Logf("matrix: F3 header fields smuggled by other adapters that reached a phone: 0 in %d messages", seen)
}

// takeText lets the front deliver a text to a phone whose contact is hostile,
// and returns how many messages that phone got.
func takeText(t *testing.T, r *rig, m Message) (n int) {
	t.Helper()
	a := newAnswering(t, 200)
	v := a.binding("alice")
	v.Contact = "sip:a%0d%0aX-Evil:@" + a.addr() + "?X-Evil=b"
	r.Restore(m.To, []Binding{v})
	if err := r.Deliver(context.Background(), m); err != nil {
		t.Errorf("%q: %v", m, err)
	}
	for _, method := range []string{"OPTIONS", "MESSAGE"} {
		for _, raw := range a.requests(method) {
			n++
			got := &reply{}
			if err := got.Parse([]byte(raw)); err != nil || string(got.Raw) != raw || strings.Contains(string(got.Target), "?") {
				t.Errorf("%v: %q", err, raw)
			}
			if got.Is("MESSAGE") && string(got.Body) != string(m.Body) {
				t.Errorf("the body became %q", got.Body)
			}
			got.Raw, _, _ = bytes.Cut(got.Raw, []byte("\r\n\r\n"))
			unsplit(t, m.CallID, got)
		}
	}
	return n
}
