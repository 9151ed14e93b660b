package adapter_test

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/testnet"
)

// textPhone is the smallest phone that takes texts: it registers, answers
// OPTIONS and MESSAGE with 200, and shows what it was sent.
type textPhone struct {
	conn  *net.UDPConn
	texts chan string
	rings atomic.Int64 // INVITEs that came
}

func newTextPhone(t *testing.T, m *testnet.Member) *textPhone {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &textPhone{conn: conn, texts: make(chan string, 64)}
	done := make(chan struct{})
	registered := make(chan struct{})
	go func() {
		defer close(done)
		p.serve(registered)
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	again := time.NewTicker(time.Second) // as phones do that get a 503 from a busy machine
	defer again.Stop()
	over := time.After(testnet.Deadline)
	for cseq := 1; ; cseq++ {
		p.register(t, m, cseq, 600)
		select {
		case <-registered:
			return p
		case <-again.C:
		case <-over:
			t.Fatalf("%s's phone is not registered", m.Name)
		}
	}
}

// register asks for a binding of some seconds; 0 takes it back.
func (p *textPhone) register(t *testing.T, m *testnet.Member, cseq, seconds int) {
	t.Helper()
	at := m.SIP()
	_, err := p.conn.WriteToUDPAddrPort(fmt.Appendf(nil, "REGISTER sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bKreg%[4]d\r\n"+
		"From: <sip:%[3]s@%[1]s>;tag=t\r\nTo: <sip:%[3]s@%[1]s>\r\nCall-ID: reg-%[2]s\r\nCSeq: %[4]d REGISTER\r\nContact: <sip:%[3]s@%[2]s>\r\n"+
		"Max-Forwards: 70\r\nExpires: %[5]d\r\nContent-Length: 0\r\n\r\n", at, p.conn.LocalAddr(), m.Name, cseq, seconds), at)
	if err != nil {
		t.Fatal(err)
	}
}

func (p *textPhone) serve(registered chan struct{}) {
	buf := make([]byte, 64<<10)
	once := sync.OnceFunc(func() { close(registered) })
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		head, body, _ := bytes.Cut(buf[:n], []byte("\r\n\r\n"))
		if bytes.HasPrefix(head, []byte("SIP/2.0 200")) {
			once()
			continue
		}
		if bytes.HasPrefix(head, []byte("INVITE ")) {
			p.rings.Add(1)
		}
		if bytes.HasPrefix(head, []byte("MESSAGE ")) {
			p.texts <- string(body)
		}
		answer := []byte("SIP/2.0 200 OK\r\n")
		for _, line := range bytes.Split(head, []byte("\r\n"))[1:] {
			for _, field := range []string{"Via:", "From:", "To:", "Call-ID:", "CSeq:"} {
				if bytes.HasPrefix(line, []byte(field)) {
					answer = append(append(answer, line...), "\r\n"...)
				}
			}
		}
		_, _ = p.conn.WriteToUDPAddrPort(append(answer, "Content-Length: 0\r\n\r\n"...), from)
	}
}

// got waits for the next text.
func (p *textPhone) got(t *testing.T) string {
	t.Helper()
	select {
	case text := <-p.texts:
		return text
	case <-time.After(testnet.Deadline):
		t.Fatal("no text came")
		return ""
	}
}
