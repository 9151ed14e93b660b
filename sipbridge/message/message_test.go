package message

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// crlf turns the lines of a test's text into SIP lines.
func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.TrimLeft(s, "\n"), "\n", "\r\n"))
}

const invite = `
INVITE sip:bob@127.0.0.1:5070 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1;rport
From: "Alice" <sip:alice@127.0.0.1>;tag=a1
To: <sip:bob@127.0.0.1>
Call-ID: c1@host
CSeq: 1 INVITE
Contact: <sip:alice@127.0.0.1:5062>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: 4

v=0
`

func mustParse(t *testing.T, data []byte) *Message {
	t.Helper()
	var m Message
	if err := m.Parse(data); err != nil {
		t.Fatalf("Parse: %v\n%s", err, data)
	}
	return &m
}

func TestParseRequest(t *testing.T) {
	m := mustParse(t, crlf(invite))
	if !m.IsRequest() || !m.Is("INVITE") || string(m.Target) != "sip:bob@127.0.0.1:5070" {
		t.Errorf("request line: %q %q", m.Method, m.Target)
	}
	if string(m.Body) != "v=0\r" {
		t.Errorf("body %q", m.Body)
	}
	for id, want := range map[ID]string{CallID: "c1@host", CSeq: "1 INVITE", Contact: "<sip:alice@127.0.0.1:5062>", ContentType: "application/sdp"} {
		if got := string(m.Get(id)); got != want {
			t.Errorf("field %d is %q, want %q", id, got, want)
		}
	}
	if m.Has(Route) || m.Get(Route) != nil {
		t.Error("a Route that is not there")
	}
}

// However a message's lines end, it reads the same.
func TestParsePutsLinesRight(t *testing.T) {
	want := mustParse(t, crlf(strings.Replace(invite, "Content-Length: 4\n", "Content-Length: 3\n", 1))).Raw
	for name, data := range map[string]string{
		"LF only":         strings.Replace(strings.TrimLeft(invite, "\n"), "Length: 4", "Length: 3", 1),
		"leading CRLF":    "\r\n\r\n" + string(want),
		"leading LF":      "\n" + string(want),
		"folded":          strings.Replace(string(want), "From: \"Alice\" <", "From: \"Alice\"\r\n\t  <", 1),
		"trailing octets": string(want) + "rubbish",
	} {
		if got := mustParse(t, []byte(data)).Raw; string(got) != string(want) {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, want)
		}
	}
}

// No CR or NUL that is not a line's end is left in any value, so nothing of a
// request can begin a line of its answer.
func TestParseLeavesNoBareCR(t *testing.T) {
	m := mustParse(t, []byte(strings.Replace(string(crlf(invite)), "c1@host", "c1\rInjected: yes\x00", 1)))
	if got := string(m.Get(CallID)); got != "c1 Injected: yes" {
		t.Errorf("Call-ID %q", got)
	}
}

func TestParseResponse(t *testing.T) {
	m := mustParse(t, crlf("SIP/2.0 486 Busy Here\nVia: SIP/2.0/UDP h;branch=b\n\n"))
	if m.IsRequest() || m.Status != 486 {
		t.Errorf("status %d", m.Status)
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want error
	}{
		"empty":               {"", ErrNotSIP},
		"only CRLF":           {"\r\n\r\n", ErrNotSIP},
		"HTTP":                {"GET / HTTP/1.1\r\n\r\n", ErrNotSIP},
		"binary":              {"\x00\x01\x02\x03", ErrNotSIP},
		"no version":          {"INVITE sip:bob@h\r\n\r\n", ErrNotSIP},
		"status too large":    {"SIP/2.0 4294967301 x\r\n\r\n", ErrNotSIP},
		"status of 2 digits":  {"SIP/2.0 99 x\r\n\r\n", ErrNotSIP},
		"no end":              {"INVITE sip:b@h SIP/2.0\r\nTo: x\r\n", ErrMalformed},
		"no colon":            {"INVITE sip:b@h SIP/2.0\r\nTo x\r\n\r\n", ErrMalformed},
		"name with space":     {"INVITE sip:b@h SIP/2.0\r\nT o: x\r\n\r\n", ErrMalformed},
		"negative length":     {"INVITE sip:b@h SIP/2.0\r\nContent-Length: -5\r\n\r\n", ErrMalformed},
		"length overflow":     {"INVITE sip:b@h SIP/2.0\r\nl: 99999999999999999999\r\n\r\n", ErrMalformed},
		"length past the end": {"INVITE sip:b@h SIP/2.0\r\nl: 4\r\n\r\nabc", ErrMalformed},
		"too many fields":     {"INVITE sip:b@h SIP/2.0\r\n" + strings.Repeat("X: 1\r\n", MaxFields+1) + "\r\n", ErrMalformed},
	} {
		var m Message
		if err := m.Parse([]byte(c.data)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A datagram that claims a huge body costs no memory.
func TestParseAllocatesNothingForAClaim(t *testing.T) {
	data := []byte("INVITE sip:b@h SIP/2.0\r\nContent-Length: 2000000000\r\n\r\n")
	var m Message
	m.Parse(data)
	if n := testing.AllocsPerRun(100, func() { m.Parse(data) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// edit replaces text in the sample INVITE.
func edit(oldnew ...string) []byte {
	return crlf(strings.NewReplacer(oldnew...).Replace(invite))
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		code int // 0 = fine
	}{
		"good":                    {edit(), 0},
		"lower-case version":      {edit("bob@127.0.0.1:5070 SIP/2.0", "bob@127.0.0.1:5070 sip/2.0"), 0},
		"compact names":           {edit("From:", "f:", "To:", "t:", "Call-ID:", "i:", "Contact:", "m:", "Content-Length:", "l:"), 0},
		"version 7":               {edit(":5070 SIP/2.0", ":5070 SIP/7.0"), 505},
		"no From":                 {edit("From:", "X-From:"), 400},
		"no To":                   {edit("To:", "X-To:"), 400},
		"no Call-ID":              {edit("Call-ID:", "X:"), 400},
		"no CSeq":                 {edit("CSeq:", "X:"), 400},
		"empty To":                {edit("To: <sip:bob@127.0.0.1>", "To:"), 400},
		"two From":                {edit("Call-ID:", "From: <sip:x@y>;tag=2\nCall-ID:"), 400},
		"two Call-ID":             {edit("CSeq:", "i: other\nCSeq:"), 400},
		"two Content-Length":      {edit("Max-Forwards", "l: 4\nMax-Forwards"), 400},
		"two Max-Forwards":        {edit("Max-Forwards", "Max-Forwards: 70\nMax-Forwards"), 400},
		"CSeq mismatch":           {edit("1 INVITE", "1 OPTIONS"), 400},
		"CSeq case":               {edit("1 INVITE", "1 invite"), 400},
		"CSeq too large":          {edit("1 INVITE", "2147483648 INVITE"), 400},
		"CSeq negative":           {edit("1 INVITE", "-1 INVITE"), 400},
		"CSeq alone":              {edit("1 INVITE", "1"), 400},
		"Max-Forwards 0":          {edit("Max-Forwards: 70", "Max-Forwards: 0"), 483},
		"Max-Forwards 256":        {edit("Max-Forwards: 70", "Max-Forwards: 256"), 400},
		"Max-Forwards words":      {edit("Max-Forwards: 70", "Max-Forwards: many"), 400},
		"no Max-Forwards":         {edit("Max-Forwards: 70\n", ""), 0},
		"sips":                    {edit("INVITE sip:", "INVITE sips:"), 416},
		"tel":                     {edit("sip:bob@127.0.0.1:5070 ", "tel:+4912345 "), 416},
		"unknown scheme":          {edit("sip:bob@127.0.0.1:5070 ", "nobodyKnowsThisScheme:x "), 416},
		"no scheme":               {edit("sip:bob@127.0.0.1:5070 ", "bob "), 400},
		"brackets in target":      {edit("sip:bob@127.0.0.1:5070 ", "<sip:bob@127.0.0.1> "), 400},
		"space in target":         {edit("sip:bob@127.0.0.1:5070 ", "sip:bob@127.0.0.1; lr "), 400},
		"headers in target":       {edit("127.0.0.1:5070 ", "127.0.0.1:5070?Subject=x "), 400},
		"port 0":                  {edit("127.0.0.1:5070 ", "127.0.0.1:0 "), 400},
		"port 65536":              {edit("127.0.0.1:5070 ", "127.0.0.1:65536 "), 400},
		"unknown method":          {edit("INVITE sip", "FROBNICATE sip", "1 INVITE", "1 FROBNICATE"), 405},
		"lower-case method":       {edit("INVITE sip", "invite sip", "1 INVITE", "1 invite"), 405},
		"unknown Require":         {edit("Max-Forwards", "Require: nothingSupportsThis\nMax-Forwards"), 420},
		"Require for the phone":   {edit("Max-Forwards", "Require: 100rel\nMax-Forwards"), 0},
		"Proxy-Require":           {edit("Max-Forwards", "Proxy-Require: 100rel\nMax-Forwards"), 420},
		"unterminated name":       {edit(`"Alice" <`, `"Alice <`), 400},
		"From without URI":        {edit(`"Alice" <sip:alice@127.0.0.1>`, `"Alice" <>`), 400},
		"From with a list":        {edit(";tag=a1", ";tag=a1, <sip:x@y>"), 400},
		"Call-ID with space":      {edit("c1@host", "c1 host"), 400},
		"escaped user":            {edit("sip:bob@", "sip:b%6fb@"), 0},
		"IPv6":                    {edit("bob@127.0.0.1:5070", "bob@[::1]:5070"), 0},
		"IPv6 without its end":    {edit("bob@127.0.0.1:5070", "bob@[::1"), 400},
		"display name in words":   {edit(`"Alice"`, `Alice of the Hill`), 0},
		"quoted comma and escape": {edit(`"Alice"`, `"A \" , <sip:z@z>"`), 0},
	} {
		var m Message
		if err := m.Parse(c.data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var req Request
		f, ok := m.Check(&req)
		got := 0
		if f != nil {
			got = f.Code
		}
		if got != c.code || !ok {
			t.Errorf("%s: %+v, want %d", name, f, c.code)
		}
	}
}

func TestCheckNamesWhatIsUnsupported(t *testing.T) {
	m := mustParse(t, edit("Max-Forwards", "Require: 100rel, foo,bar\nProxy-Require: baz\nMax-Forwards"))
	var req Request
	f, _ := m.Check(&req)
	if f == nil || string(f.Unsupported) != "foo, bar, baz" {
		t.Errorf("%+v", f)
	}
}

// Without a Via that names a way back there is nobody to answer.
func TestCheckNeedsVia(t *testing.T) {
	for _, via := range []string{"X: y", "Via:", "Via: SIP/2.0/UDP", "Via: SIP/2.0 UDP h", "Via: XIP/2.0/UDP h", "Via: SIP/2.0/UDP h:x", "Via: SIP/2.0/UDP h h"} {
		m := mustParse(t, edit("Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1;rport", via))
		var req Request
		if f, ok := m.Check(&req); ok {
			t.Errorf("%q: %+v", via, f)
		}
	}
}

func TestVia(t *testing.T) {
	source := netip.MustParseAddrPort("10.0.0.9:999")
	for in, want := range map[string]struct{ line, to string }{
		"SIP/2.0/UDP 10.0.0.9:5062;branch=b":                 {"SIP/2.0/UDP 10.0.0.9:5062;branch=b", "10.0.0.9:5062"},
		"SIP/2.0/UDP 10.0.0.9;branch=b":                      {"SIP/2.0/UDP 10.0.0.9;branch=b", "10.0.0.9:5060"},
		"SIP/2.0/UDP 10.0.0.8:5062;branch=b":                 {"SIP/2.0/UDP 10.0.0.8:5062;branch=b;received=10.0.0.9", "10.0.0.9:5062"},
		"SIP/2.0/UDP pc;rport;branch=b":                      {"SIP/2.0/UDP pc;rport=999;branch=b;received=10.0.0.9", "10.0.0.9:999"},
		"SIP/2.0/UDP pc;branch=b;rport":                      {"SIP/2.0/UDP pc;branch=b;rport=999;received=10.0.0.9", "10.0.0.9:999"},
		"SIP/2.0/UDP pc;rport=;branch=b":                     {"SIP/2.0/UDP pc;rport=999;branch=b;received=10.0.0.9", "10.0.0.9:999"},
		"SIP / 2.0 / UDP  10.0.0.9:1 ; branch=b":             {"SIP / 2.0 / UDP  10.0.0.9:1 ; branch=b", "10.0.0.9:1"},
		"SIP/2.0/UDP 10.0.0.9:1;branch=b,SIP/2.0/UDP h2;x=y": {"SIP/2.0/UDP 10.0.0.9:1;branch=b,SIP/2.0/UDP h2;x=y", "10.0.0.9:1"},
	} {
		m := mustParse(t, edit("SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1;rport", in))
		hop, err := m.Top()
		if err != nil || string(hop.Branch) != "b" {
			t.Errorf("%q: branch %q, %v", in, hop.Branch, err)
			continue
		}
		if got := string(hop.appendTo(nil, source)); got != want.line {
			t.Errorf("%q\nbecame %q\nwant   %q", in, got, want.line)
		}
		if got := hop.ReplyTo(source).String(); got != want.to {
			t.Errorf("%q: answered to %s, want %s", in, got, want.to)
		}
	}
}

func TestEcho(t *testing.T) {
	m := mustParse(t, edit("Via:", "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK0\nVia:"))
	var req Request
	if f, _ := m.Check(&req); f != nil {
		t.Fatal(f)
	}
	got := AppendStatus(nil, 302, "Moved Temporarily")
	got = m.AppendEcho(got, &req, []byte("xyz"), netip.MustParseAddrPort("127.0.0.1:9"))
	got = AppendEnd(AppendWarning(got, "host", "say \"no\"\r\n"))
	want := string(crlf(`
SIP/2.0 302 Moved Temporarily
Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK0
Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1;rport
From: "Alice" <sip:alice@127.0.0.1>;tag=a1
To: <sip:bob@127.0.0.1>;tag=xyz
Call-ID: c1@host
CSeq: 1 INVITE
Warning: 399 host "say \"no\"  "
Content-Length: 0

`))
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestURI(t *testing.T) {
	for in, want := range map[string]string{
		"sip:bob@Host.Example":                       "sip:bob@host.example",
		"SIP:bob@127.0.0.1:5060":                     "sip:bob@127.0.0.1",
		"sip:b%6Fb@127.0.0.1:5062;transport=UDP":     "sip:bob@127.0.0.1:5062",
		"sip:bob:secret@[::1]:5062;Transport=TCP;ob": "sip:bob@::1:5062;transport=tcp",
		"sip:host": "sip:@host",
	} {
		u, err := ParseURI([]byte(in))
		if err != nil || u.Canonical() != want {
			t.Errorf("%q: %q %v, want %q", in, u.Canonical(), err, want)
		}
	}
	for _, in := range []string{"", "sip:", "sip:@host", "sip:bob@", "sip:bob@h:", "sip:bob@h:99999", "sip:bob@[1.2.3.4]", "sip:bob@h x", "bob", ":x", "sip:bob@ho<st", "sip:b\x01b@h", "sip:b@h@h"} {
		if u, err := ParseURI([]byte(in)); err == nil {
			t.Errorf("%q was accepted: %+v", in, u)
		}
	}
	u, _ := ParseURI([]byte("sip:%62ob;phone-context=x@h"))
	if u.Name() != "bob" {
		t.Errorf("name %q", u.Name())
	}
	for _, bad := range []string{"sip:%6@h", "sip:%zz@h"} {
		if u, _ := ParseURI([]byte(bad)); u.Name() != "" {
			t.Errorf("%q has the name %q", bad, u.Name())
		}
	}
}

func TestContacts(t *testing.T) {
	for in, want := range map[string]string{
		"Contact: *":                                               "*",
		"Contact: sip:a@x, sip:b@y":                                "sip:a@x|sip:b@y",
		"Contact: <sip:a@x>;q=0.5,sip:b@y;expires=3":               "sip:a@x|sip:b@y",
		"Contact: \"a, <b>\" <sip:a@x;lr>;q=1\nm: B <sip:b@y?h=1>": "sip:a@x;lr|sip:b@y?h=1",
		"Contact: <sip:a@x>;+sip.instance=\"<urn:uuid:1,2>\"":      "sip:a@x",
		"X: y": "",
	} {
		c, err := mustParse(t, edit("Contact: <sip:alice@127.0.0.1:5062>", in)).Contacts()
		var got []string
		for _, a := range c.List {
			got = append(got, string(a.URI))
		}
		if c.Star {
			got = append(got, "*")
		}
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"Contact: *, sip:a@x", "Contact: sip:a@x, *", "Contact: *\nContact: *", "Contact:", "Contact: ,", "Contact: <sip:a@x>,", "Contact: <sip:a@x", "Contact: <a>", "Contact: <sip:a@x> b", "Contact: \"x <sip:a@x>", "Contact: <sip:a@x>;;", "Contact: " + strings.Repeat("sip:a@x,", MaxContacts) + "sip:a@x"} {
		if c, err := mustParse(t, edit("Contact: <sip:alice@127.0.0.1:5062>", in)).Contacts(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q was accepted: %+v", in, c)
		}
	}
}

func TestContactParams(t *testing.T) {
	c, err := mustParse(t, edit("<sip:alice@127.0.0.1:5062>", `sip:a@x ; Expires = 60 ; +sip.instance="<urn:uuid:a;b>";q=0.3`)).Contacts()
	if err != nil || len(c.List) != 1 {
		t.Fatal(c, err)
	}
	a := c.List[0]
	for name, want := range map[string]string{"expires": "60", "+sip.instance": `"<urn:uuid:a;b>"`, "q": "0.3"} {
		if got, _ := a.Param(name); string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
