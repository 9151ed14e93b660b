package carry

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/media"
)

// bodied is a request with a body.
func bodied(t testing.TB, fields, body string) *parsed {
	t.Helper()
	p, err := read(fmt.Appendf(nil, "INVITE sip:bob@lan.example SIP/2.0\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n%sContent-Length: %d\r\n\r\n%s",
		fields, len(body), body), true)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	mixed = "Content-Type: multipart/mixed;boundary=\"b 1\"\r\n"
	parts = "--b 1\r\nContent-Type: application/sdp\r\n\r\n" + offer + "\r\n--b 1\r\nContent-Id: <x>\r\nContent-Type: application/pidf+xml\r\n\r\n<where/>\r\n--b 1--\r\n"
)

func upper(b []byte) ([]byte, error) { return bytes.ToUpper(b), nil }

func TestBodiesAreRewrittenWhereverADescriptionStands(t *testing.T) {
	for _, tc := range []struct {
		name, fields, body, want string
		strict                   bool
		err                      error
	}{
		{"none", "", "", "", true, nil},
		{"description", "Content-Type: Application/SDP;x=y\r\n", "v=0", "V=0", true, nil},
		{"short form", "c: application/sdp\r\n", "v=0", "V=0", true, nil},
		{"text", "Content-Type: text/plain\r\n", "hello", "hello", true, nil},
		{"parts", mixed, parts, strings.Replace(parts, offer, strings.ToUpper(offer), 1), true, nil},
		{"plainly encoded", "Content-Type: application/sdp\r\nContent-Encoding: identity\r\n", "v=0", "V=0", true, nil},
		{"gzip", "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "v=0", "", true, errBodyType},
		{"gzip, short", "c: application/sdp\r\ne: gzip\r\n", "v=0", "", true, errBodyType},
		{"candidates", "Content-Type: application/trickle-ice-sdpfrag\r\n", "a=candidate", "", true, errBodyType},
		{"no type", "", "v=0", "", true, errBodyType},
		{"no type, from phone to phone", "", "v=0", "v=0", false, nil},
		{"parts in parts", mixed, strings.Replace(parts, "application/sdp", "multipart/alternative", 1), "", true, errBodyType},
		{"base64", mixed, strings.Replace(parts, "application/sdp", "application/sdp\r\nContent-Transfer-Encoding: base64", 1), "", true, errBodyType},
		{"no boundary", "Content-Type: multipart/mixed\r\n", parts, "", true, ErrMalformed},
		{"no end", mixed, parts[:len(parts)-6], "", true, ErrMalformed},
		{"too many parts", mixed, strings.Repeat("--b 1\r\nContent-Type: text/plain\r\n\r\nx\r\n", 9) + "--b 1--\r\n", "", true, ErrMalformed},
	} {
		got, err := rewriteBody(bodied(t, tc.fields, tc.body), upper, tc.strict)
		if !errors.Is(err, tc.err) || err == nil && strings.TrimSpace(string(got)) != strings.TrimSpace(tc.want) {
			t.Errorf("%s: %v\n%q\nwant %q", tc.name, err, got, tc.want)
		}
	}
}

// A phone or another adapter's owner writes the body. On the protected path
// nothing of a description that stands in it survives unseen: every address in
// what comes out is the relay's, also to those who read parts differently.
func FuzzRewriteBody(f *testing.F) {
	f.Add("application/sdp", offer)
	f.Add(`multipart/mixed;boundary="b 1"`, parts)
	f.Add("multipart/mixed; boundary=b", "--b\r\n\r\nx\r\n--b\r\nContent-Type: APPLICATION/SDP\r\n\r\n"+offer+"\r\n--b--")
	to := media.Place{Addr: netip.MustParseAddr("192.0.2.7"), Port: func(int) uint16 { return 9 }}
	through := func(b []byte) ([]byte, error) { out, _, err := media.Through(b, to); return out, err }
	f.Fuzz(func(t *testing.T, kind, body string) {
		if !plain(kind) || len(kind) > 200 || strings.TrimSpace(kind) != kind {
			return
		}
		data := fmt.Appendf(nil, "INVITE sip:bob@lan.example SIP/2.0\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(body), body)
		p, err := read(data, true)
		if err != nil {
			return
		}
		out, err := rewriteBody(p, through, true)
		if err != nil {
			return
		}
		switch t1 := mediaType(kind); {
		case t1 == "application/sdp":
			if again, err := through(out); len(out) > 0 && (err != nil || !bytes.Equal(again, out)) {
				t.Fatalf("%v\n%q\n%q", err, out, again)
			}
		case strings.HasPrefix(t1, "multipart/") && len(body) > 0:
			p.Body = out
			again, err := rewriteBody(p, through, true)
			if err != nil || !bytes.Equal(again, out) {
				t.Fatalf("not a fixed point: %v\n%q\n%q", err, out, again)
			}
		}
	})
}

func TestReports(t *testing.T) {
	want := report{1 << 40, 7, 1234000}
	got, err := readReport(want.bytes())
	if err != nil || got != want {
		t.Errorf("%v %+v", err, got)
	}
	for _, b := range [][]byte{nil, want.bytes()[1:], append(want.bytes(), 0), bytes.Repeat([]byte{255}, reportLength)} {
		if _, err := decodeFrame(frame{kindReport, 0, b}.bytes()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", b, err)
		}
	}
}
