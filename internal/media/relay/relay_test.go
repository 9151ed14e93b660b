package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/media"
)

var (
	secret = [32]byte{1, 2, 3}
	onHost = Leg{Local: loopback, Phone: loopback}
)

// counter counts refusals.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) count(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[reason]++
}

func (c *counter) of(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[reason]
}

func (c *counter) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

func newRelay(t testing.TB, cfg Config) (*Relay, *counter) {
	t.Helper()
	c := &counter{}
	cfg.Refused = c.count
	if cfg.MinPort == 0 {
		cfg.MinPort = 43000
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// wired is one end of a connection between two relays, and what crossed it.
type wired struct {
	to    *Relay
	other *wired
	mu    sync.Mutex
	seen  [][]byte
}

func wire(a, b *Relay) (atA, atB *wired) {
	atA, atB = &wired{to: b}, &wired{to: a}
	atA.other, atB.other = atB, atA
	return atA, atB
}

func (w *wired) SendDatagram(b []byte) error {
	w.mu.Lock()
	w.seen = append(w.seen, bytes.Clone(b))
	w.mu.Unlock()
	w.to.Receive(w.other, b)
	return nil
}

func (*wired) RTT() time.Duration { return time.Millisecond }

func open(t testing.TB, r *Relay, over Carrier, key [32]byte) *Session {
	t.Helper()
	s, err := r.Open(over, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func description(ports ...int) []byte {
	text := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
	for _, p := range ports {
		text += "m=audio " + strconv.Itoa(p) + " RTP/AVP 0 101\r\n"
	}
	return []byte(text)
}

// ports reads those of the m= lines.
func ports(t testing.TB, body []byte) (out []int) {
	t.Helper()
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "m="); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[1])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	return out
}

// phone is a pair of sockets, and the adapter's port for it.
type phone struct {
	rtp, rtcp *net.UDPConn
	to        int
}

func newPhone(t testing.TB) *phone {
	t.Helper()
	r, _ := newRelay(t, Config{MinPort: 46000})
	rtp, rtcp, err := r.listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = rtp.Close(), rtcp.Close() })
	return &phone{rtp: rtp.UDPConn, rtcp: rtcp.UDPConn}
}

func (p *phone) port() int { return int(portOf(p.rtp)) }

func sendTo(t testing.TB, c *net.UDPConn, port int, b []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, netip.AddrPortFrom(loopback, uint16(port))); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, c *net.UDPConn) []byte {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 2048)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

// rtp is a packet of 20 ms of G.711.
func rtp(seq int, ssrc uint32) []byte {
	b := make([]byte, 172)
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], uint16(seq))
	binary.BigEndian.PutUint32(b[4:], uint32(160*seq))
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// call is a call between two phones over two relays.
type call struct {
	a, b                 *phone
	atA, atB             *Session
	wireA, wireB         *wired
	relayA               *Relay
	refusedA, refusedB   *counter
	offer, answer, onWay []byte
}

func newCall(t testing.TB) *call {
	t.Helper()
	c := &call{a: newPhone(t), b: newPhone(t)}
	ra, ca := newRelay(t, Config{})
	rb, cb := newRelay(t, Config{MinPort: 44000})
	c.relayA, c.refusedA, c.refusedB = ra, ca, cb
	c.wireA, c.wireB = wire(ra, rb)
	c.atA, c.atB = open(t, ra, c.wireA, secret), open(t, rb, c.wireB, secret)
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c.onWay = must(c.atA.FromPhone(onHost, description(c.a.port())))
	c.offer = must(c.atB.ToPhone(onHost, c.onWay))
	c.answer = must(c.atA.ToPhone(onHost, must(c.atB.FromPhone(onHost, description(c.b.port())))))
	c.a.to, c.b.to = ports(t, c.answer)[0], ports(t, c.offer)[0]
	return c
}

func TestMediaPassBothWaysUntouched(t *testing.T) {
	c := newCall(t)
	if got := ports(t, c.onWay)[0]; got != discard || bytes.Contains(c.onWay, []byte(strconv.Itoa(c.a.port()))) {
		t.Fatalf("the description on the way names a port of the phone\n%s", c.onWay)
	}
	for i := range 20 {
		for _, way := range []struct {
			from, to *phone
			ssrc     uint32
		}{{c.a, c.b, 7}, {c.b, c.a, 8}} {
			want := rtp(i, way.ssrc)
			sendTo(t, way.from.rtp, way.from.to, want)
			if got := receive(t, way.to.rtp); !bytes.Equal(got, want) {
				t.Fatalf("packet %d is %x", i, got)
			}
		}
	}
	report := append([]byte{0x80, 200, 0, 6}, make([]byte, 24)...)
	sendTo(t, c.a.rtcp, c.a.to+1, report)
	if got := receive(t, c.b.rtcp); !bytes.Equal(got, report) {
		t.Fatalf("RTCP is %x", got)
	}
	for _, other := range [][]byte{ // SRTP with its tag, ZRTP, DTLS
		append(rtp(20, 7), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), append([]byte{0x10, 0, 0, 0, 'Z', 'R', 'T', 'P'}, make([]byte, 12)...), append([]byte{22, 254, 253}, make([]byte, 20)...),
	} {
		sendTo(t, c.a.rtp, c.a.to, other)
		if got := receive(t, c.b.rtp); !bytes.Equal(got, other) {
			t.Fatalf("%x became %x", other, got)
		}
	}
	st := c.atB.Stats()
	if st.Phone.Packets != 24 || st.FromPhone.Packets != 20 || st.Phone.Lost != 0 || st.RTT != time.Millisecond {
		t.Errorf("%+v", st)
	}
	if n := c.refusedA.all(); len(n) > 0 {
		t.Error(n)
	}
}

func TestPacketsOfStrangersDoNotPass(t *testing.T) {
	c := newCall(t)
	early, late := newPhone(t), newPhone(t)
	sendTo(t, early.rtp, c.a.to, rtp(1, 66)) // quicker than the phone
	if got := receive(t, c.b.rtp); !bytes.Equal(got, rtp(1, 66)) {
		t.Fatal("the first packet decides")
	}
	sendTo(t, c.a.rtp, c.a.to, rtp(2, 7)) // but the phone is where it said
	if got := receive(t, c.b.rtp); !bytes.Equal(got, rtp(2, 7)) {
		t.Fatal("the phone is not heard")
	}
	sendTo(t, early.rtp, c.a.to, rtp(3, 66))
	sendTo(t, late.rtp, c.a.to, rtp(4, 67))
	sendTo(t, late.rtcp, c.a.to, []byte("REGISTER sip:x SIP/2.0"))
	eventually(t, "strangers are counted", func() bool {
		return c.refusedA.of(RefusedStranger) == 2 && c.refusedA.of(RefusedNotMedia) == 1
	})
	sendTo(t, c.b.rtp, c.b.to, rtp(5, 8))
	if got := receive(t, c.a.rtp); !bytes.Equal(got, rtp(5, 8)) {
		t.Fatal("the phone gets nothing")
	}
	// From another host than the phone's nothing is taken at all.
	lan := Leg{Local: netip.MustParseAddr("192.0.2.1"), Phone: netip.MustParseAddr("192.0.2.7")}
	p := &port{told: netip.MustParseAddrPort("192.0.2.7:4000")}
	if p.isPhone(lan, netip.MustParseAddrPort("192.0.2.8:4000")) || !p.isPhone(lan, netip.MustParseAddrPort("192.0.2.7:4001")) {
		t.Error("the wrong host is taken for the phone")
	}
}

func TestANewDescriptionMovesThePhone(t *testing.T) {
	c := newCall(t)
	sendTo(t, c.a.rtp, c.a.to, rtp(1, 7))
	receive(t, c.b.rtp)
	moved := newPhone(t)
	if _, err := c.atA.FromPhone(onHost, description(moved.port())); err != nil {
		t.Fatal(err)
	}
	sendTo(t, c.b.rtp, c.b.to, rtp(1, 8))
	if got := receive(t, moved.rtp); !bytes.Equal(got, rtp(1, 8)) {
		t.Fatal("the phone has moved, its packets have not")
	}
	again, err := c.atA.ToPhone(onHost, description(9))
	if err != nil || ports(t, again)[0] != c.a.to {
		t.Fatalf("the adapter's port has changed: %v %s", err, again)
	}
	if _, err := c.atA.FromPhone(onHost, description(0)); err != nil { // the stream ends
		t.Fatal(err)
	}
	sendTo(t, c.b.rtp, c.b.to, rtp(2, 8))
	eventually(t, "nothing is sent to a stream that has ended", func() bool { return c.refusedA.of(RefusedNoPhone) == 1 })
}

func TestOnlyTheCallsOwnFlowsAreTaken(t *testing.T) {
	c := newCall(t)
	good := c.wireA
	datagram := func(key [32]byte, index uint64) []byte {
		return append(appendHead(nil, base(key)+index), rtp(1, 66)...)
	}
	stranger := &wired{}
	for _, attack := range []struct {
		what string
		from Carrier
		b    []byte
	}{
		{"on another connection", stranger, datagram(secret, 0)},
		{"of another call", good, datagram([32]byte{9}, 0)},
		{"guessed", good, append(appendHead(nil, 0), rtp(1, 66)...)},
		{"in a stream that is not there", good, datagram(secret, 6)},
		{"cut off", good, datagram(secret, 0)[:5]},
		{"empty", good, nil},
	} {
		before := c.refusedA.of(RefusedFlow)
		c.relayA.Receive(attack.from, attack.b)
		if c.refusedA.of(RefusedFlow) != before+1 {
			t.Errorf("a packet %s is not counted: %v", attack.what, c.refusedA.all())
		}
	}
	c.relayA.Receive(good, append(appendHead(nil, base(secret)), "SIP/2.0 200 OK"...))
	if c.refusedA.of(RefusedNotMedia) != 1 {
		t.Error("a packet that is no RTP is not counted")
	}
	c.relayA.Receive(good, datagram(secret, 0))
	if got := receive(t, c.a.rtp); !bytes.Equal(got, rtp(1, 66)) {
		t.Error("the call's own packet does not pass, or another one has before")
	}
	if _, err := c.relayA.Open(c.wireA, secret); !errors.Is(err, ErrBusy) {
		t.Errorf("the same call twice: %v", err)
	}
	_ = c.atA.Close()
	_ = c.atA.Close()
	before := c.refusedA.of(RefusedFlow)
	c.relayA.Receive(good, datagram(secret, 0))
	if c.refusedA.of(RefusedFlow) != before+1 {
		t.Error("a call that is over still takes packets")
	}
	if _, err := c.atA.FromPhone(onHost, description(4000)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestMoreThanTheCodecNeedsIsLimited(t *testing.T) {
	c := newCall(t)
	const flood = 3000
	packet := append(appendHead(nil, base(secret)), rtp(1, 66)...)
	for range flood {
		c.relayA.Receive(c.wireA, packet)
	}
	if dropped := c.refusedA.of(RefusedRate); dropped < flood-1000 || dropped > flood-100 {
		t.Errorf("%d of %d dropped", dropped, flood)
	}
}

func TestPlaces(t *testing.T) {
	r, _ := newRelay(t, Config{MinPort: 45001, MaxPort: 45005, MaxCalls: 2})
	w, _ := wire(r, r)
	one, two := open(t, r, w, [32]byte{1}), open(t, r, w, [32]byte{2})
	if _, err := r.Open(w, [32]byte{3}); !errors.Is(err, ErrBusy) {
		t.Errorf("a third call: %v", err)
	}
	out, err := one.ToPhone(onHost, description(9, 9, 9))
	if err != nil {
		t.Fatal(err)
	}
	if got := ports(t, out); got[0] != 45002 || got[1] != 45004 || got[2] != 0 {
		t.Errorf("ports %v", got)
	}
	if _, err := two.ToPhone(onHost, description(9)); !errors.Is(err, media.ErrNotCarried) {
		t.Errorf("no port left: %v", err)
	}
	_ = one.Close()
	if _, err := two.ToPhone(onHost, description(9)); err != nil {
		t.Errorf("ports were given back: %v", err)
	}
	for i := range maxLegs {
		_, err = two.FromPhone(Leg{loopback, netip.AddrFrom4([4]byte{127, 0, 1, byte(i)})}, description(9))
	}
	if !errors.Is(err, ErrBusy) {
		t.Errorf("a ninth phone: %v", err)
	}
	for _, cfg := range []Config{{MinPort: 10, MaxPort: 10}, {MaxCalls: -1}} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestCallsOfOneAdapter(t *testing.T) {
	r, refused := newRelay(t, Config{})
	near, far := r.Pair()
	a, b := newPhone(t), newPhone(t)
	atA, atB := open(t, r, near, secret), open(t, r, far, secret)
	onWay, err := atA.FromPhone(onHost, description(a.port()))
	if err != nil {
		t.Fatal(err)
	}
	offer, err := atB.ToPhone(onHost, onWay)
	if err != nil {
		t.Fatal(err)
	}
	sendTo(t, b.rtp, ports(t, offer)[0], rtp(1, 8))
	if _, err := atB.FromPhone(onHost, description(b.port())); err != nil {
		t.Fatal(err)
	}
	sendTo(t, b.rtp, ports(t, offer)[0], rtp(2, 8))
	// Whether the first one was early is a matter of which is quicker.
	eventually(t, "nobody to send to yet", func() bool { return int(atA.Stats().Phone.Packets)+refused.of(RefusedStranger) == 2 })
	if _, err := atA.ToPhone(onHost, description(9)); err != nil {
		t.Fatal(err)
	}
	sendTo(t, b.rtp, ports(t, offer)[0], rtp(3, 8))
	if got := receive(t, a.rtp); !bytes.Equal(got, rtp(3, 8)) {
		t.Errorf("%x", got)
	}
}
