package sipbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// answering is a phone that answers each request it gets as a test says.
type answering struct {
	c    *net.UDPConn
	mu   sync.Mutex
	got  []string // whole requests
	code int      // 0: says nothing
	body string
}

func newAnswering(t *testing.T, code int) *answering {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	a := &answering{c: c, code: code}
	done := make(chan struct{})
	go func() { defer close(done); a.run() }()
	t.Cleanup(func() { c.Close(); <-done })
	return a
}

func (a *answering) run() {
	buf := make([]byte, 65536)
	for {
		n, from, err := a.c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		var m message.Message
		var req message.Request
		if m.Parse(buf[:n]) != nil {
			continue
		}
		m.Check(&req)
		a.mu.Lock()
		a.got = append(a.got, string(buf[:n]))
		code, body := a.code, a.body
		a.mu.Unlock()
		if code == 0 {
			continue
		}
		out := m.AppendEcho(message.AppendStatus(nil, code, "Said So"), &req, []byte("phone"), from)
		out = fmt.Appendf(out, "Content-Length: %d\r\n\r\n%s", len(body), body)
		a.c.WriteToUDPAddrPort(out, from)
	}
}

func (a *answering) requests(method string) (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.got {
		if strings.HasPrefix(r, method+" ") {
			out = append(out, r)
		}
	}
	return out
}

func (a *answering) say(code int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.code = code
}

func (a *answering) addr() string { return a.c.LocalAddr().String() }

// binding is the phone as it would be registered.
func (a *answering) binding(user string) Binding {
	return Binding{
		Contact: "sip:" + user + "-0x55@" + a.addr() + ";ob", Source: netip.MustParseAddrPort(a.addr()), Transport: "udp",
		CallID: "c" + a.addr(), CSeq: 1, Q: 1000, Expires: time.Now().Add(time.Hour),
	}
}

var (
	loop  = netip.MustParseAddr("127.0.0.1")
	other = netip.MustParseAddr("192.0.2.9")
	lan   = netip.MustParseAddr("192.0.2.7")
)

func (r *rig) offer(paths ...string) (Offer, error) {
	return r.Offer(context.Background(), Inbound{Caller: aor("alice"), Callee: aor("bob"), CallID: "x", LocalIP: loop, RemoteIP: loop, Paths: paths})
}

func TestOffer(t *testing.T) {
	r := start(t, &hub{}, nil)
	if _, err := r.offer(); asRefusal(err).Code != 480 {
		t.Errorf("nobody is registered: %v", err)
	}
	a := newAnswering(t, 200)
	r.Restore(aor("bob"), []Binding{a.binding("bob")})
	o, err := r.offer()
	if err != nil || o.Direct != "sip:bob-0x55@"+a.addr()+";ob" || !o.Carried {
		t.Errorf("%+v %v", o, err)
	}
	if n := len(a.requests("OPTIONS")); n != 1 {
		t.Errorf("%d OPTIONS for two questions at once", n)
	}
	if o, _ := r.offer(PathCarried); o.Direct != "" || !o.Carried {
		t.Errorf("carried only: %+v", o)
	}
	if o, _ := r.offer(PathDirect); o.Direct == "" || o.Carried {
		t.Errorf("direct only: %+v", o)
	}
	far := Inbound{Callee: aor("bob"), LocalIP: loop, RemoteIP: other}
	if o, err := r.Offer(context.Background(), far); err != nil || o.Direct != "" || !o.Carried || !strings.Contains(o.Why, "loopback") {
		t.Errorf("for a caller elsewhere: %+v %v", o, err)
	}
	far.Paths = []string{PathDirect}
	if _, err := r.Offer(context.Background(), far); asRefusal(err).Code != 480 {
		t.Errorf("for a caller elsewhere who wants it direct: %v", err)
	}
}

func TestOfferOfSeveralPhones(t *testing.T) {
	r := start(t, &hub{}, nil)
	a, b := newAnswering(t, 200), newAnswering(t, 404)
	second := b.binding("bob")
	second.Q = 300
	r.Restore(aor("bob"), []Binding{second, a.binding("bob")})
	if o, _ := r.offer(); o.Direct != "" || !o.Carried {
		t.Errorf("%+v", o)
	}
	if o, _ := r.offer(PathDirect); o.Direct != "sip:bob-0x55@"+a.addr()+";ob" {
		t.Errorf("the preferred one is not offered: %+v", o)
	}
}

func TestOfferHonoursPath(t *testing.T) {
	for path, want := range map[string]Offer{PathDirect: {Direct: "x"}, PathCarried: {Carried: true}} {
		r := start(t, &hub{}, func(c *Config) { c.Path = path })
		r.Restore(aor("bob"), []Binding{newAnswering(t, 200).binding("bob")})
		if o, err := r.offer(); err != nil || (o.Direct != "") != (want.Direct != "") || o.Carried != want.Carried {
			t.Errorf("%s: %+v %v", path, o, err)
		}
	}
}

// A phone that was switched off without saying so is not there; one that says
// nothing may be, but is not offered directly.
func TestOfferOfSilentPhones(t *testing.T) {
	r := start(t, &hub{}, nil)
	a := newAnswering(t, 0)
	r.Restore(aor("bob"), []Binding{a.binding("bob")})
	if o, err := r.offer(); err != nil || o.Direct != "" || !o.Carried {
		t.Errorf("silent: %+v %v", o, err)
	}
	gone := newAnswering(t, 200)
	v := gone.binding("carol")
	gone.c.Close()
	r.Restore(aor("carol"), []Binding{v})
	_, err := r.Offer(context.Background(), Inbound{Callee: aor("carol"), LocalIP: loop, RemoteIP: loop})
	if f := asRefusal(err); f.Code != 480 || !strings.Contains(f.Warning, "switched off") {
		t.Errorf("gone: %v", err)
	}
}

// The status says whether others can reach a phone, and why not.
func TestRegisteredPhoneIsProbed(t *testing.T) {
	r := start(t, &hub{}, nil)
	a := newAnswering(t, 405) // any answer proves that it is there
	p := r.phone(t, "udp", "bob")
	m := p.ask(p.request("REGISTER", "sip:lan.example", "To: <sip:bob@lan.example>", "Contact: <sip:bob-1@"+a.addr()+">"))
	if m.Status != 200 {
		t.Fatalf("%s", m)
	}
	eventually(t, "the phone is asked", func() bool { return len(a.requests("OPTIONS")) > 0 })
	eventually(t, "the status says why not", func() bool { return strings.Contains(r.Bindings(aor("bob"))[0].DirectWhy, "loopback") })
	if o := a.requests("OPTIONS")[0]; !strings.HasPrefix(o, "OPTIONS sip:bob-1@"+a.addr()+" SIP/2.0\r\n") {
		t.Errorf("%s", o)
	}
}

func TestDirectCandidates(t *testing.T) {
	r := start(t, &hub{}, func(c *Config) { c.HostIPs = func() []netip.Addr { return []netip.Addr{loop, lan} } })
	for _, c := range []struct {
		contact, source string
		local, remote   netip.Addr
		uri, addr, why  string
	}{
		{"sip:b@127.0.0.1:5062", "127.0.0.1:5062", loop, loop, "sip:b@127.0.0.1:5062", "127.0.0.1:5062", ""},
		{"sip:b@127.0.0.1:5062", "127.0.0.1:5062", lan, lan, "sip:b@127.0.0.1:5062", "127.0.0.1:5062", ""},
		{"sip:b@127.0.0.1:5062;ob", "127.0.0.1:5062", lan, other, "sip:b@192.0.2.7:5062;ob", "192.0.2.7:5062", ""},
		{"sip:localhost", "127.0.0.1:5062", lan, other, "sip:192.0.2.7", "192.0.2.7:5060", ""},
		{"sip:b@[::1]:5062", "[::1]:5062", lan, other, "sip:b@192.0.2.7:5062", "192.0.2.7:5062", ""},
		{"sip:b@192.0.2.7:5062", "127.0.0.1:5062", lan, other, "sip:b@192.0.2.7:5062", "192.0.2.7:5062", ""},
		{"sip:b@192.0.2.50:5062", "192.0.2.50:5062", lan, other, "sip:b@192.0.2.50:5062", "192.0.2.50:5062", ""},
		{"sip:b@192.0.2.51:5062", "192.0.2.50:5062", lan, other, "", "", "not the address it registered from"},
		{"sip:b@192.0.2.51:5062", "127.0.0.1:5062", lan, other, "", "", "not the address it registered from"},
		{"sip:b@127.0.0.1:5062", "192.0.2.50:5062", lan, other, "", "", "not the address it registered from"},
		{"sip:b@127.0.0.1:5062", "127.0.0.1:5062", loop, other, "", "", "no other towards the caller"},
		{"sip:b@phone.example:5062", "192.0.2.50:5062", lan, other, "", "", "host name"},
		{"sip:b@127.0.0.1;transport=tls", "127.0.0.1:5062", lan, other, "", "", "transport"},
		{"nonsense", "127.0.0.1:5062", lan, other, "", "", "cannot be read"},
	} {
		v := Binding{Contact: c.contact, Source: netip.MustParseAddrPort(c.source), Transport: "udp"}
		got := r.direct(&v, c.local, c.remote)
		if got.uri != c.uri || c.addr != "" && got.key.addr.String() != c.addr || !strings.Contains(got.why, c.why) || (got.why == "") != (c.why == "") {
			t.Errorf("%s from %s for %s: %+v", c.contact, c.source, c.remote, got)
		}
	}
}

func TestFlows(t *testing.T) {
	r := start(t, &hub{}, func(c *Config) { c.HostIPs = func() []netip.Addr { return []netip.Addr{loop, lan} } })
	p := r.phone(t, "tcp", "bob")
	p.ask(p.request("OPTIONS", "sip:lan.example"))
	for _, c := range []struct{ contact, source, transport, want string }{
		{"sip:b@127.0.0.1:5062", "127.0.0.1:40000", "udp", "udp 127.0.0.1:5062"},
		{"sip:b@127.0.0.1", "127.0.0.1:40000", "udp", "udp 127.0.0.1:5060"},
		{"sip:b@192.0.2.50:5062", "192.0.2.50:40000", "udp", "udp 192.0.2.50:5062"},
		{"sip:b@10.1.1.1:5062", "192.0.2.50:40000", "udp", "udp 192.0.2.50:40000"}, // behind a NAT
		{"sip:b@127.0.0.1:5062", "192.0.2.50:40000", "udp", "udp 192.0.2.50:40000"},
		{"sip:b@phone.example:5062", "192.0.2.50:40000", "udp", "udp 192.0.2.50:40000"},
		{"sip:b@127.0.0.1:5062;transport=tcp", p.addr(), "tcp", "tcp " + p.addr()}, // its own connection
		{"sip:b@127.0.0.1:5062;transport=TCP", "127.0.0.1:1", "tcp", "tcp 127.0.0.1:5062"},
		{"sip:b@127.0.0.1:5062;transport=tcp", "127.0.0.1:1", "udp", "tcp 127.0.0.1:5062"},
		{"sip:b@10.1.1.1:22;transport=tcp", "127.0.0.1:1", "tcp", ""}, // to nobody else
		{"sip:b@10.1.1.1:22;transport=tcp", "192.0.2.50:1", "udp", ""},
		{"sip:b@127.0.0.1:5062;transport=ws", "127.0.0.1:1", "tcp", ""},
	} {
		f, ok := r.flowTo(&Binding{Contact: c.contact, Source: netip.MustParseAddrPort(c.source), Transport: c.transport})
		got := ""
		if ok {
			got = f.Transport + " " + f.Remote.String()
			if want := map[string]netip.AddrPort{"udp": r.udp, "tcp": r.tcp}[f.Transport]; f.Local != want {
				t.Errorf("%s: local %s, want %s", c.contact, f.Local, want)
			}
		}
		if got != c.want {
			t.Errorf("%s from %s: %q, want %q", c.contact, c.source, got, c.want)
		}
	}
}

type noTunnel struct {
	carry.Tunnel
	closed bool
}

func (n *noTunnel) Close() error { n.closed = true; return nil }

func TestRing(t *testing.T) {
	r := start(t, &hub{}, nil)
	a, b := newAnswering(t, 200), newAnswering(t, 200)
	second := b.binding("bob")
	second.Q = 500
	r.Restore(aor("bob"), []Binding{second, a.binding("bob")})
	in := Inbound{Caller: aor("alice"), Callee: aor("bob"), CallID: "signed"}
	tun := &noTunnel{}
	if err := r.Ring(context.Background(), in, tun); err != nil || !tun.closed {
		t.Fatal(err)
	}
	ring := r.engine.rings[0]
	if ring.Caller != aor("alice") || ring.Callee != aor("bob") || ring.CallID != "signed" || len(ring.Targets) != 2 ||
		ring.Targets[0].URI != "sip:bob-0x55@"+a.addr()+";ob" || ring.Targets[0].Flow.Remote.String() != a.addr() || ring.Targets[0].Flow.Local != r.udp {
		t.Errorf("%+v", ring)
	}
	in.Callee, tun = aor("carol"), &noTunnel{}
	if err := r.Ring(context.Background(), in, tun); asRefusal(err).Code != 480 || !tun.closed {
		t.Errorf("%v %v", err, tun.closed)
	}
}

// The engine's messages go out as they are: over UDP from the listener, over
// TCP on the phone's connection or a new one, on which the phone's own
// requests are served too.
func TestSend(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	ctx := context.Background()
	msg := "OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n"
	u := r.phone(t, "udp", "alice")
	remote := netip.MustParseAddrPort(u.addr())
	if err := r.Send(ctx, carryFlow("udp", remote, r.udp), []byte(msg)); err != nil {
		t.Fatal(err)
	}
	if m := u.recv(); m.String() != msg {
		t.Errorf("%q", m)
	}
	p := r.phone(t, "tcp", "alice")
	p.ask(p.request("OPTIONS", "bob"))
	if err := r.Send(ctx, carryFlow("tcp", netip.MustParseAddrPort(p.addr()), r.tcp), []byte(msg)); err != nil {
		t.Fatal(err)
	}
	if m := p.recv(); m.String() != msg {
		t.Errorf("%q", m)
	}

	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := r.Send(ctx, carryFlow("tcp", netip.MustParseAddrPort(ln.Addr().String()), r.tcp), []byte(msg)); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, len(msg))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != msg {
		t.Errorf("%q %v", buf, err)
	}
	io.WriteString(c, p.request("INVITE", "bob"))
	c.SetReadDeadline(time.Now().Add(patience))
	reply := make([]byte, 12)
	if _, err := io.ReadFull(c, reply); err != nil || string(reply) != "SIP/2.0 302 " {
		t.Errorf("%q %v", reply, err)
	}
	ln.Close()
	nowhere := carryFlow("tcp", netip.MustParseAddrPort("127.0.0.1:1"), r.tcp)
	if err := r.Send(ctx, nowhere, []byte(msg)); err == nil {
		t.Error("sent to nobody")
	}
	if err := r.Send(ctx, carryFlow("udp", netip.MustParseAddrPort("[::1]:9"), r.udp), nil); !errors.Is(err, ErrNoWay) {
		t.Errorf("%v", err)
	}
}
