package media

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
)

var local = netip.MustParseAddr("127.0.0.1")

func newEcho(t *testing.T, cfg EchoConfig) *Echo {
	t.Helper()
	if cfg.MinPort == 0 {
		cfg.MinPort, cfg.MaxPort = 42000, 42399
	}
	e, err := NewEcho(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func open(t *testing.T, e *Echo) *EchoSession {
	t.Helper()
	s, err := e.Open(local, local)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAnswer(t *testing.T) {
	s := open(t, newEcho(t, EchoConfig{}))
	const begin = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
	for _, tc := range []struct {
		name, offer string
		has         []string
		err         error
	}{
		{"static types", begin + "m=audio 4000 RTP/AVP 0 8 18\r\n", []string{"RTP/AVP 0 8\r\n", "a=sendrecv"}, nil},
		{"dynamic", begin + "m=audio 4000 RTP/AVPF 96 97 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 pcma/8000/1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:30\r\n",
			[]string{"RTP/AVPF 97 101\r\n", "a=rtpmap:97 PCMA/8000", "a=fmtp:101 0-15", "a=ptime:30"}, nil},
		{"video refused beside", begin + "m=video 4002 RTP/AVP 99\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4004 RTP/AVP 0\r\n",
			[]string{"m=video 0 RTP/AVP 99\r\nm=audio ", "m=audio 0 RTP/AVP 0\r\n"}, nil},
		{"held for the session", begin + "a=inactive\r\nm=audio 4000 RTP/AVP 0\r\n", []string{"a=inactive"}, nil},
		{"held by us", begin + "m=audio 4000 RTP/AVP 0\r\na=recvonly\r\n", []string{"a=sendonly"}, nil},
		{"no offer", "", []string{"RTP/AVP 0 8 101\r\n"}, nil},
		{"a type that only looks like one of ours", begin + "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 G729/8000\r\n", nil, ErrNoCodec},
		{"DTMF alone", begin + "m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n", nil, ErrNoCodec},
		{"encrypted", begin + "m=audio 4000 RTP/SAVP 0\r\n", nil, ErrNoCodec},
		{"no stream", begin, nil, ErrNoCodec},
		{"nonsense", "v=0\r\no=broken\r\n", nil, ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := s.Answer([]byte(tc.offer))
			if !errors.Is(err, tc.err) {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			var d sdp.SessionDescription
			if err := d.Unmarshal(got); err != nil {
				t.Errorf("%v\n%s", err, got)
			}
			for _, want := range tc.has {
				if !strings.Contains(string(got), want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(linphoneOffer))
	f.Add([]byte("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\na=rtpmap:8 PCMA/8000\r\n"))
	e, err := NewEcho(EchoConfig{MinPort: 42400, MaxPort: 42599})
	if err != nil {
		f.Fatal(err)
	}
	s, err := e.Open(local, local)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	// A stranger writes the offer. What is answered is a session description
	// with as many streams as were offered, one of them ours.
	f.Fuzz(func(t *testing.T, offer []byte) {
		got, err := s.Answer(offer)
		if err != nil || len(offer) == 0 {
			return
		}
		in, err := parse(offer)
		if err != nil {
			t.Fatal(err)
		}
		out, err := parse(got)
		if err != nil {
			t.Fatalf("%v\n%q", err, got)
		}
		open := 0
		for _, m := range out.MediaDescriptions {
			if m.MediaName.Port.Value != 0 {
				open++
			}
		}
		if len(in.MediaDescriptions) != len(out.MediaDescriptions) || open != 1 {
			t.Fatalf("%q\n%q", offer, got)
		}
	})
}

func TestEcho(t *testing.T) {
	var mu sync.Mutex
	dropped := map[string]int{}
	e := newEcho(t, EchoConfig{Refused: func(r string) { mu.Lock(); dropped[r]++; mu.Unlock() }})
	s := open(t, e)
	if _, err := s.Answer([]byte("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.8\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	phone, stranger, otherHost := dial(t, s, "127.0.0.8"), dial(t, s, "127.0.0.1"), dial(t, s, "127.0.0.9")

	send(t, otherHost, packet(0, 1))
	send(t, phone, []byte("not RTP, but long enough"))
	send(t, phone, packet(18, 2)) // a payload type that was not agreed
	send(t, phone, packet(0, 3))
	if got := receive(t, phone); got.SequenceNumber != 3 || got.SSRC == 7 || got.PayloadType != 0 {
		t.Errorf("%+v", got.Header)
	}
	send(t, stranger, packet(0, 4)) // another port, once the phone's is known
	send(t, phone, packet(0, 5))
	if got := receive(t, phone); got.SequenceNumber != 5 {
		t.Errorf("%+v", got.Header)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if dropped[RefusedStranger] != 2 || dropped[RefusedNotRTP] != 2 {
		t.Errorf("%v", dropped)
	}
}

// More than a codec can need does not come back.
func TestEchoRate(t *testing.T) {
	s := open(t, newEcho(t, EchoConfig{}))
	s.types[0] = true
	passed := 0
	from := netip.AddrPortFrom(local, 9)
	for range 2000 {
		if s.turn(packet(0, 1), from) == "" {
			passed++
		}
	}
	if passed < 250 || passed > 500 {
		t.Errorf("%d of 2000 passed at once", passed)
	}
}

func TestEchoPlaces(t *testing.T) {
	e := newEcho(t, EchoConfig{MinPort: 42600, MaxPort: 42603, MaxSessions: 3})
	one, two := open(t, e), open(t, e)
	if one.Addr().Port()%2 != 0 || one.Addr() == two.Addr() {
		t.Errorf("%v %v", one.Addr(), two.Addr())
	}
	if _, err := e.Open(local, local); !errors.Is(err, ErrBusy) {
		t.Errorf("a third port of two: %v", err)
	}
	_ = one.Close()
	_ = one.Close() // again: gives back no second place
	open(t, e)
	if _, err := e.Open(local, local); !errors.Is(err, ErrBusy) {
		t.Errorf("a third port of two: %v", err)
	}
	if _, err := NewEcho(EchoConfig{MinPort: 10, MaxPort: 9}); err == nil {
		t.Error("an empty range of ports")
	}
}

func packet(payloadType uint8, seq uint16) []byte {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: payloadType, SequenceNumber: seq, SSRC: 7}, Payload: make([]byte, 160)}
	b, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	return b
}

func dial(t *testing.T, s *EchoSession, from string) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c *net.UDPConn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *net.UDPConn) (p rtp.Packet) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 2048)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Unmarshal(buf[:n]); err != nil {
		t.Fatal(err)
	}
	return p
}
