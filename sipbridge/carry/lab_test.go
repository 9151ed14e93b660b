package carry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// lab is two adapters' engines with phones around them, on a network in
// memory: made for a synctest bubble, so every wait is virtual.
type lab struct {
	t    *testing.T
	a, b *side

	mu     sync.Mutex
	phones map[netip.AddrPort]*phone
	lose   func(to *phone, msg string) bool // drops what goes to phones
	link   *memTunnel                       // the caller's end of the last call
	// linkA and linkB are the adapters' addresses on the link.
	linkA, linkB netip.Addr
	targets      func() []Target
	patience     time.Duration // with a phone's messages
	openErr      error
	openers      []Opener // instead of one to bob
	stop         context.CancelFunc
	ctx          context.Context
	wg           sync.WaitGroup
}

// side is one engine with what it reported.
type side struct {
	lab     *lab
	e       *Engine
	name    string
	mu      sync.Mutex
	events  []Event
	refused map[string]int
}

func aor(name string) identity.AOR {
	a, err := identity.NewAOR(name, "lan.example")
	if err != nil {
		panic(err)
	}
	return a
}

func newLab(t *testing.T, tune func(*Config)) *lab {
	l := &lab{t: t, phones: map[netip.AddrPort]*phone{},
		patience: 5 * time.Minute, // virtual
		linkA:    netip.MustParseAddr("192.0.2.1"), linkB: netip.MustParseAddr("192.0.2.2")}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.a, l.b = l.side("a", tune), l.side("b", tune)
	return l
}

func (l *lab) side(name string, tune func(*Config)) *side {
	s := &side{lab: l, name: name, refused: map[string]int{}}
	cfg := Config{Sender: s, OnEvent: s.event, Refused: s.count}
	if tune != nil {
		tune(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	s.e = e
	l.wg.Go(func() { _ = e.Run(l.ctx) })
	return s
}

// end stops everything and waits for it.
func (l *lab) end() {
	l.stop()
	l.wg.Wait()
}

func (s *side) event(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *side) count(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[reason]++
}

func (s *side) refusals() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.refused)
}

// states lists what the last call went through.
func (s *side) states() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		out = append(out, string(e.State))
	}
	return out
}

func (s *side) last() Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		return Event{}
	}
	return s.events[len(s.events)-1]
}

var errNoPhone = errors.New("connection refused")

// Send brings a message to a phone.
func (s *side) Send(_ context.Context, to Flow, msg []byte) error {
	l := s.lab
	l.mu.Lock()
	p, lose := l.phones[to.Remote], l.lose
	l.mu.Unlock()
	if p == nil || p.transport != to.Transport {
		if to.Transport == "udp" {
			return nil
		}
		return errNoPhone
	}
	if lose != nil && lose(p, string(msg)) {
		return nil
	}
	p.in <- string(msg)
	return nil
}

// deliver is what the front does with a phone's message.
func (l *lab) deliver(p *phone, msg string) {
	if p.side.e.Handle(p.flow(), []byte(msg)) {
		return
	}
	m, err := read([]byte(msg), true)
	if err != nil || m.method != "INVITE" || m.toTag != "" || !m.IsRequest() {
		return
	}
	err = p.side.e.Carry(Call{From: p.flow(), Invite: []byte(msg), Caller: aor(p.name), Callee: aor("bob"), Open: l.ways(p.name, m.callID)})
	if r := (*Refusal)(nil); errors.As(err, &r) {
		p.in <- fmt.Sprintf("SIP/2.0 %d %s\r\nFrom: <sip:x@y>\r\nTo: <sip:x@y>\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n", r.Code, r.Reason, m.callID)
	}
}

func (l *lab) openTunnel(caller, callID string) Opener {
	return func(context.Context) (Tunnel, string, error) {
		if l.openErr != nil {
			return nil, "", l.openErr
		}
		near, far := tunnelPair(l.linkA, l.linkB)
		l.mu.Lock()
		l.link = near
		l.mu.Unlock()
		l.wg.Go(func() {
			_ = l.b.e.Ring(context.Background(), Ring{Caller: aor(caller), Callee: aor("bob"), CallID: callID, Targets: l.targets()}, far)
		})
		return near, "", nil
	}
}

// tunnel returns the caller's end of the last call's tunnel.
func (l *lab) tunnel() *memTunnel {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.link
}

// memTunnel is one end of a Tunnel in memory.
type memTunnel struct {
	out, in       chan []byte
	done          chan struct{} // our end is closed, or the tunnel is cut
	other         *memTunnel
	once          sync.Once
	local, remote netip.Addr
	dead          atomic.Bool
}

func tunnelPair(a, b netip.Addr) (*memTunnel, *memTunnel) {
	x, y := make(chan []byte, 1024), make(chan []byte, 1024)
	near := &memTunnel{out: x, in: y, done: make(chan struct{}), local: a, remote: b}
	far := &memTunnel{out: y, in: x, done: make(chan struct{}), local: b, remote: a, other: near}
	near.other = far
	return near, far
}

func (m *memTunnel) Send(_ context.Context, f []byte) error {
	if m.dead.Load() {
		return nil
	}
	select {
	case <-m.done:
		return errTunnelLost
	default:
		m.out <- f
		return nil
	}
}

func (m *memTunnel) Recv(ctx context.Context) ([]byte, error) {
	select {
	case f := <-m.in:
		return f, nil
	case <-m.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-m.other.done:
		if m.dead.Load() { // nor does the end arrive
			select {
			case <-m.done:
				return nil, errTunnelLost
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		select { // what was sent before the close still comes
		case f := <-m.in:
			return f, nil
		default:
		}
	}
	return nil, errTunnelLost
}

func (m *memTunnel) Close() error {
	m.once.Do(func() { close(m.done) })
	return nil
}

func (m *memTunnel) LocalIP() netip.Addr  { return m.local }
func (m *memTunnel) RemoteIP() netip.Addr { return m.remote }

// cut loses the tunnel for both ends, without a word.
func (m *memTunnel) cut() {
	_ = m.Close()
	_ = m.other.Close()
}

// phone is a scripted phone.
type phone struct {
	lab       *lab
	side      *side
	name      string
	transport string
	addr      netip.AddrPort
	in        chan string
	n         int

	// of the dialog under way
	callID, tag, remoteTag, target string
	routes                         []string
	from, to                       string // own and other party, without tags
	cseq                           int
	invite                         string // own INVITE, or the one that rings
	contact                        string
}

func (l *lab) phone(s *side, name, transport, addr string) *phone {
	p := &phone{lab: l, side: s, name: name, transport: transport, addr: netip.MustParseAddrPort(addr), in: make(chan string, 1024)}
	p.contact = "sip:" + name + "-0x1@" + addr
	if transport == "tcp" {
		p.contact += ";transport=tcp"
	}
	l.mu.Lock()
	l.phones[p.addr] = p
	l.mu.Unlock()
	return p
}

func (p *phone) flow() Flow {
	return Flow{p.transport, p.addr, netip.MustParseAddrPort("127.0.0.1:5060")}
}

func (p *phone) asTarget() Target { return Target{URI: p.contact, Flow: p.flow()} }

func (p *phone) via() string {
	p.n++
	return fmt.Sprintf("Via: SIP/2.0/%s %s;rport;branch=z9hG4bK-%s-%d\r\n", strings.ToUpper(p.transport), p.addr, p.name, p.n)
}

const offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

func sdpBody(sdp string) string {
	if sdp == "" {
		return "Content-Length: 0\r\n\r\n"
	}
	return fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp)
}

// call sends an INVITE to bob.
func (p *phone) call(extra, sdp string) {
	p.callID, p.tag, p.cseq = "call-"+p.name, "tag-"+p.name, 1
	p.from, p.to = "<sip:"+p.name+"@127.0.0.1>", "<sip:bob@127.0.0.1>"
	p.invite = "INVITE sip:bob@127.0.0.1 SIP/2.0\r\n" + p.via() +
		"Max-Forwards: 70\r\nFrom: \"Me\" " + p.from + ";tag=" + p.tag + "\r\nTo: " + p.to + "\r\nCall-ID: " + p.callID +
		"\r\nCSeq: 1 INVITE\r\nContact: <" + p.contact + ">\r\nRoute: <sip:127.0.0.1:5060;lr>\r\n" +
		"P-Asserted-Identity: <sip:president@lan.example>\r\nCall-Info: <sip:x>;answer-after=0\r\n" +
		"Supported: replaces, gruu, 100rel\r\nUser-Agent: test\r\n" + extra + sdpBody(sdp)
	p.send(p.invite)
}

func (p *phone) send(msg string) { p.lab.deliver(p, msg) }

// inDialog sends a request within the dialog.
func (p *phone) inDialog(method, extra, sdp string) {
	if method != "ACK" {
		p.cseq++
	}
	msg := method + " " + p.target + " SIP/2.0\r\n" + p.via() + "Max-Forwards: 70\r\n"
	for _, r := range p.routes {
		msg += "Route: " + r + "\r\n"
	}
	p.send(msg + fmt.Sprintf("From: %s;tag=%s\r\nTo: %s;tag=%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <%s>\r\n%s%s",
		p.from, p.tag, p.to, p.remoteTag, p.callID, p.cseq, method, p.contact, extra, sdpBody(sdp)))
}

// ackFinal acknowledges a final answer but 2xx, or cancels: within the
// INVITE's transaction.
func (p *phone) withinInvite(method, toTag string) {
	m, _ := read([]byte(p.invite), true)
	to := p.to
	if toTag != "" {
		to += ";tag=" + toTag
	}
	p.send(method + " sip:bob@127.0.0.1 SIP/2.0\r\nVia: " + string(m.Get(message.Via)) + "\r\nMax-Forwards: 70\r\nFrom: \"Me\" " +
		p.from + ";tag=" + p.tag + "\r\nTo: " + to + "\r\nCall-ID: " + p.callID + fmt.Sprintf("\r\nCSeq: %d %s\r\n", m.cseq, method) + sdpBody(""))
}

// respond answers a request. The tag is added unless the request has one.
func (p *phone) respond(req *parsed, status int, reason, extra, sdp string) {
	msg := fmt.Sprintf("SIP/2.0 %d %s\r\n", status, reason)
	for i := range req.Fields {
		f := req.Fields[i]
		switch {
		case f.ID == message.Via, string(f.Name) == "Record-Route", f.ID == message.From, f.ID == message.CallID, f.ID == message.CSeq:
			msg += string(f.Name) + ": " + string(f.Value) + "\r\n"
		case f.ID == message.To:
			msg += "To: " + string(f.Value)
			if req.toTag == "" && status > 100 {
				msg += ";tag=" + p.tag
			}
			msg += "\r\n"
		}
	}
	p.send(msg + "Contact: <" + p.contact + ">\r\n" + extra + sdpBody(sdp))
}

// expect waits for a message that begins so, and passes over others.
func (p *phone) expect(prefix string) *parsed {
	p.lab.t.Helper()
	timeout := time.NewTimer(p.lab.patience)
	defer timeout.Stop()
	var passed []string
	for {
		select {
		case msg := <-p.in:
			if strings.HasPrefix(msg, prefix) {
				return p.parse(msg)
			}
			line, _, _ := strings.Cut(msg, "\r\n")
			passed = append(passed, line)
		case <-timeout.C:
			p.lab.t.Fatalf("%s: no %q; got %q", p.name, prefix, passed)
		}
	}
}

// silent fails if anything comes within d.
func (p *phone) silent(d time.Duration) {
	p.lab.t.Helper()
	select {
	case msg := <-p.in:
		p.lab.t.Fatalf("%s: unexpected %q", p.name, msg)
	case <-time.After(d):
	}
}

// drain forgets what has come.
func (p *phone) drain() (n int) {
	for {
		select {
		case <-p.in:
			n++
		default:
			return n
		}
	}
}

func (p *phone) parse(msg string) *parsed {
	p.lab.t.Helper()
	m, err := read([]byte(msg), true)
	if err != nil {
		p.lab.t.Fatalf("%s got a bad message: %v\n%s", p.name, err, msg)
	}
	if m.callID != p.callID && p.callID != "" {
		p.lab.t.Fatalf("%s got another call's message:\n%s", p.name, msg)
	}
	return m
}

// learn takes the dialog from an answer to the own INVITE.
func (p *phone) learn(res *parsed) {
	p.lab.t.Helper()
	p.remoteTag = res.toTag
	p.takeRoute(res, true)
}

func (p *phone) takeRoute(m *parsed, reverse bool) {
	p.lab.t.Helper()
	contacts, err := m.Contacts()
	if err != nil || len(contacts.List) != 1 {
		p.lab.t.Fatalf("%s: no Contact in\n%s", p.name, m.Raw)
	}
	p.target = string(contacts.List[0].URI)
	p.routes = nil
	for i := range m.Fields {
		if string(m.Fields[i].Name) == "Record-Route" {
			p.routes = append(p.routes, string(m.Fields[i].Value))
		}
	}
	_ = reverse // there is one at most
}

// rung takes the dialog from an INVITE that rings.
func (p *phone) rung() *parsed {
	p.lab.t.Helper()
	p.callID = ""
	req := p.expect("INVITE ")
	p.callID, p.tag, p.remoteTag, p.cseq = req.callID, "tag-"+p.name, req.fromTag, 100
	p.from, p.to = string(req.Get(message.To)), withTag(string(req.Get(message.From)), "")
	p.invite = string(req.Raw)
	p.takeRoute(req, false)
	return req
}
