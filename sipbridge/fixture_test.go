package sipbridge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// patience bounds every wait for something that must happen.
const patience = 5 * time.Second

// quiet is how long a test listens for what must not come.
const quiet = 150 * time.Millisecond

// hub is a Directory whose answers a test sets.
type hub struct {
	mu         sync.Mutex
	accounts   string // names, separated by spaces
	forgetful  bool   // keeps no list of calls
	self       uint32 // the user as whom the adapter runs; 0: the test's own
	numbers    map[string]string
	register   func(context.Context, Registration) error
	call       func(context.Context, Call) (*Answer, error)
	message    func(context.Context, Message) error
	registered []Registration
	calls      []Call
	messages   []Message
}

func (h *hub) Account(user string) (identity.AOR, error) {
	user = orElse(h.numbers[user], user)
	for _, a := range strings.Fields(h.accounts) {
		if strings.EqualFold(a, user) {
			return identity.NewAOR(user, "lan.example")
		}
	}
	return identity.AOR{}, Forbidden("no account of this adapter")
}

func (h *hub) Register(ctx context.Context, r Registration) error {
	h.mu.Lock()
	h.registered = append(h.registered, r)
	f := h.register
	h.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, r)
}

func (h *hub) Call(ctx context.Context, c Call) (*Answer, error) {
	h.mu.Lock()
	if !h.forgetful {
		h.calls = append(h.calls, c)
	}
	f := h.call
	h.mu.Unlock()
	if f == nil {
		return nil, NoSuchName("nobody is called " + c.Target)
	}
	return f(ctx, c)
}

func (h *hub) Message(ctx context.Context, m Message) error {
	h.mu.Lock()
	h.messages = append(h.messages, m)
	f := h.message
	h.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, m)
}

// answer changes what the hub says to calls.
func (h *hub) answer(f func(context.Context, Call) (*Answer, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.call = f
}

// last returns a copy of the newest element that pick selects.
func last[T any](h *hub, pick func(*hub) []T) (v T, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := pick(h)
	if len(list) > 0 {
		v = list[len(list)-1]
	}
	return v, len(list)
}

func calls(h *hub) []Call                 { return h.calls }
func registrations(h *hub) []Registration { return h.registered }
func texts(h *hub) []Message              { return h.messages }

// bob answers every call with bob's phone.
func bob(context.Context, Call) (*Answer, error) {
	return &Answer{Callee: aor("bob"), Path: PathDirect, Contact: "sip:bob-0x55@127.0.0.1:5999"}, nil
}

func aor(user string) identity.AOR {
	a, err := identity.NewAOR(user, "lan.example")
	if err != nil {
		panic(err)
	}
	return a
}

// counts counts refusals.
type counts struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *counts) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]int{}
	}
	c.m[reason]++
}

func (c *counts) of(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[reason]
}

// rig is a running Bridge.
type rig struct {
	*Bridge
	hub     *hub
	refused *counts
	engine  *fakeEngine
	udp     netip.AddrPort
	tcp     netip.AddrPort
}

// start runs a Bridge on free loopback ports until the test ends.
func start(t testing.TB, h *hub, change func(*Config)) *rig {
	t.Helper()
	if h.accounts == "" {
		h.accounts = "alice bob carol"
	}
	r := &rig{hub: h, refused: &counts{}}
	cfg := Config{
		Listen: []string{"127.0.0.1:0"}, Overlay: "lan.example", Redirect: RedirectAlways, Directory: h,
		Refused: r.refused.add, HostName: "host.test", CallBurst: -1, ProbeTimeout: 200 * time.Millisecond,
		HostIPs: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
	}
	if change != nil {
		change(&cfg)
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Bridge = b
	r.engine = &fakeEngine{}
	b.engine = r.engine
	if h.self != 0 {
		b.owners.self = h.self
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	for _, a := range b.Addrs() {
		if a.Network == "udp" {
			r.udp = a.Addr
		} else {
			r.tcp = a.Addr
		}
	}
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(2 * patience):
			t.Error("Run does not end")
		}
	})
	return r
}

// settled tells whether nothing is going on.
func (r *rig) settled() bool {
	return r.Stats().Pending == 0 && len(r.slots) == int(r.idle.Load())
}

// phone is one socket that talks to a Bridge.
type phone struct {
	t    testing.TB
	c    net.Conn
	r    *bufio.Reader // of TCP
	to   netip.AddrPort
	user string
	n    int
}

func (r *rig) phone(t testing.TB, network, user string) *phone {
	t.Helper()
	to := r.udp
	if network == "tcp" {
		to = r.tcp
	}
	c, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &phone{t: t, c: c, to: to, user: user}
	if network == "tcp" {
		p.r = bufio.NewReader(c)
	}
	return p
}

func (p *phone) addr() string { return p.c.LocalAddr().String() }

// request writes a request; lines change or add header lines, as "Name:
// value"; an empty value takes the line away. target is a whole URI, or a user
// at the Bridge.
func (p *phone) request(method, target string, lines ...string) string {
	p.n++
	if !strings.Contains(target, ":") {
		target = "sip:" + target + "@" + p.to.String()
	}
	network := strings.ToUpper(p.c.LocalAddr().Network())
	head := []string{
		fmt.Sprintf("Via: SIP/2.0/%s %s;branch=z9hG4bK-%s-%d;rport", network, p.addr(), p.user, p.n),
		fmt.Sprintf("From: <sip:%s@%s>;tag=t%s", p.user, p.to, p.user),
		fmt.Sprintf("To: <%s>", target),
		fmt.Sprintf("Call-ID: %s-%d@%s", p.user, p.n, p.addr()),
		fmt.Sprintf("CSeq: %d %s", p.n, method),
		"Max-Forwards: 70",
		fmt.Sprintf("Contact: <sip:%s-x@%s>", p.user, p.addr()),
		"Content-Length: 0",
	}
	body := ""
	for _, l := range lines {
		if b, ok := strings.CutPrefix(l, "Body: "); ok {
			body = b
			l = "Content-Length: " + strconv.Itoa(len(body))
		}
		head = setLine(head, l)
	}
	return method + " " + target + " SIP/2.0\r\n" + strings.Join(head, "\r\n") + "\r\n\r\n" + body
}

func setLine(head []string, line string) []string {
	name, value, _ := strings.Cut(line, ":")
	for i, h := range head {
		if n, _, _ := strings.Cut(h, ":"); n == name {
			if strings.TrimSpace(value) == "" {
				return append(head[:i], head[i+1:]...)
			}
			head[i] = line
			return head
		}
	}
	return append(head, line)
}

func (p *phone) send(msg string) {
	p.t.Helper()
	if _, err := io.WriteString(p.c, msg); err != nil {
		p.t.Fatal(err)
	}
}

// recv reads the next message.
func (p *phone) recv() *reply {
	p.t.Helper()
	m, err := p.read(patience)
	if err != nil {
		p.t.Fatalf("%s waits in vain: %v", p.user, err)
	}
	return m
}

// ask sends and reads the final response.
func (p *phone) ask(msg string) *reply {
	p.t.Helper()
	p.send(msg)
	for {
		if m := p.recv(); m.Status >= 200 {
			return m
		}
	}
}

// silence fails if anything comes.
func (p *phone) silence() {
	p.t.Helper()
	if m, err := p.read(quiet); err == nil {
		p.t.Fatalf("%s got what it should not:\n%s", p.user, m.Raw)
	}
}

func (p *phone) read(wait time.Duration) (*reply, error) {
	p.c.SetReadDeadline(time.Now().Add(wait))
	var raw []byte
	if p.r == nil {
		buf := make([]byte, 65536)
		n, err := p.c.Read(buf)
		if err != nil {
			return nil, err
		}
		raw = buf[:n]
	} else {
		for {
			b, err := p.r.ReadByte()
			if err != nil {
				return nil, err
			}
			raw = append(raw, b)
			if _, n, _ := message.Frame(raw, 1<<17); n > 0 {
				break
			}
		}
	}
	m := &reply{}
	if err := m.Parse(raw); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, raw)
	}
	return m, nil
}

// reply is a message that a phone got.
type reply struct{ message.Message }

// field returns the first field of that name, in any case.
func (r *reply) field(name string) string {
	return strings.Join(r.fields(name)[:min(1, len(r.fields(name)))], "")
}

func (r *reply) fields(name string) []string {
	var out []string
	for _, f := range r.Fields {
		if strings.EqualFold(string(f.Name), name) {
			out = append(out, string(f.Value))
		}
	}
	return out
}

func (r *reply) String() string { return string(r.Raw) }
