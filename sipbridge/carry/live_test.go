package carry_test

import (
	"bufio"
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

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// The engine behind the real front: two bridges on loopback sockets, phones
// that register over UDP or TCP, and a tunnel in memory between them.

const patience = 10 * time.Second

// hub lets one bridge's calls go to the other one.
type hub struct {
	name string
	far  *sipbridge.Bridge
	wg   *sync.WaitGroup
}

func (h *hub) Account(user string) (identity.AOR, error) {
	return identity.NewAOR(user, "lan.example")
}
func (h *hub) Register(context.Context, sipbridge.Registration) error { return nil }
func (h *hub) Message(context.Context, sipbridge.Message) error       { return nil }

func (h *hub) Call(_ context.Context, c sipbridge.Call) (*sipbridge.Answer, error) {
	callee, err := identity.NewAOR(c.Target, "lan.example")
	if err != nil {
		return nil, err
	}
	return &sipbridge.Answer{Callee: callee, Path: sipbridge.PathCarried, Open: []carry.Opener{func(context.Context) (carry.Tunnel, string, error) {
		near, far := pipeTunnel()
		h.wg.Go(func() {
			in := sipbridge.Inbound{Caller: c.Caller, Callee: callee, CallID: c.CallID, LocalIP: far.ip, RemoteIP: near.ip}
			_ = h.far.Ring(context.Background(), in, far)
		})
		return near, "", nil
	}}}, nil
}

// pipe is a Tunnel over channels.
type pipe struct {
	in, out   chan []byte
	done, far chan struct{}
	once      sync.Once
	ip        netip.Addr
}

func pipeTunnel() (*pipe, *pipe) {
	x, y := make(chan []byte, 100), make(chan []byte, 100)
	a := &pipe{in: x, out: y, done: make(chan struct{}), ip: netip.MustParseAddr("127.0.0.1")}
	b := &pipe{in: y, out: x, done: make(chan struct{}), ip: a.ip}
	a.far, b.far = b.done, a.done
	return a, b
}

func (p *pipe) Send(_ context.Context, f []byte) error { p.out <- f; return nil }
func (p *pipe) Recv(ctx context.Context) ([]byte, error) {
	select {
	case f := <-p.in:
		return f, nil
	default:
	}
	select {
	case f := <-p.in:
		return f, nil
	case <-p.done:
	case <-ctx.Done():
	case <-p.far:
		select {
		case f := <-p.in:
			return f, nil
		default:
		}
	}
	return nil, errors.New("closed")
}
func (p *pipe) Close() error         { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipe) LocalIP() netip.Addr  { return p.ip }
func (p *pipe) RemoteIP() netip.Addr { return p.ip }

// bridges starts two of them that call each other.
func bridges(t *testing.T) (a, b *sipbridge.Bridge) {
	t.Helper()
	var calls, runs sync.WaitGroup
	hubs := [2]*hub{{name: "a", wg: &calls}, {name: "b", wg: &calls}}
	ctx, cancel := context.WithCancel(context.Background())
	var both [2]*sipbridge.Bridge
	for i, h := range hubs {
		br, err := sipbridge.New(sipbridge.Config{
			Listen: []string{"udp:127.0.0.1:0", "tcp:127.0.0.1:0"}, Overlay: "lan.example",
			Redirect: sipbridge.RedirectNever, Accounts: []string{"alice", "bob"}, Directory: h,
		})
		if err != nil {
			t.Fatal(err)
		}
		both[i] = br
	}
	hubs[0].far, hubs[1].far = both[1], both[0]
	for _, br := range both {
		runs.Go(func() {
			if err := br.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		select {
		case <-br.Ready():
		case <-time.After(patience):
			t.Fatal("not ready")
		}
	}
	t.Cleanup(func() { cancel(); runs.Wait(); calls.Wait() })
	return both[0], both[1]
}

// phone is a phone with one socket, towards its adapter.
type phone struct {
	t       *testing.T
	name    string
	network string
	conn    net.Conn
	r       *bufio.Reader
	n       int
}

func newPhone(t *testing.T, b *sipbridge.Bridge, name, network string) *phone {
	t.Helper()
	var to string
	for _, a := range b.Addrs() {
		if a.Network == network {
			to = a.Addr.String()
		}
	}
	conn, err := net.Dial(network, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &phone{t: t, name: name, network: network, conn: conn, r: bufio.NewReaderSize(conn, 1<<16)}
	p.send("REGISTER", "sip:127.0.0.1", name, name, "", "reg-"+name, 1, "Expires: 600\r\n", "")
	p.expect("SIP/2.0 200")
	return p
}

func (p *phone) contact() string {
	c := "sip:" + p.name + "-0x7@" + p.conn.LocalAddr().String()
	if p.network == "tcp" {
		c += ";transport=tcp"
	}
	return c
}

func (p *phone) send(method, uri, from, to, toTag, callID string, cseq int, extra, body string) {
	p.n++
	if toTag != "" {
		toTag = ";tag=" + toTag
	}
	p.write(fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s%d;rport\r\nMax-Forwards: 70\r\nFrom: <sip:%s@lan.example>;tag=t%s\r\nTo: <sip:%s@lan.example>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <%s>\r\n%sContent-Length: %d\r\n\r\n%s",
		method, uri, strings.ToUpper(p.network), p.conn.LocalAddr(), p.name, p.n, from, p.name, to, toTag, callID, cseq, method, p.contact(), extra, len(body), body))
}

func (p *phone) write(msg string) {
	if _, err := io.WriteString(p.conn, msg); err != nil {
		p.t.Fatal(err)
	}
}

// expect returns the next message that begins so.
func (p *phone) expect(prefix string) string {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		msg := p.next()
		if strings.HasPrefix(msg, "OPTIONS ") {
			p.answer(msg, 200, "")
			continue
		}
		if strings.HasPrefix(msg, prefix) {
			return msg
		}
	}
}

func (p *phone) next() string {
	p.t.Helper()
	if p.network == "udp" {
		buf := make([]byte, 1<<16)
		n, err := p.r.Read(buf)
		if err != nil {
			p.t.Fatal(err)
		}
		return string(buf[:n])
	}
	var head strings.Builder
	length := 0
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatal(err)
		}
		head.WriteString(line)
		if _, err := fmt.Sscanf(line, "Content-Length: %d", &length); err == nil {
			continue
		}
		if line == "\r\n" {
			break
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(p.r, body); err != nil {
		p.t.Fatal(err)
	}
	return head.String() + string(body)
}

// answer answers a request with all that it must repeat.
func (p *phone) answer(req string, status int, body string) {
	out := fmt.Sprintf("SIP/2.0 %d Answer\r\n", status)
	for line := range strings.SplitSeq(req, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		switch name {
		case "To":
			if !strings.Contains(line, "tag=") {
				line += ";tag=t" + p.name
			}
			fallthrough
		case "Via", "Record-Route", "From", "Call-ID", "CSeq":
			out += line + "\r\n"
		}
	}
	if body != "" {
		out += "Content-Type: application/sdp\r\n"
	}
	p.write(fmt.Sprintf("%sContact: <%s>\r\nContent-Length: %d\r\n\r\n%s", out, p.contact(), len(body), body))
}

const sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

func contactOf(msg string) string {
	_, rest, _ := strings.Cut(msg, "\r\nContact: <")
	uri, _, _ := strings.Cut(rest, ">")
	return uri
}

func TestThroughTheFront(t *testing.T) {
	for _, way := range [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tcp", "udp"}, {"tcp", "tcp"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			a, b := bridges(t)
			alice, bob := newPhone(t, a, "alice", way[0]), newPhone(t, b, "bob", way[1])
			for i, ends := range []string{"caller", "callee"} {
				callID := fmt.Sprintf("live-%d", i)
				alice.send("INVITE", "sip:bob@lan.example", "alice", "bob", "", callID, 1, "Content-Type: application/sdp\r\n", sdp)
				invite := bob.expect("INVITE " + bob.contact())
				bob.answer(invite, 180, "")
				alice.expect("SIP/2.0 180")
				bob.answer(invite, 200, sdp)
				ok := alice.expect("SIP/2.0 200")
				alice.send("ACK", contactOf(ok), "alice", "bob", "tbob", callID, 1, "", "")
				bob.expect("ACK " + bob.contact())
				if ends == "caller" {
					alice.send("BYE", contactOf(ok), "alice", "bob", "tbob", callID, 2, "", "")
					bob.answer(bob.expect("BYE "), 200, "")
					alice.expect("SIP/2.0 200")
				} else {
					bob.send("BYE", contactOf(invite), "bob", "alice", "talice", callID, 7, "", "")
					alice.answer(alice.expect("BYE "+alice.contact()), 200, "")
					bob.expect("SIP/2.0 200")
				}
			}
		})
	}
}

// cancelled rings and is cancelled over each transport.
func TestCancelThroughTheFront(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			a, b := bridges(t)
			alice, bob := newPhone(t, a, "alice", network), newPhone(t, b, "bob", network)
			alice.send("INVITE", "sip:bob@lan.example", "alice", "bob", "", "c", 1, "", "")
			invite := bob.expect("INVITE ")
			bob.answer(invite, 180, "")
			alice.expect("SIP/2.0 180")
			alice.n-- // the INVITE's branch
			alice.send("CANCEL", "sip:bob@lan.example", "alice", "bob", "", "c", 1, "", "")
			alice.expect("SIP/2.0 200")
			bob.answer(bob.expect("CANCEL "), 200, "")
			bob.answer(invite, 487, "")
			bob.expect("ACK ")
			alice.expect("SIP/2.0 487")
			alice.n--
			alice.send("ACK", "sip:bob@lan.example", "alice", "bob", "tbob", "c", 1, "", "")
		})
	}
}
