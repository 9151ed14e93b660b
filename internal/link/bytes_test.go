package link_test

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// tap is a UDP relay in front of a node that counts what passes.
type tap struct {
	front *net.UDPConn // where the client sends to
	back  *net.UDPConn // from where it goes on

	mu   sync.Mutex
	from netip.AddrPort // the client
	sent [2]traffic     // by the client, by the node
}

type traffic struct{ packets, bytes int }

// udpIPv4 is what IPv4 and UDP add to a datagram, in bytes.
const udpIPv4 = 28

func newTap(t *testing.T, to netip.AddrPort) *tap {
	t.Helper()
	p := &tap{
		front: must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback)))(t),
		back:  must(net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to)))(t),
	}
	var both sync.WaitGroup
	both.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := p.front.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			p.count(0, n, from)
			_, _ = p.back.Write(buf[:n])
		}
	})
	both.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := p.back.Read(buf)
			if err != nil {
				return
			}
			_, _ = p.front.WriteToUDPAddrPort(buf[:n], p.count(1, n, netip.AddrPort{}))
		}
	})
	t.Cleanup(func() {
		p.front.Close()
		p.back.Close()
		both.Wait()
	})
	return p
}

func (p *tap) count(who, n int, from netip.AddrPort) netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	if who == 0 {
		p.from = from
	}
	p.sent[who].packets++
	p.sent[who].bytes += n + udpIPv4
	return p.from
}

// take returns what has passed since it was last called, once nothing has
// passed for a while.
func (p *tap) take() (client, server traffic) {
	var last [2]traffic
	for {
		<-time.After(100 * time.Millisecond)
		p.mu.Lock()
		now := p.sent
		if now == last {
			p.sent = [2]traffic{}
		}
		p.mu.Unlock()
		if now == last {
			return now[0], now[1]
		}
		last = now
	}
}

// TestHandshakeBytes measures what a first contact costs on the wire, and what
// a request and its answer cost beyond their own bytes once the link is warm.
// The simulator counts with these figures.
func TestHandshakeBytes(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b")
	p := newTap(t, b.Addr())
	to := wire.Peer{ID: b.ID(), Addrs: []netip.AddrPort{p.front.LocalAddr().(*net.UDPAddr).AddrPort()}}
	var a *node
	var client, server traffic
	for i := range 5 { // a busy machine makes a side send twice: the least is what it takes
		a = o.start(fmt.Sprint("a", i))
		must(a.Connect(t.Context(), to))(t)
		if c, s := p.take(); i == 0 || c.bytes+s.bytes < client.bytes+server.bytes {
			client, server = c, s
		}
	}
	t.Logf("handshake: client %d bytes in %d packets, server %d in %d", client.bytes, client.packets, server.bytes, server.packets)
	for _, side := range []traffic{client, server} {
		if side.bytes < 2_000 || side.bytes > 6_500 {
			t.Errorf("%d bytes for one side's handshake", side.bytes)
		}
	}
	const calls = 20
	req := &wire.Ping{}
	own := 0.0 // bytes of messages
	for range calls {
		answer := must(a.Call(t.Context(), to, req))(t)
		own += float64(len(must(wire.Encode(req))(t))+len(must(wire.Encode(answer))(t))) / calls
	}
	client, server = p.take()
	beyond := float64(client.bytes+server.bytes)/calls - own
	t.Logf("request and answer: %.1f packets, %.0f bytes beyond the messages' own %.0f", float64(client.packets+server.packets)/calls, beyond, own)
	if beyond < 80 || beyond > 260 {
		t.Errorf("%.0f bytes for each request beyond the messages", beyond)
	}
}
