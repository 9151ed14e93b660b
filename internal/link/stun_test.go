package link_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"github.com/secp2psip/secp2psip/internal/link"
)

// Two links tell each other their addresses, on the ports that carry QUIC.
func TestSTUN(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	got := must(a.STUN(testCtx(t), b.Addr()))(t)
	if got != a.Addr() {
		t.Errorf("b sees a at %s, a is at %s", got, a.Addr())
	}
	if n := len(a.refused.all()) + len(b.refused.all()); n != 0 {
		t.Error(a.refused.all(), b.refused.all())
	}
}

// A server of somebody else's making: pion's own parser reads the answer.
func TestSTUNRequest(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b")
	sock := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	defer sock.Close()
	_ = sock.SetDeadline(time.Now().Add(patience))
	req := must(stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewSoftware("somebody's"), stun.Fingerprint))(t)
	must(sock.WriteToUDPAddrPort(req.Raw, b.Addr()))(t)
	buf := make([]byte, 1500)
	n, from, err := sock.ReadFromUDPAddrPort(buf)
	if err != nil || from != b.Addr() {
		t.Fatal(from, err)
	}
	answer := stun.Message{Raw: buf[:n]}
	var mapped stun.XORMappedAddress
	if err := errors.Join(answer.Decode(), mapped.GetFrom(&answer)); err != nil {
		t.Fatal(err)
	}
	if answer.TransactionID != req.TransactionID || mapped.String() != sock.LocalAddr().String() {
		t.Errorf("%v", answer)
	}
	if n > 2*len(req.Raw) {
		t.Errorf("%d bytes for %d", n, len(req.Raw))
	}
}

// Only the server that was asked is believed.
func TestSTUNSpoofed(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a := o.start("a")
	server := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	defer server.Close()
	mallory := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	defer mallory.Close()
	type result struct {
		addr netip.AddrPort
		err  error
	}
	results := make(chan result, 1)
	go func() {
		addr, err := a.STUN(testCtx(t), server.LocalAddr().(*net.UDPAddr).AddrPort())
		results <- result{addr, err}
	}()
	buf := make([]byte, 1500)
	_ = server.SetDeadline(time.Now().Add(patience))
	n, _, err := server.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	req := stun.Message{Raw: buf[:n]}
	if err := req.Decode(); err != nil {
		t.Fatal(err)
	}
	forged := func(ip string, id [12]byte) []byte {
		m := must(stun.Build(stun.NewTransactionIDSetter(id), stun.BindingSuccess, &stun.XORMappedAddress{IP: net.ParseIP(ip), Port: 1}))(t)
		return m.Raw
	}
	must(mallory.WriteToUDPAddrPort(forged("192.0.2.66", req.TransactionID), a.Addr()))(t)
	must(server.WriteToUDPAddrPort(forged("192.0.2.67", [12]byte{1}), a.Addr()))(t)
	eventually(t, "both are refused", func() bool { return a.refused.of(link.ReasonGarbage) == 2 })
	must(server.WriteToUDPAddrPort(forged("192.0.2.1", req.TransactionID), a.Addr()))(t)
	if r := <-results; r.err != nil || r.addr != netip.MustParseAddrPort("192.0.2.1:1") {
		t.Error(r)
	}
}

func TestSTUNSilence(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a := o.start("a")
	silent := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.STUN(ctx, silent.LocalAddr().(*net.UDPAddr).AddrPort()); !errors.Is(err, link.ErrTimeout) {
		t.Error(err)
	}
	a.shut(t)
	if _, err := a.STUN(testCtx(t), silent.LocalAddr().(*net.UDPAddr).AddrPort()); !errors.Is(err, link.ErrClosed) {
		t.Error(err)
	}
}

func TestSTUNRate(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b", func(c *link.Config) { c.Limits.STUN = 1 })
	sock := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	defer sock.Close()
	req := must(stun.Build(stun.TransactionID, stun.BindingRequest))(t)
	eventually(t, "too many are refused", func() bool {
		must(sock.WriteToUDPAddrPort(req.Raw, b.Addr()))(t)
		return b.refused.of(link.ReasonSTUNRate) > 0
	})
}

// What is neither QUIC nor STUN is dropped and counted, and disturbs nobody.
func TestGarbage(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	if err := ping(t, a, b); err != nil {
		t.Fatal(err)
	}
	sock := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	defer sock.Close()
	long := make([]byte, 1200)
	long[0] = 0x3f
	for _, d := range [][]byte{{0}, {1, 1}, []byte("\x00\x01\x00\x00\x21\x12\xa4\x42"), long, {}, []byte("INVITE sip:bob@192.0.2.1 SIP/2.0\r\n\r\n")} {
		must(sock.WriteToUDPAddrPort(d, b.Addr()))(t)
	}
	eventually(t, "garbage is counted", func() bool { return b.refused.of(link.ReasonGarbage) == 4 })
	quicLike := make([]byte, 41) // a short header, of no connection, too short for a reset
	quicLike[0] = 0x40
	must(sock.WriteToUDPAddrPort(quicLike, b.Addr()))(t)
	eventually(t, "stray QUIC is counted", func() bool { return b.refused.of(link.ReasonQUICDropped) > 0 })
	if err := ping(t, a, b); err != nil {
		t.Error(err)
	}
}
