package carry

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

func echoConfig(t *testing.T) func(*Config) {
	return func(c *Config) {
		echo, err := media.NewEcho(media.EchoConfig{MinPort: 41000, MaxPort: 41199, MaxSessions: 2})
		if err != nil {
			t.Fatal(err)
		}
		c.Echo = echo
	}
}

// callEcho sends an INVITE to the echo test.
func callEcho(alice *phone, sdp string) error {
	alice.callID, alice.tag, alice.cseq = "call-echo", "tag-alice", 1
	alice.from, alice.to = "<sip:alice@127.0.0.1>", "<sip:echo@127.0.0.1>"
	alice.invite = "INVITE sip:echo@127.0.0.1 SIP/2.0\r\n" + alice.via() + "From: <sip:alice@127.0.0.1>;tag=tag-alice\r\nTo: <sip:echo@127.0.0.1>\r\nCall-ID: call-echo\r\nCSeq: 1 INVITE\r\nContact: <" + alice.contact + ">\r\n" + sdpBody(sdp)
	return alice.side.e.Echo(alice.flow(), []byte(alice.invite))
}

// TestEcho runs on real sockets: a second of a tone goes out and comes back.
func TestEcho(t *testing.T) {
	l := newLab(t, echoConfig(t))
	l.patience = 10 * time.Second
	defer l.end()
	alice := l.phone(l.a, "alice", "tcp", "127.0.0.1:5071")
	if err := callEcho(alice, strings.Replace(offer, "RTP/AVP 0", "RTP/AVP 96 0", 1)+"a=rtpmap:96 opus/48000/2\r\n"); err != nil {
		t.Fatal(err)
	}
	ok := alice.expect("SIP/2.0 200")
	alice.learn(ok)
	alice.inDialog("ACK", "", "")
	tone := media.Tone(440, 0, media.SampleRate)
	back := sendAndHear(t, ok, media.EncodeULaw(tone))
	if share := media.Detect(media.DecodeULaw(back), 440); share < 0.9 {
		t.Errorf("440 Hz has %.2f of what came back", share)
	}
	alice.inDialog("INVITE", "", offer+"a=sendonly\r\n")
	if re := alice.expect("SIP/2.0 200"); !strings.Contains(string(re.Raw), "a=recvonly") {
		t.Errorf("%s", re.Raw)
	}
	alice.inDialog("ACK", "", "")
	alice.inDialog("BYE", "", "")
	alice.expect("SIP/2.0 200")
}

// sendAndHear sends µ-law in packets of 20 ms where the answer says.
func sendAndHear(t *testing.T, answer *parsed, ulaw []byte) (back []byte) {
	t.Helper()
	_, rest, ok := strings.Cut(string(answer.Body), "m=audio ")
	if !ok {
		t.Fatalf("%s", answer.Raw)
	}
	port, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(port)
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 2048)
	for seq := 0; len(ulaw) >= 160; seq, ulaw = seq+1, ulaw[160:] {
		out := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(seq), Timestamp: uint32(seq * 160), SSRC: 7}, Payload: ulaw[:160]}
		b, _ := out.Marshal()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		k, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var in rtp.Packet
		if err := in.Unmarshal(buf[:k]); err != nil || in.SSRC == 7 || in.SequenceNumber != uint16(seq) {
			t.Fatalf("%v %+v", err, in.Header)
		}
		back = append(back, in.Payload...)
	}
	return back
}

func TestEchoRefuses(t *testing.T) {
	l := newLab(t, echoConfig(t))
	l.patience = 10 * time.Second
	defer l.end()
	alice := l.phone(l.a, "alice", "tcp", "127.0.0.1:5071")
	for i, tc := range []struct{ sdp, want string }{
		{strings.Replace(offer, "RTP/AVP 0", "RTP/AVP 18", 1), "488"},
		{strings.Replace(offer, "RTP/AVP 0", "RTP/SAVP 0", 1), "488"},
		{strings.Replace(offer, "audio 4000", "video 4000", 1), "488"},
	} {
		alice.n = 100 * i
		if err := callEcho(alice, tc.sdp); err != nil {
			t.Fatal(err)
		}
		alice.withinInvite("ACK", alice.expect("SIP/2.0 "+tc.want).toTag)
		waitFor(t, l.a.echoFree) // else a third call can find both places still taken
	}
	if err := callEcho(alice, "v=7\r\n"); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Error(err)
	}
}

// Places are given back, and the third call at once is refused.
func TestEchoPlaces(t *testing.T) {
	l := newLab(t, echoConfig(t))
	l.patience = 10 * time.Second
	defer l.end()
	for round := range 2 {
		var phones []*phone
		for i := range 2 {
			p := l.phone(l.a, fmt.Sprintf("p%d-%d", round, i), "tcp", fmt.Sprintf("127.0.0.1:%d", 5080+10*round+i))
			if err := callEchoAs(p); err != nil {
				t.Fatal(err)
			}
			p.learn(p.expect("SIP/2.0 200"))
			p.inDialog("ACK", "", "")
			phones = append(phones, p)
		}
		third := l.phone(l.a, "third", "tcp", fmt.Sprintf("127.0.0.1:%d", 5089+10*round))
		if err := callEchoAs(third); err != nil {
			t.Fatal(err)
		}
		third.expect("SIP/2.0 486")
		for _, p := range phones {
			p.inDialog("BYE", "", "")
			p.expect("SIP/2.0 200")
		}
		waitFor(t, func() bool { return len(l.a.e.Calls()) == 0 })
		waitFor(t, l.a.echoFree)
	}
}

// echoFree tells whether both places of the echo test are free.
func (s *side) echoFree() bool {
	one, err1 := s.e.cfg.Echo.Open(loopback, loopback)
	two, err2 := s.e.cfg.Echo.Open(loopback, loopback)
	for _, s := range []*media.EchoSession{one, two} {
		if s != nil {
			_ = s.Close()
		}
	}
	return err1 == nil && err2 == nil
}

func callEchoAs(p *phone) error {
	err := callEcho(p, offer)
	return err
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
	}
}

// The echo test's signalling in virtual time; its socket is not used. A lost
// ACK is asked for again, and the call ends by itself.
func TestEchoRepeatsAndEnds(t *testing.T) {
	echo := Config{}
	echoConfig(t)(&echo)
	synctest.Test(t, func(t *testing.T) {
		agent := &echoAgent{e: mustEngine(t), tag: "t", repeat: true, t: &localTunnel{
			toAgent: make(chan []byte, 16), toCall: make(chan []byte, 64), done: make(chan struct{})}}
		session, err := echo.Echo.Open(loopback, loopback)
		if err != nil {
			t.Fatal(err)
		}
		agent.session = session
		_ = session.Close() // so that nothing in the bubble waits for a socket
		done := make(chan struct{})
		go func() { agent.run(); close(done) }()
		invite := "INVITE sip:echo@x SIP/2.0\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:echo@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n" + sdpBody(offer)
		agent.t.toAgent <- frame{kindRequest, 1, []byte(invite)}.bytes()
		for i := range 11 { // RFC 3261 §13.3.1.4: 0, .5, 1.5, 3.5, 7.5, 11.5 … s, then BYE
			f, _ := decodeFrame(<-agent.t.toCall)
			p, err := readWire(f.payload)
			if err != nil {
				t.Fatal(err)
			}
			if p.IsRequest() {
				if p.method != "BYE" || i < 5 {
					t.Fatalf("%d: %s", i, p.Raw)
				}
				if p.field("Reason") == "" || p.Count(message.To) != 1 {
					t.Errorf("%s", p.Raw)
				}
				agent.t.toAgent <- frame{kindResponse, f.number, []byte("SIP/2.0 200 OK\r\nFrom: <sip:a@x>;tag=t\r\nTo: <sip:a@x>;tag=a\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n" + sdpBody(""))}.bytes()
				break
			}
		}
		<-done
	})
}

var loopback = netip.MustParseAddr("127.0.0.1")

func mustEngine(t *testing.T) *Engine {
	e, err := New(Config{Sender: &side{lab: &lab{t: t}}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
