package media

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// What honest phones say goes through, and what hides a second address does not.
func TestHiddenAddresses(t *testing.T) {
	const head = "v=0\r\no=alice 1 2 IN IP4 192.168.7.9\r\ns=Talk\r\n"
	const session = head + "c=IN IP4 10.9.8.7\r\nt=0 0\r\n"
	const audio, video = "m=audio 5004 RTP/AVP 0\r\n", "m=video 5006 RTP/AVP 96\r\n"
	to := Place{Addr: netip.MustParseAddr("127.0.0.1"), Port: herePort}
	for _, tc := range []struct {
		name, in, why string // why: of a refusal, "" = goes through
		err           error
	}{
		// Honest.
		{"plain", session + audio + video, "", nil},
		{"o= is another host", strings.Replace(session, "192.168.7.9", "pc.lan", 1) + audio, "", nil},
		{"each stream says where it is", head + "t=0 0\r\n" + audio + "c=IN IP4 10.9.8.7\r\n" + video + "c=IN IP4 10.9.8.7\r\n", "", nil},
		{"the stream's c= counts", session + audio + "c=IN IP4 10.9.8.8\r\n", "", nil},
		{"one stream on hold", session + audio + video + "c=IN IP4 0.0.0.0\r\n", "", nil},
		{"a stream that is refused", session + audio + "m=video 0 RTP/AVP 96\r\nc=IN IP4 10.9.8.8\r\n", "", nil},
		{"loopback by two names", head + "c=IN IP4 localhost\r\nt=0 0\r\n" + audio + "c=IN IP4 127.0.0.1\r\n" + video, "", nil},
		{"Linphone with ICE", linphoneOffer + "a=candidate:2 1 UDP 1694498815 203.0.113.4 40001 typ srflx raddr 10.9.8.7 rport 7078\r\na=ice-ufrag:x\r\n", "", nil},
		{"a=rtcp as a port", session + audio + "a=rtcp:5005\r\n", "", nil},
		{"a=rtcp at home", session + audio + "a=rtcp:5005 IN IP4 10.9.8.7\r\n", "", nil},
		{"a=rtcp at a candidate", session + audio + "a=rtcp:5005 IN IP4 203.0.113.4\r\na=candidate:1 2 UDP 1 203.0.113.4 5005 typ srflx\r\n", "", nil},
		{"a=rtcp of one who holds", head + "c=IN IP4 0.0.0.0\r\nt=0 0\r\n" + audio + "a=rtcp:5005 IN IP4 10.9.8.7\r\n", "", nil},
		{"X-Lite's alternatives", session + audio + "a=alt:1 2 : abc def 192.168.1.2 5004\r\n", "", nil},
		{"two families", session + audio + "a=altc:1 IP4 10.9.8.7 5004\r\na=altc:2 IP6 2001:db8::1 5004\r\n", "", nil},
		{"a CNAME", session + audio + "a=ssrc:1 cname:alice@10.2.3.4 5\r\n", "", nil},
		{"capabilities", session + audio + "a=tcap:1 RTP/SAVP\r\na=ccap:1 IN IP4 10.0.0.9\r\n", "", nil},
		{"a version", session + audio + "a=x-firmware:10.2.3.4\r\n", "", nil},
		{"keys", session + audio + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n", "", nil},
		// Hidden.
		{"a second c= of a stream", session + audio + "c=IN IP4 10.9.8.7\r\nc=IN IP4 203.0.113.4\r\n", "two c= lines", ErrHidden},
		{"c= after attributes, again", session + audio + "c=IN IP4 10.9.8.7\r\na=sendrecv\r\nc=IN IP4 203.0.113.4\r\n", "two c= lines", ErrHidden},
		{"streams at two hosts", session + audio + video + "c=IN IP4 203.0.113.4\r\n", "different hosts", ErrHidden},
		{"at two families' hosts", session + audio + video + "c=IN IP6 2001:db8::2\r\n", "different hosts", ErrHidden},
		{"at a host by name", session + audio + video + "c=IN IP4 victim.example\r\n", "different hosts", ErrHidden},
		{"at this host beside another", session + audio + video + "c=IN IP4 127.0.0.1\r\n", "different hosts", ErrHidden},
		{"RTCP elsewhere", session + audio + "a=rtcp:53 IN IP4 203.0.113.4\r\n", "a=rtcp leads", ErrHidden},
		{"RTCP elsewhere by name", session + audio + "a=rtcp:53 IN IP4 victim.example\r\n", "a=rtcp leads", ErrHidden},
		{"an unknown attribute", session + audio + "a=x-media:IN IP4 203.0.113.4\r\n", "in a=x-media", ErrHidden},
		{"of the session", session + "a=x-also:203.0.113.4:5004\r\n" + audio, "in a=x-also", ErrHidden},
		{"IPv6", session + audio + "a=x-odd:[2001:db8::5]:99\r\n", "in a=x-odd", ErrHidden},
		{"a format's parameter", session + audio + "a=fmtp:0 relay=203.0.113.4 5004\r\n", "in a=fmtp", ErrHidden},
		// Neither.
		{"a second c= of the session", strings.Replace(session, "t=", "c=IN IP4 203.0.113.4\r\nt=", 1) + audio, "", ErrMalformed},
		{"a description after the description", session + audio + session + audio, "", ErrMalformed},
		{"a line for some readers", session + audio + " c=IN IP4 203.0.113.4\r\n", "", ErrMalformed},
		{"an upper-case line", session + audio + "C=IN IP4 203.0.113.4\r\n", "", ErrMalformed},
		{"half a line end", session + audio + "a=x\rc=IN IP4 203.0.113.4\r\n", "", ErrMalformed},
	} {
		out, _, err := Through([]byte(tc.in), to)
		if !errors.Is(err, tc.err) || err != nil && !strings.Contains(err.Error(), tc.why) {
			t.Errorf("%s: %v, want %v because of %q", tc.name, err, tc.err, tc.why)
		}
		for _, leak := range []string{"10.9.8", "203.0.113", "192.168", "victim", "10.2.3.4", "2001:db8"} {
			if strings.Contains(string(out), leak) {
				t.Errorf("%s: %s is in\n%s", tc.name, leak, out)
			}
		}
		if tc.err == nil && err == nil {
			if again, _, err := Through(out, to); err != nil || string(again) != string(out) {
				t.Errorf("%s: the other adapter refuses or changes it: %v", tc.name, err)
			}
		}
		// Where phones meet, the same is passed on and refused.
		once, _, err := ReplaceLoopback([]byte(tc.in), netip.MustParseAddr("10.9.8.7"))
		if !errors.Is(err, tc.err) {
			t.Errorf("%s, carried: %v", tc.name, err)
		} else if err == nil && Check(once) != nil {
			t.Errorf("%s, carried: the other adapter refuses it: %v", tc.name, Check(once))
		}
	}
}
