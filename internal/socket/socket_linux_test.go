package socket

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// pair are two sockets of one kind, one of which is the standard library's.
type pair struct {
	ours      *Conn
	std       *net.UDPConn
	atOurs    netip.AddrPort // as the other one reaches it
	atStd     netip.AddrPort
	fromStd   netip.AddrPort // as ours sees the other one
	oursToStd netip.AddrPort // as ours is told of the other one
}

func listen(t testing.TB, network string, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func port(c *net.UDPConn) uint16 { return uint16(c.LocalAddr().(*net.UDPAddr).Port) }

// pairs are an IPv4 and an IPv6 socket, and one that takes both.
func pairs(t testing.TB) map[string]pair {
	t.Helper()
	four, six := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	out := map[string]pair{}
	for name, p := range map[string]struct {
		network    string
		bind       netip.Addr
		std        netip.Addr
		seen, told netip.Addr
	}{
		"four":              {"udp4", four, four, four, four},
		"four, told in six": {"udp4", four, four, four, netip.AddrFrom16(four.As16())},
		"six":               {"udp6", six, six, six, six},
		"both, six":         {"udp", netip.IPv6Unspecified(), six, six, six},
		"both, four":        {"udp", netip.IPv6Unspecified(), four, netip.AddrFrom16(four.As16()), four},
	} {
		c, std := listen(t, p.network, netip.AddrPortFrom(p.bind, 0)), listen(t, "udp", netip.AddrPortFrom(p.std, 0))
		ours, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = pair{
			ours, std, netip.AddrPortFrom(p.std, port(c)), netip.AddrPortFrom(p.std, port(std)),
			netip.AddrPortFrom(p.seen, port(std)), netip.AddrPortFrom(p.told, port(std)),
		}
	}
	return out
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestPacketsArriveAsTheStandardLibrarysDo(t *testing.T) {
	for name, p := range pairs(t) {
		for _, size := range []int{0, 1, 172, 1452, 9000} {
			sent, got := bytes.Repeat([]byte{byte(size), 7}, size)[:size], make([]byte, 10_000)
			must[int](t)(p.std.WriteToUDPAddrPort(sent, p.atOurs))
			n, from, err := p.ours.ReadFromUDPAddrPort(got)
			if err != nil || from != p.fromStd || !bytes.Equal(got[:n], sent) {
				t.Errorf("%s: %d bytes from %v, %v; %d from %v were sent", name, n, from, err, size, p.fromStd)
			}
			if n := must[int](t)(p.ours.WriteToUDPAddrPort(sent, p.oursToStd)); n != size {
				t.Errorf("%s: %d of %d bytes sent", name, n, size)
			}
			if n, _, err = p.std.ReadFromUDPAddrPort(got); err != nil || !bytes.Equal(got[:n], sent) {
				t.Errorf("%s: %d bytes of %d, %v", name, n, size, err)
			}
		}
	}
}

func TestABatchBringsDataAndWhatGoesWithIt(t *testing.T) {
	for name, p := range pairs(t) {
		if err := ipv4.NewPacketConn(p.ours).SetControlMessage(ipv4.FlagTTL, true); err != nil && name == "four" {
			t.Fatal(err)
		}
		ms := make([]ipv4.Message, 8)
		for i := range ms {
			ms[i].Buffers, ms[i].OOB = [][]byte{make([]byte, 2000)}, make([]byte, 128)
		}
		var first net.Addr
		for round := range 3 {
			for i := range 3 {
				must[int](t)(p.std.WriteToUDPAddrPort(bytes.Repeat([]byte{byte(i)}, 100+i), p.atOurs))
			}
			for got := 0; got < 3; {
				n := must[int](t)(p.ours.ReadBatch(ms, 0))
				for _, m := range ms[:n] {
					if m.N != 100+got || m.Buffers[0][0] != byte(got) {
						t.Fatalf("%s: packet %d has %d bytes of %d", name, got, m.N, m.Buffers[0][0])
					}
					if from := m.Addr.(*net.UDPAddr).AddrPort(); from != p.fromStd {
						t.Fatalf("%s: packet from %v, not %v", name, from, p.fromStd)
					}
					if first == nil {
						first = m.Addr
					}
					if m.Addr != first {
						t.Errorf("%s: the address is made anew in round %d", name, round)
					}
					if control, err := unix.ParseSocketControlMessage(m.OOB[:m.NN]); name == "four" && (err != nil || len(control) != 1) {
						t.Errorf("%s: %d control messages, %v; the TTL was asked for", name, len(control), err)
					}
					got++
				}
			}
		}
	}
}

func TestControlMessagesAreSent(t *testing.T) {
	p := pairs(t)["four"]
	pc := ipv4.NewPacketConn(p.std)
	if err := pc.SetControlMessage(ipv4.FlagDst, true); err != nil {
		t.Fatal(err)
	}
	src := net.IPv4(127, 0, 0, 9).To4()
	oob := (&ipv4.ControlMessage{Src: src}).Marshal()
	n, oobn, err := p.ours.WriteMsgUDP([]byte("x"), oob, net.UDPAddrFromAddrPort(p.atStd))
	if n != 1 || oobn != len(oob) || (err != nil && !errors.Is(err, unix.EINVAL)) {
		t.Fatalf("%d, %d, %v", n, oobn, err)
	}
	_, from, err := p.std.ReadFromUDPAddrPort(make([]byte, 9))
	if err != nil {
		t.Fatal(err)
	}
	// The socket is bound to 127.0.0.1; the control message says otherwise.
	if from.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 9}) {
		t.Errorf("sent from %v", from)
	}
}

func TestErrorsAreTheStandardLibrarys(t *testing.T) {
	for name, p := range pairs(t) {
		_, _, err := p.ours.WriteMsgUDP(make([]byte, 70_000), nil, net.UDPAddrFromAddrPort(p.oursToStd))
		var call *os.SyscallError
		if !errors.Is(err, unix.EMSGSIZE) || !errors.As(err, &call) {
			t.Errorf("%s: %v for 70,000 bytes", name, err)
		}
		if _, err := p.ours.WriteToUDPAddrPort(make([]byte, 70_000), p.oursToStd); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("%s: %v for 70,000 bytes", name, err)
		}
		if _, err := p.ours.WriteToUDPAddrPort(nil, netip.AddrPort{}); err == nil {
			t.Errorf("%s: sent to nobody", name)
		}
		if err := p.ours.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.ours.ReadFromUDPAddrPort(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v after the deadline", name, err)
		}
		if err := p.ours.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := p.ours.ReadBatch([]ipv4.Message{{Buffers: [][]byte{make([]byte, 9)}}}, 0)
			ended <- err
		}()
		if err := p.ours.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v after closing", name, err)
		}
		if _, _, err := p.ours.ReadFromUDPAddrPort(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v after closing", name, err)
		}
		if _, err := p.ours.WriteToUDPAddrPort(nil, p.oursToStd); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v after closing", name, err)
		}
	}
}

func TestAScopedAddressHasItsZone(t *testing.T) {
	lo := must[*net.Interface](t)(net.InterfaceByName("lo"))
	at := netip.AddrPortFrom(netip.MustParseAddr("fe80::1"), 5)
	var k known
	for range 2 {
		if got := k.as(at, uint32(lo.Index)).String(); got != "[fe80::1%lo]:5" {
			t.Errorf("%s", got)
		}
	}
	if got := k.as(at, 1<<30).String(); got != "[fe80::1%1073741824]:5" {
		t.Errorf("an interface that is gone: %s", got)
	}
	var one taker
	for _, scope := range []int{lo.Index, lo.Index, 0, 1 << 30} {
		want := map[int]string{lo.Index: "[fe80::1%lo]:5", 0: "[fe80::1]:5", 1 << 30: "[fe80::1%1073741824]:5"}[scope]
		if got := one.zoned(at, uint32(scope)).String(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	if got := k.as(netip.AddrPort{}, 0); got != nil {
		t.Errorf("no address: %v", got)
	}
}

func TestAPacketAllocatesNothing(t *testing.T) {
	for name, p := range pairs(t) {
		b, to := make([]byte, 172), net.UDPAddrFromAddrPort(p.oursToStd)
		ms := []ipv4.Message{{Buffers: [][]byte{make([]byte, 2000)}}}
		n := testing.AllocsPerRun(100, func() {
			_, _ = p.ours.WriteToUDPAddrPort(b, p.oursToStd)
			_, _, _ = p.ours.WriteMsgUDP(b, nil, to)
			_, _ = p.std.WriteToUDPAddrPort(b, p.atOurs)
			_, _ = p.std.WriteToUDPAddrPort(b, p.atOurs)
			_, _, _ = p.ours.ReadFromUDPAddrPort(b)
			_, _ = p.ours.ReadBatch(ms, 0)
		})
		if n != 0 {
			t.Errorf("%s: %g allocations for two packets each way", name, n)
		}
	}
}

// BenchmarkEcho is a packet there and back, with one processor: what the
// standard library's sockets cost beside these.
func BenchmarkEcho(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := pairs(b)["four"]
	buf := make([]byte, 172)
	b.Run("these", func(b *testing.B) {
		for b.Loop() {
			_, _ = p.ours.WriteToUDPAddrPort(buf, netip.AddrPortFrom(p.atStd.Addr(), port(p.ours.UDPConn)))
			_, _, _ = p.ours.ReadFromUDPAddrPort(buf)
		}
	})
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			_, _ = p.std.WriteToUDPAddrPort(buf, p.atStd)
			_, _, _ = p.std.ReadFromUDPAddrPort(buf)
		}
	})
}
