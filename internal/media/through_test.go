package media

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

const begins = "v=0\r\no=alice 1 2 IN IP4 192.168.7.9\r\ns=Talk\r\nc=IN IP4 10.9.8.7\r\nt=0 0\r\n"

func herePort(i int) uint16 { return uint16(40100 + 2*i) }

func TestThrough(t *testing.T) {
	to := Place{Addr: netip.MustParseAddr("127.0.0.1"), Port: herePort}
	const ours = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=Talk\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
	for _, tc := range []struct{ name, in, out string }{
		{"plain", begins + "m=audio 5004 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n",
			ours + "m=audio 40100 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"},
		{"every hidden address", begins + "a=ice-ufrag:x\r\na=group:BUNDLE a b\r\na=tool:10.0.0.1\r\n" +
			"m=audio 5004 RTP/AVP 0\r\nc=IN IP4 172.16.0.3\r\na=rtcp:5009 IN IP4 172.16.0.3\r\na=candidate:1 1 UDP 1 10.1.1.1 5004 typ host\r\n" +
			"a=altc:1 IP6 2001:db8::1 5004\r\na=ssrc:1 cname:alice@10.2.3.4\r\na=x-version:10.2.3.4\r\na=ice-pwd:y\r\na=ccap:1 IN IP4 10.0.0.9\r\n",
			ours + "m=audio 40100 RTP/AVP 0\r\n"},
		{"keys of the phones stay", begins + "m=audio 5004 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\na=zrtp-hash:1.10 ab01\r\n" +
			"a=fingerprint:SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB\r\na=rtcp-mux\r\n",
			ours + "m=audio 40100 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\na=zrtp-hash:1.10 ab01\r\n" +
				"a=fingerprint:SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB\r\na=rtcp-mux\r\n"},
		{"fax beside speech", begins + "m=image 5010 udptl t38\r\nm=audio 5004 RTP/AVP 8\r\nm=message 5012 TCP/MSRP *\r\n",
			ours + "m=image 0 udptl t38\r\nm=audio 40102 RTP/AVP 8\r\nm=message 0 TCP/MSRP *\r\n"},
		{"video", begins + "m=audio 5004 RTP/AVP 0\r\nm=video 5006 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
			ours + "m=audio 40100 RTP/AVP 0\r\nm=video 40102 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"},
		{"old hold", begins + "m=audio 5004 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n",
			ours + "m=audio 40100 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n"},
		{"a stream taken out", begins + "m=audio 0 RTP/AVP 0\r\n", ours + "m=audio 0 RTP/AVP 0\r\n"},
		{"several ports, multicast", begins + "m=audio 5004/2 RTP/AVP 0\r\nm=audio 5004 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\nm=audio 5008 RTP/AVP 0\r\n",
			ours + "m=audio 0 RTP/AVP 0\r\nm=audio 0 RTP/AVP 0\r\nm=audio 40104 RTP/AVP 0\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := Through([]byte(tc.in), to)
			if err != nil || string(got) != tc.out {
				t.Errorf("%v\n%s\nwant\n%s", err, got, tc.out)
			}
		})
	}
}

func TestThroughTellsWhatStreamsNeed(t *testing.T) {
	in := begins + "m=audio 5004 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\na=rtcp:6000\r\nm=video 7000 RTP/AVPF 97\r\nc=IN IP4 10.9.8.7\r\na=rtpmap:97 VP8/90000\r\n"
	_, got, err := Through([]byte(in), Place{Addr: netip.MustParseAddr("::1"), Port: herePort})
	if err != nil || len(got) != 2 {
		t.Fatal(err, got)
	}
	a, v := got[0], got[1]
	if a.Addr.String() != "10.9.8.7" || a.Port != 5004 || a.RTCP != 6000 || a.Clocks[96] != 48000 || a.Clocks[0] != 8000 || a.Bytes != 192000+250*64 {
		t.Errorf("%v %d %d %d %d", a.Addr, a.Port, a.RTCP, a.Clocks[96], a.Bytes)
	}
	if v.Index != 1 || v.Addr.String() != "10.9.8.7" || v.RTCP != 7001 || v.Packets != videoPackets {
		t.Errorf("%+v", v)
	}
}

func TestThroughRefuses(t *testing.T) {
	to := Place{Addr: netip.MustParseAddr("127.0.0.1"), Port: herePort}
	for _, tc := range []struct {
		name, in string
		want     error
	}{
		{"only fax", begins + "m=image 5010 udptl t38\r\n", ErrNotCarried},
		{"only TCP", begins + "m=audio 9 TCP/RTP/AVP 0\r\n", ErrNotCarried},
		{"a line that is none", begins + "m=image udptl t38\r\n", ErrMalformed},
		{"too many lines", begins + strings.Repeat("m=audio 5004 RTP/AVP 0\r\n", 17), ErrNotCarried},
		{"impossible port", begins + "m=audio 70000 RTP/AVP 0\r\n", ErrMalformed},
		{"no description", "hello", ErrMalformed},
		{"too long", begins + "m=audio 1 RTP/AVP 0\r\n" + strings.Repeat("a=x\r\n", MaxSDP), ErrTooLong},
	} {
		if _, _, err := Through([]byte(tc.in), to); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if _, _, err := Through([]byte(begins+"m=image 5010 udptl t38\r\nm=audio 0 RTP/AVP 0\r\n"), to); err == nil || !strings.HasSuffix(err.Error(), ": image over udptl") {
		t.Errorf("it is not said what cannot be carried: %v", err)
	}
	none := Place{Addr: to.Addr, Port: func(int) uint16 { return 0 }}
	if _, _, err := Through([]byte(begins+"m=audio 5004 RTP/AVP 0\r\n"), none); !errors.Is(err, ErrNotCarried) {
		t.Errorf("no port left: %v", err)
	}
	out, streams, err := Through([]byte(begins+strings.Repeat("m=audio 5004 RTP/AVP 0\r\n", 6)), to)
	if err != nil || len(streams) != MaxStreams || strings.Count(string(out), "m=audio 0 ") != 2 {
		t.Errorf("six streams: %v %d\n%s", err, len(streams), out)
	}
}

// A stranger writes the description. What comes out is a description with as
// many streams, names no address but the place, and goes through unchanged.
func FuzzThrough(f *testing.F) {
	f.Add([]byte(linphoneOffer))
	f.Add([]byte(begins + "m=audio 5004/3 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\na=x:10.0.0.1\r\nm=image 1 udptl t38\r\n"))
	to := Place{Addr: netip.MustParseAddr("192.0.2.7"), Port: herePort}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, streams, err := Through(in, to)
		if err != nil {
			return
		}
		before, _ := parse(in)
		d, err := parse(out)
		if err != nil {
			t.Fatalf("%v\n%q", err, out)
		}
		if len(before.MediaDescriptions) != len(d.MediaDescriptions) {
			t.Fatalf("streams lost\n%q\n%q", in, out)
		}
		for i, m := range d.MediaDescriptions {
			st := slices.IndexFunc(streams, func(s Stream) bool { return s.Index == i })
			if want := int(herePort(i)); st >= 0 && m.MediaName.Port.Value != want || st < 0 && m.MediaName.Port.Value != 0 {
				t.Fatalf("stream %d at port %d\n%q", i, m.MediaName.Port.Value, out)
			}
			onlyPlace(t, m.ConnectionInformation, m.Attributes, true)
		}
		onlyPlace(t, d.ConnectionInformation, d.Attributes, false)
		again, _, err := Through(out, to)
		if err != nil || string(again) != string(out) {
			t.Fatalf("not a fixed point: %v\n%q\n%q", err, out, again)
		}
	})
}

func onlyPlace(t *testing.T, c *sdp.ConnectionInformation, attrs []sdp.Attribute, mayLack bool) {
	t.Helper()
	if c == nil && !mayLack || c != nil && c.Address.Address != "192.0.2.7" && c.Address.Address != "0.0.0.0" {
		t.Fatalf("connection %v", c)
	}
	for _, a := range attrs {
		if namesAddress(a.Value) {
			t.Fatalf("attribute %v", a)
		}
	}
}
