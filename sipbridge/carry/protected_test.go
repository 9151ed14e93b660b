package carry

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/media/relay"
)

// mediaTunnel is a tunnel of a protected call.
type mediaTunnel struct {
	*memTunnel
	over relay.Carrier
}

func (m mediaTunnel) Media() (relay.Carrier, [32]byte) { return m.over, [32]byte{1} }

// shielded is a protected call that rings bob's phone; a test plays the tunnel
// and the phone.
func shielded(t *testing.T) (*call, *record) {
	t.Helper()
	c, r := still(t, true)
	media, err := relay.New(relay.Config{MinPort: 47000})
	if err != nil {
		t.Fatal(err)
	}
	near, _ := media.Pair()
	c.e.cfg.Relay, c.info.Path = media, PathProtected
	if err := c.openMedia(mediaTunnel{c.tunnel.t.(*memTunnel), near}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.media.Close() })
	c.targets = []Target{{"sip:bob@127.0.0.1:5072", phoneFlow}}
	return c, r
}

func withSDP(method, to, cseq, kind, sdp string) []byte {
	head := strings.TrimSuffix(wire(method, "m", to, cseq), "Content-Length: 0\r\n\r\n")
	return []byte(fmt.Sprintf("%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", head, kind, len(sdp), sdp))
}

const fax = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=image 4000 udptl t38\r\n"

// sentTo returns the next frame for the tunnel.
func sentTo(t *testing.T, c *call) string {
	t.Helper()
	select {
	case b := <-c.tunnel.out:
		return string(b[frameHead:])
	default:
		t.Fatal("nothing is sent through the tunnel")
		return ""
	}
}

func TestAProtectedCallTellsTheOtherSideNoAddress(t *testing.T) {
	for _, kind := range []string{"application/sdp", `multipart/mixed;boundary="b 1"`} {
		c, r := shielded(t)
		body, want := offer, 1
		if kind != "application/sdp" {
			body, want = parts, 3
		}
		c.fromTunnel(frame{kindRequest, 1, withSDP("INVITE", "", "1", kind, body)}.bytes())
		rung := string(r.sent[0])
		if !strings.Contains(rung, "m=audio 470") || strings.Contains(rung, "m=audio 4000") || !strings.Contains(rung, "c=IN IP4 127.0.0.1") || strings.Count(rung, "Content-Type") != want ||
			!strings.Contains(rung, `P-Asserted-Identity: "alice" <sip:alice@lan.example>`) || !strings.Contains(rung, `From: "alice" <`) {
			t.Errorf("bob's phone gets\n%s", rung)
		}
		answer := strings.ReplaceAll(offer, "127.0.0.1", "10.11.12.13") + "a=candidate:1 1 UDP 1 10.11.12.13 4000 typ host\r\na=rtcp:4001 IN IP4 10.11.12.13\r\n"
		ok := "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=" + c.forks[0].t.branch + "\r\nFrom: <sip:alice@x>;tag=m\r\nTo: <sip:bob@x>;tag=b\r\nCall-ID: signed\r\nCSeq: 1 INVITE\r\n" +
			"Contact: <sip:bob@10.11.12.13:5072>\r\nContent-Type: application/sdp\r\nContent-Length: " + strconv.Itoa(len(answer)) + "\r\n\r\n" + answer
		p, err := read([]byte(ok), true)
		if err != nil {
			t.Fatal(err)
		}
		c.answered(phoneFlow, p)
		if got := sentTo(t, c); strings.Contains(got, "10.11.12.13") || strings.Contains(got, "4000") || strings.Contains(got, "5072") || !strings.Contains(got, "m=audio 9 RTP/AVP 0") {
			t.Errorf("the other side gets\n%s", got)
		}
	}
}

func TestWhatAProtectedCallCannotCarryIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name, kind, body, status string
	}{
		{"fax", "application/sdp", fax, "SIP/2.0 488 "},
		{"fax in a part", `multipart/mixed;boundary="b 1"`, strings.Replace(parts, offer, fax, 1), "SIP/2.0 488 "},
		{"nonsense", "application/sdp", "v=0\r\nhello", "SIP/2.0 400 "},
		{"absurdly long", "application/sdp", offer + strings.Repeat("a=x\r\n", 4000), "SIP/2.0 400 "},
		{"RTCP elsewhere", "application/sdp", offer + "a=rtcp:53 IN IP4 203.0.113.4\r\n", "SIP/2.0 488 "},
		{"a second description", `multipart/mixed;boundary="b 1"`, strings.Replace(parts, "application/pidf+xml", "application/sdp", 1), "SIP/2.0 488 "},
		{"candidates", "application/trickle-ice-sdpfrag", "a=candidate:1", "SIP/2.0 415 "},
	} {
		c, r := shielded(t)
		c.fromTunnel(frame{kindRequest, 1, withSDP("INVITE", "", "1", tc.kind, tc.body)}.bytes())
		if len(r.sent) > 0 {
			t.Errorf("%s: the phone gets\n%s", tc.name, r.sent[0])
		}
		if got := sentTo(t, c); !strings.HasPrefix(got, tc.status) || !strings.Contains(got, "Warning: 399") || !c.over {
			t.Errorf("%s: %v\n%s", tc.name, c.over, got)
		}
	}
	// Within a call only the request fails.
	c, r := shielded(t)
	up(t, c)
	sentTo(t, c)
	before := len(r.sent)
	c.fromTunnel(frame{kindRequest, 2, withSDP("INVITE", "b", "2", "application/sdp", fax)}.bytes())
	if got := sentTo(t, c); !strings.HasPrefix(got, "SIP/2.0 488 ") || c.over || len(r.sent) != before {
		t.Errorf("a change to fax: %v\n%s", c.over, got)
	}
	c.fromTunnel(frame{kindRequest, 3, withSDP("INVITE", "b", "3", "application/sdp", strings.Replace(offer, "c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0", 1))}.bytes())
	if got := string(r.sent[len(r.sent)-1]); !strings.Contains(got, "m=audio 470") || !strings.Contains(got, "c=IN IP4 0.0.0.0") {
		t.Errorf("hold reaches the phone as\n%s", got)
	}
}

// A protected call never becomes a carried one: a tunnel without media ends it.
func TestAProtectedCallNeedsATunnelForMedia(t *testing.T) {
	for _, with := range []*relay.Relay{nil, must(relay.New(relay.Config{}))} {
		c, _ := still(t, true)
		c.e.cfg.Relay, c.info.Path = with, PathProtected
		if err := c.openMedia(c.tunnel.t); err == nil || c.media != nil {
			t.Errorf("relay %v: %v", with != nil, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
