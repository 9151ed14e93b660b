package message

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tortures returns the messages of RFC 4475.
func tortures(t testing.TB) (out [][]byte) {
	t.Helper()
	files, err := filepath.Glob("testdata/rfc4475/*.dat")
	if err != nil || len(files) != 50 {
		t.Fatalf("%d messages: %v", len(files), err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data)
	}
	return out
}

// values returns what the messages of RFC 4475 have in fields of that kind.
func values(t testing.TB, ids ...ID) (out []string) {
	t.Helper()
	var m Message
	for _, data := range tortures(t) {
		m.Parse(data)
		for _, f := range m.Fields {
			for _, id := range ids {
				if f.ID == id {
					out = append(out, string(f.Value))
				}
			}
		}
	}
	return out
}

// A URI stands in what a phone writes, and what another adapter says of its
// phone. What is accepted cannot leave its place in a header, its parts are all
// of it, and without its headers it is the same URI without headers.
func FuzzURI(f *testing.F) {
	var m Message
	for _, data := range tortures(f) {
		m.Parse(data)
		f.Add(string(m.Target))
	}
	for _, s := range []string{"sip:a@h", "sips:a:b@[::1]:5061;transport=tcp?X=y", "tel:+1", "sip:h", "sip:a;b=%0d%0a@h:1", "SIP:%61@H.;lr", "sip:a@h;p?h", "sip:@h", "sip:a@h:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI([]byte(s))
		if err != nil {
			return
		}
		if strings.ContainsAny(s, " \t\r\n\x00<>\"\x7f") {
			t.Fatalf("%q was accepted", s)
		}
		if !u.IsSIP() && !equalFold(u.Scheme, "sips") {
			return
		}
		whole := string(u.Scheme) + ":"
		if u.User != nil {
			whole += string(u.User)
			if u.Password != nil {
				whole += ":" + string(u.Password)
			}
			whole += "@"
		}
		i := strings.Index(s[len(whole):], string(u.Host))
		tail := string(u.Params) + string(u.Headers)
		if len(u.Host) == 0 || !strings.HasPrefix(s, whole) || i < 0 || i > 1 || !strings.HasSuffix(s, tail) || len(s) < len(whole)+len(u.Host)+len(tail) {
			t.Fatalf("%q is not what its parts make: %+v", s, u)
		}
		bare, err := ParseURI([]byte(strings.TrimSuffix(s, string(u.Headers))))
		if err != nil || len(bare.Headers) != 0 || bare.Canonical() != u.Canonical() || !bytes.Equal(bare.Params, u.Params) {
			t.Fatalf("%q without headers: %v %+v", s, err, bare)
		}
		if n := u.Name(); n != "" {
			if again, ok := Unescape([]byte(strings.ReplaceAll(n, "%", "%25"))); !ok || again != n {
				t.Fatalf("%q: name %q", s, n)
			}
		}
	})
}

// From, To, Route and the like come from anybody. What is accepted says the
// same when it is written with angle brackets, and has one URI.
func FuzzAddress(f *testing.F) {
	for _, v := range values(f, From, To, Contact, Route) {
		f.Add(v)
	}
	for _, s := range []string{"<sip:a@h>;tag=x", "sip:a@h;tag=x", `"a\"b" <sip:a@h>;x="y;z"`, "a b <sip:a@h> ; tag = 1", "<sip:a@h>;tag=1;tag=2", "\"<sip:a@h>", "a\" <sip:a@h>", "sip:a@h?b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, "\r\n\x00") {
			return // no value of a field has these
		}
		a, err := ParseAddress([]byte(s))
		if err != nil {
			return
		}
		if bytes.ContainsAny(a.URI, ">") || len(a.URI) == 0 {
			t.Fatalf("%q: URI %q", s, a.URI)
		}
		again, err := ParseAddress([]byte("<" + string(a.URI) + ">" + string(a.Params)))
		if err != nil || !bytes.Equal(again.URI, a.URI) || !bytes.Equal(again.Params, a.Params) || !bytes.Equal(again.Tag(), a.Tag()) {
			t.Fatalf("%q: %+v, then %v %+v", s, a, err, again)
		}
		if n := countParam(a.Params, "tag"); n == 0 && a.Tag() != nil {
			t.Fatalf("%q has a tag and has none", s)
		}
	})
}

// The topmost Via says where an answer goes, so it is what an attacker bends.
// The answer goes to the address that the request came from, and the Via that
// it repeats is the same one, with that address in it.
func FuzzVia(f *testing.F) {
	for _, v := range values(f, Via) {
		f.Add(v)
	}
	for _, s := range []string{"SIP/2.0/UDP h;rport;branch=z9hG4bK1", "SIP / 2.0 / TCP [::1]:9 ; branch = x ; rport =", "SIP/2.0/UDP h;received=192.0.2.1;maddr=192.0.2.2;ttl=1", "SIP/2.0/UDP h;;", "SIP/2.0/UDP h, SIP/2.0/UDP i", "SIP/2.0/UDP h;rport=1;branch=\"a;b\""} {
		f.Add(s)
	}
	source := netip.MustParseAddrPort("127.0.0.1:40000")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, "\r\n\x00") {
			return
		}
		hop, ok := viaOf(s)
		if !ok {
			return
		}
		if to := hop.ReplyTo(source); to.Addr() != source.Addr() || hop.Rport && to != source {
			t.Fatalf("%q sends the answer to %v", s, to)
		}
		out := string(hop.appendTo(nil, source))
		again, ok := viaOf(out)
		if !ok || !bytes.Equal(again.Branch, hop.Branch) || !bytes.Equal(again.Host, hop.Host) || again.Port != hop.Port {
			t.Fatalf("%q is repeated as %q", s, out)
		}
		if hop.Fault == nil && string(hop.Host) != "127.0.0.1" && !strings.Contains(out, ";received=127.0.0.1") {
			t.Fatalf("%q is repeated as %q", s, out)
		}
		if hop.Rport && again.Rport {
			t.Fatalf("%q: rport is not filled in: %q", s, out)
		}
	})
}

func viaOf(s string) (Hop, bool) {
	m := Message{Fields: []Field{{ID: Via, Value: trim([]byte(s))}}}
	m.first[Via], m.count[Via] = 1, 1
	h, err := m.Top()
	return h, err == nil
}
