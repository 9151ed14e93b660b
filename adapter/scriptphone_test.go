package adapter_test

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/testnet"
)

// scriptPhone is a phone that says, word for word, what a test has it say.
type scriptPhone struct {
	t    *testing.T
	name string
	mark string         // of its tags and branches
	at   netip.AddrPort // the adapter
	conn *net.UDPConn   // SIP
	rtp  *net.UDPConn
	got  chan string
	n    int

	callID, own, other string // of the dialog: Call-ID, From or To of either side
	target             string
	route              string
	cseq               int
}

func newScriptPhone(t *testing.T, m *testnet.Member) *scriptPhone {
	t.Helper()
	return newScriptPhoneOf(t, m, m.Name, m.Name)
}

// newScriptPhoneOf is one of several phones of a name.
func newScriptPhoneOf(t *testing.T, m *testnet.Member, name, mark string) *scriptPhone {
	t.Helper()
	p := &scriptPhone{t: t, name: name, mark: mark, at: m.SIP(), got: make(chan string, 64)}
	for _, conn := range []**net.UDPConn{&p.conn, &p.rtp} {
		var err error
		if *conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read()
	}()
	t.Cleanup(func() { p.conn.Close(); p.rtp.Close(); <-done })
	p.callID, p.own, p.other, p.target = "reg-"+p.name, p.me()+";tag=r", p.me(), "sip:"+p.at.String()
	p.ask("REGISTER", "Expires: 600\r\n", "", "SIP/2.0 200")
	return p
}

func (p *scriptPhone) me() string { return "<sip:" + p.name + "@127.0.0.1>" }
func (p *scriptPhone) contact() string {
	return "<sip:" + p.name + "@" + p.conn.LocalAddr().String() + ">"
}

// port is where the phone's media are.
func (p *scriptPhone) port() int { return p.rtp.LocalAddr().(*net.UDPAddr).Port }

func (p *scriptPhone) read() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		msg := string(buf[:n])
		if strings.HasPrefix(msg, "OPTIONS ") { // whether we are there
			_, _ = p.conn.WriteToUDPAddrPort([]byte(answerTo(msg, "200 OK", "", "", "")), from)
			continue
		}
		p.got <- msg
	}
}

// expect waits for a message that begins so. Of others only a 100 and what is repeated may come before it.
func (p *scriptPhone) expect(prefix string) string {
	p.t.Helper()
	over := time.After(testnet.Deadline)
	var passed []string
	for {
		select {
		case msg := <-p.got:
			if strings.HasPrefix(msg, prefix) {
				return msg
			}
			passed = append(passed, msg)
		case <-over:
			p.t.Fatalf("%s: no %q, but %q", p.name, prefix, passed)
		}
	}
}

func (p *scriptPhone) send(msg string) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort([]byte(msg), p.at); err != nil {
		p.t.Fatal(err)
	}
}

// withBody ends a message; a body is a session description unless the fields say otherwise.
func withBody(fields, body string) string {
	if body != "" && !strings.Contains(fields, "Content-Type") {
		fields += "Content-Type: application/sdp\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", fields, len(body), body)
}

// request sends a request of the dialog and returns it.
func (p *scriptPhone) request(method, fields, body string) string {
	p.t.Helper()
	p.n++
	if method != "ACK" {
		p.cseq++
	}
	msg := method + " " + p.target + " SIP/2.0\r\n" + fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK%s%d;rport\r\n", p.conn.LocalAddr(), p.mark, p.n) + p.route +
		"From: " + p.own + "\r\nTo: " + p.other + "\r\nCall-ID: " + p.callID + fmt.Sprintf("\r\nCSeq: %d %s\r\n", p.cseq, method) +
		"Contact: " + p.contact() + "\r\nMax-Forwards: 70\r\n" + withBody(fields, body)
	p.send(msg)
	return msg
}

// ask sends a request, again every second as phones do, until an answer comes that begins so.
func (p *scriptPhone) ask(method, fields, body, prefix string) string {
	p.t.Helper()
	msg := p.request(method, fields, body)
	again := time.NewTicker(time.Second)
	defer again.Stop()
	over := time.After(testnet.Deadline)
	for {
		select {
		case got := <-p.got:
			if strings.HasPrefix(got, prefix) {
				return got
			}
		case <-again.C:
			p.send(msg)
		case <-over:
			p.t.Fatalf("%s: no %q to its %s", p.name, prefix, method)
		}
	}
}

// answerTo writes a response.
func answerTo(req, status, tag, fields, body string) string {
	msg := "SIP/2.0 " + status + "\r\n"
	for line := range strings.SplitSeq(req, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		switch name {
		case "":
			return msg + withBody(fields, body)
		case "To":
			if tag != "" && !strings.Contains(line, ";tag=") {
				line += ";tag=" + tag
			}
			msg += line + "\r\n"
		case "Via", "From", "Call-ID", "CSeq", "Record-Route":
			msg += line + "\r\n"
		}
	}
	return msg
}

func (p *scriptPhone) answer(req, status, fields, body string) {
	p.t.Helper()
	p.send(answerTo(req, status, "tag"+p.mark, "Contact: "+p.contact()+"\r\n"+fields, body))
}

// field returns a header field's value.
func field(msg, name string) string {
	for line := range strings.SplitSeq(msg, "\r\n") {
		if k, v, ok := strings.Cut(line, ": "); ok && k == name {
			return v
		}
	}
	return ""
}

// dial begins a call; hear begins one that comes; met takes the other side's tag from the answer.
func (p *scriptPhone) dial(to, fields, body string) {
	p.t.Helper()
	p.callID, p.own, p.other = fmt.Sprintf("call%d@%s", p.n, p.conn.LocalAddr()), p.me()+";tag=tag"+p.mark, "<sip:"+to+"@127.0.0.1>"
	p.target, p.route, p.cseq = "sip:"+to+"@"+p.at.String(), "", 0
	p.request("INVITE", fields, body)
}

func (p *scriptPhone) met(answer string) {
	p.other, p.target = field(answer, "To"), strings.Trim(field(answer, "Contact"), "<>")
	p.route = routeOf(answer)
}

func (p *scriptPhone) hear() (invite string) {
	p.t.Helper()
	invite = p.expect("INVITE ")
	p.callID, p.own, p.other = field(invite, "Call-ID"), field(invite, "To")+";tag=tag"+p.mark, field(invite, "From")
	p.target, p.route, p.cseq = strings.Trim(field(invite, "Contact"), "<>"), routeOf(invite), 100
	return invite
}

func routeOf(msg string) string {
	if r := field(msg, "Record-Route"); r != "" {
		return "Route: " + r + "\r\n"
	}
	return ""
}

var mediaLine = regexp.MustCompile(`m=(\w+) (\d+) `)

// portsIn are the ports of a description's streams, by kind.
func portsIn(msg string) map[string]int {
	ports := map[string]int{}
	for _, m := range mediaLine.FindAllStringSubmatch(msg, -1) {
		var port int
		_, _ = fmt.Sscan(m[2], &port)
		ports[m[1]] = port
	}
	return ports
}

// say sends an RTP packet to a port of the adapter.
func (p *scriptPhone) say(port int, packet string) {
	p.t.Helper()
	if _, err := p.rtp.WriteToUDPAddrPort([]byte(packet), netip.AddrPortFrom(p.at.Addr(), uint16(port))); err != nil {
		p.t.Fatal(err)
	}
}

// listens waits for that packet, byte for byte.
func (p *scriptPhone) listens(want string) {
	p.t.Helper()
	buf := make([]byte, 2048)
	if err := p.rtp.SetReadDeadline(time.Now().Add(testnet.Deadline)); err != nil {
		p.t.Fatal(err)
	}
	for {
		n, err := p.rtp.Read(buf)
		if err != nil {
			p.t.Fatalf("%s does not hear %q: %v", p.name, want, err)
		}
		if string(buf[:n]) == want {
			return
		}
	}
}
