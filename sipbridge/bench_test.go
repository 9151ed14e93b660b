package sipbridge

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// BenchmarkRedirect handles one INVITE and its ACK, everything but reading the
// socket. The CPU per call with sockets, beside another server, is what
// scripts/bench-front.sh measures.
func BenchmarkRedirect(b *testing.B) {
	open := []carry.Opener{func(context.Context) (carry.Tunnel, string, error) { return nil, "", ErrNoWay }}
	callee := aor("bob")
	h := &hub{call: func(context.Context, Call) (*Answer, error) {
		return &Answer{Callee: callee, Path: PathDirect, Contact: "sip:bob-0x55@127.0.0.1:5999", Open: open}, nil
	}}
	r := start(b, h, nil)
	sinkhole, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer sinkhole.Close()
	source := sinkhole.LocalAddr().(*net.UDPAddr).AddrPort()
	p := r.phone(b, "udp", "alice")
	invite, ack := p.request("INVITE", "bob"), p.request("ACK", "bob", "CSeq: 1 ACK")
	ack = strings.ReplaceAll(ack, "alice-2", "alice-1")
	w := newWorker(r.Bridge)
	from := origin{sock: r.Bridge.udp[0], flow: carry.Flow{
		Transport: "udp", Remote: netip.AddrPortFrom(source.Addr().Unmap(), source.Port()), Local: r.udp,
	}}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		id := "alice-" + strconv.Itoa(n)
		w.handle([]byte(strings.ReplaceAll(invite, "alice-1", id)), &from)
		for r.Stats().Pending > 0 {
			runtime.Gosched()
		}
		w.handle([]byte(strings.ReplaceAll(ack, "alice-1", id)), &from)
	}
	b.ReportMetric(float64(r.Stats().Redirects)/float64(n), "302/op")
}
