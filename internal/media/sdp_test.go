package media

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const linphoneOffer = "v=0\r\no=alice 3034 2118 IN IP4 127.0.0.1\r\ns=Talk\r\nc=IN IP4 127.0.0.1\r\n" +
	"t=0 0\r\na=ice-pwd:x\r\nm=audio 7078 RTP/AVP 0 8 101\r\nc=IN IP4 127.0.0.1\r\n" +
	"a=rtpmap:101 telephone-event/8000\r\na=rtcp:7079 IN IP4 127.0.0.1\r\n" +
	"a=candidate:1 1 UDP 2130706303 127.0.0.1 7078 typ host\r\na=rtcp-fb:* ccm tmmbr\r\n"

func TestReplaceLoopback(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	for _, tc := range []struct {
		name, in, out string
		to            netip.Addr
		n             int
	}{
		{"all places", linphoneOffer, strings.ReplaceAll(linphoneOffer, "127.0.0.1", "192.0.2.7"), v4, 5},
		{"to IPv6", "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n",
			"v=0\r\no=- 1 1 IN IP6 2001:db8::7\r\ns=-\r\nc=IN IP6 2001:db8::7\r\nt=0 0\r\n", v6, 2},
		{"from IPv6", "v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\n",
			"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n", v4, 2},
		{"hold stays", "v=0\no=- 1 1 IN IP4 198.51.100.1\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\n",
			"v=0\no=- 1 1 IN IP4 198.51.100.1\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\n", v4, 0},
		{"localhost", "v=0\no=- 1 1 IN IP4 localhost\ns=-\nc=IN IP4 127.8.9.1\nt=0 0\n",
			"v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n", v4, 2},
		{"names in text stay", "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=c=IN IP4 127.0.0.1\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n",
			"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=c=IN IP4 127.0.0.1\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n", v4, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, n, err := ReplaceLoopback([]byte(tc.in), tc.to)
			if err != nil || n != tc.n || string(got) != tc.out {
				t.Errorf("got %d %v\n%q\nwant %d\n%q", n, err, got, tc.n, tc.out)
			}
		})
	}
}

func TestReplaceLoopbackRefuses(t *testing.T) {
	to := netip.MustParseAddr("192.0.2.7")
	for _, tc := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrMalformed},
		{"not sdp", "<xml/>", ErrMalformed},
		{"bare CR hides a line", "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\rc=IN IP4 127.0.0.1\r\nt=0 0\r\n", ErrMalformed},
		{"NUL", "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=\x00\r\nt=0 0\r\n", ErrMalformed},
		{"too long", linphoneOffer + strings.Repeat("a=x\r\n", MaxSDP), ErrTooLong},
	} {
		if _, _, err := ReplaceLoopback([]byte(tc.in), to); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

// A stranger writes the session description. Whatever it is, rewriting must
// not crash; what it accepts has no loopback address left, is still a session
// description, and rewriting it again changes nothing.
func FuzzReplaceLoopback(f *testing.F) {
	f.Add([]byte(linphoneOffer))
	f.Add([]byte("v=0\no=- 1 1 IN IP6 ::1\ns=-\nc=IN IP6 ::1/127\nt=0 0\n"))
	f.Add([]byte("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=rtcp:1 IN IP4 localhost\r\n"))
	to := netip.MustParseAddr("192.0.2.7")
	f.Fuzz(func(t *testing.T, in []byte) {
		out, n, err := ReplaceLoopback(in, to)
		if err != nil {
			return
		}
		if n == 0 && !bytes.Equal(in, out) {
			t.Fatal("changed without saying so")
		}
		again, n, err := ReplaceLoopback(out, to)
		if err != nil || n != 0 || !bytes.Equal(again, out) {
			t.Fatalf("not a fixed point: %d %v\n%q\n%q", n, err, out, again)
		}
	})
}
