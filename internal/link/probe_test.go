package link_test

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
)

// victim counts what reaches a socket that never answers.
type victim struct {
	at    netip.AddrPort
	bytes atomic.Int64
}

func newVictim(t testing.TB) *victim {
	t.Helper()
	sock := must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback)))(t)
	t.Cleanup(func() { sock.Close() })
	v := &victim{at: sock.LocalAddr().(*net.UDPAddr).AddrPort()}
	go func() {
		b := make([]byte, 2048)
		for {
			n, err := sock.Read(b)
			if err != nil {
				return
			}
			v.bytes.Add(int64(n))
		}
	}()
	return v
}

const probeBudget = 7200

func certificateOf(t testing.TB, from, to *node) *identity.NodeCertificate {
	t.Helper()
	return must(from.Connect(testCtx(t), to.peer()))(t).Certificate()
}

// A probe proves a node's address without becoming a connection of either side.
func TestProbe(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b, c := o.start("a"), o.start("b"), o.start("c")
	cert := certificateOf(t, a, b)
	eventually(t, "b has the connection, too", func() bool { return len(b.Peers()) == 1 })
	sent, err := a.Probe(testCtx(t), cert, b.Addr(), probeBudget)
	if err != nil {
		t.Fatal(err)
	}
	if sent < 1200 || sent > probeBudget*3/4 {
		t.Errorf("%d bytes sent; the budget must leave room", sent)
	}
	if n := len(a.Peers()) + len(b.Peers()); n != 2 {
		t.Errorf("%d connections, not one on each side", n)
	}
	if _, err := a.Probe(testCtx(t), cert, c.Addr(), probeBudget); !errors.Is(err, link.ErrWrongNode) {
		t.Errorf("another node at the address: %v", err)
	}
	other := *cert
	other.Key = newKey(t).Public()
	if _, err := a.Probe(testCtx(t), &other, b.Addr(), probeBudget); !errors.Is(err, link.ErrWrongNode) {
		t.Errorf("another key at the address: %v", err)
	}
}

// An address that does not answer gets two datagrams and no more than the
// budget, whatever QUIC would like to send again.
func TestProbeSendsLittle(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a := o.start("a", func(c *link.Config) { c.Limits.Handshake = 900 * time.Millisecond })
	b := o.start("b")
	v := newVictim(t)
	cert := certificateOf(t, a, b)
	for _, budget := range []int{probeBudget, 1300, 100} {
		before := v.bytes.Load()
		began := time.Now()
		sent, err := a.Probe(testCtx(t), cert, v.at, budget)
		if !errors.Is(err, link.ErrUnreachable) {
			t.Fatalf("budget %d: %v", budget, err)
		}
		eventually(t, "the victim gets what was sent", func() bool { return v.bytes.Load()-before == int64(sent) })
		if sent > min(budget, 2*1200) || budget >= 1200 && sent < 1200 {
			t.Errorf("budget %d: %d bytes sent", budget, sent)
		}
		t.Logf("budget %d: %d bytes in %v", budget, sent, time.Since(began))
	}
}
