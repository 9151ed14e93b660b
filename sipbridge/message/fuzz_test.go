package message

import (
	"bytes"
	"net/netip"
	"testing"
)

// The attacker sends any bytes to the port that phones use. Whatever parses is
// in normal form, no value can break out of its line, and the answer to a
// request has exactly the fields that it should have.
func FuzzParse(f *testing.F) {
	for _, m := range tortures(f) {
		f.Add(m)
	}
	f.Add(edit())
	f.Add([]byte(invite))
	f.Add(edit("Call-ID:", "v: SIP/2.0/TCP [::1]:9;rport;branch=x , SIP/2.0/UDP h\r\n\tfolded\nCall-ID:"))
	f.Add(edit("bob@127.0.0.1:5070 SIP/2.0", "bob SIP/7.0", "Call-ID:", "Require: a,b\nCall-ID:"))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=b\r\n\r\n"))
	f.Add([]byte("\n\nOPTIONS sip:x@[::] SIP/2.0\nVia: \r \x00\nl:3\n\nabcdef"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m, again Message
		err := m.Parse(data)
		for _, fl := range m.Fields {
			if bytes.ContainsAny(fl.Value, "\r\n\x00") || bytes.ContainsAny(fl.Name, "\r\n\x00: ") {
				t.Fatalf("field %q: %q", fl.Name, fl.Value)
			}
		}
		if err == nil {
			if err := again.Parse(m.Raw); err != nil || !bytes.Equal(again.Raw, m.Raw) {
				t.Fatalf("%v\n%q\n%q", err, m.Raw, again.Raw)
			}
		}
		if len(m.Method) > 0 {
			checkAnswer(t, &m)
		}
	})
}

func checkAnswer(t *testing.T, m *Message) {
	var req Request
	fault, ok := m.Check(&req)
	if !ok {
		return
	}
	if fault == nil && (len(m.Get(CallID)) == 0 || req.URI.Host == nil || !known(m.Method)) {
		t.Fatalf("passed as valid: %q", m.Raw)
	}
	out := AppendStatus(nil, 400, "Bad Request")
	out = AppendEnd(m.AppendEcho(out, &req, []byte("tag"), netip.MustParseAddrPort("127.0.0.1:5062")))
	var answer Message
	if err := answer.Parse(out); err != nil || answer.Status != 400 || !bytes.Equal(answer.Raw, out) {
		t.Fatalf("%v\n%q", err, out)
	}
	want := min(m.Count(Via), 255) + 1 // Content-Length
	for _, id := range []ID{From, To, CallID, CSeq, Timestamp} {
		if m.Has(id) {
			want++
		}
	}
	if len(answer.Fields) != want {
		t.Fatalf("%d fields, want %d:\n%s", len(answer.Fields), want, out)
	}
}

// A phone, or somebody who says so, sends any Contact. What is accepted is a
// list of valid URIs that reads the same when it is written anew, or '*'
// alone.
func FuzzContacts(f *testing.F) {
	for _, v := range values(f, Contact) {
		f.Add(v)
	}
	for _, s := range []string{"*", "sip:a@x, sip:b@y", "<sip:a@x>;q=0.5,sip:b@y;expires=3", "\"a, <b>\" <sip:a@x;lr>;q=1", "<sip:a@x>;+sip.instance=\"<urn:uuid:1>\"", "\"", "<", ",", "a:b;\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if bytes.ContainsAny([]byte(value), "\r\n\x00") {
			return
		}
		c, err := contactsOf(value)
		if err != nil {
			return
		}
		if c.Star && len(c.List) > 0 || !c.Star && len(c.List) == 0 {
			t.Fatalf("%q: %+v", value, c)
		}
		var out []byte
		for i, a := range c.List {
			if u, err := ParseURI(a.URI); err != nil || u.Canonical() == "" {
				t.Fatalf("%q: URI %q: %v", value, a.URI, err)
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(append(append(out, '<'), a.URI...), '>'), a.Params...)
		}
		if c.Star {
			return
		}
		again, err := contactsOf(string(out))
		if err != nil || len(again.List) != len(c.List) {
			t.Fatalf("%q → %q: %v %+v", value, out, err, again)
		}
		for i := range c.List {
			if !bytes.Equal(c.List[i].URI, again.List[i].URI) || !bytes.Equal(c.List[i].Params, again.List[i].Params) {
				t.Fatalf("%q → %q", value, out)
			}
		}
	})
}

func contactsOf(value string) (Contacts, error) {
	m := Message{Fields: []Field{{ID: Contact, Value: trim([]byte(value))}}}
	m.first[Contact], m.count[Contact] = 1, 1
	return m.Contacts()
}

func BenchmarkInvite(b *testing.B) {
	data := edit()
	source := netip.MustParseAddrPort("127.0.0.1:5062")
	var m Message
	var req Request
	out := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		if m.Parse(data) != nil {
			b.Fatal()
		}
		if f, _ := m.Check(&req); f != nil {
			b.Fatal(f)
		}
		out = AppendEnd(m.AppendEcho(AppendStatus(out[:0], 302, "Moved Temporarily"), &req, []byte("tag"), source))
	}
}
