//go:build linux

package adapter_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// initials are the first packets of so many connections of newcomers.
func initials(t *testing.T, n int) [][]byte {
	t.Helper()
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	var out [][]byte
	for range n {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = link.DialEnrol(ctx, sink.LocalAddr().String(), [32]byte{}, nil)
		}()
		b := make([]byte, 2048)
		size, err := sink.Read(b)
		cancel()
		<-done
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b[:size])
	}
	return out
}

// spoof sends such packets to all targets in turn, from 250 addresses that never
// answer, so many a second, until ctx ends. It returns how many were sent so far.
func spoof(ctx context.Context, t *testing.T, packets [][]byte, targets []netip.AddrPort, rate int) *atomic.Int64 {
	t.Helper()
	const every = 10 * time.Millisecond
	var socks []*net.UDPConn
	for i := range 250 {
		sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 9, byte(i), 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sock.Close() })
		socks = append(socks, sock)
	}
	sent := new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for range rate / int(time.Second/every) {
				if _, err := socks[i*7%len(socks)].WriteToUDPAddrPort(packets[i%len(packets)], targets[i%len(targets)]); err == nil {
					sent.Add(1)
				}
				i++
			}
		}
	}()
	t.Cleanup(func() { <-done })
	return sent
}

// enrolments adds so many people, and returns the 95th percentile of the time
// from a phone's REGISTER to its 200, with the adapter's start.
func enrolments(l *testnet.LAN, name string, n int) time.Duration {
	var took []time.Duration
	for i := range n {
		m := l.Add(fmt.Sprintf("%s%d", name, i), nil)
		began := time.Now()
		m.Phone(toneA)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[(len(took)*95+99)/100-1]
}

// H4: while packets with false senders, each of which begins a handshake, come to
// the bootstrap server and both adapters, calls and enrolments go on. Here they are
// as many as a machine that tests other rooms meanwhile has time for.
func TestMatrixH4SpoofedPackets(t *testing.T) { spoofed(t, 2, 2, 2_500) }

// spoofed has so many people enrol and so many calls made, without and with so many
// packets a second.
func spoofed(t *testing.T, people, calls, rate int) {
	t.Helper()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	before := enrolments(l, "early", people)
	call := func() time.Duration {
		began := time.Now()
		if out := dial(t, alice, "bob"); out.Status != 200 {
			t.Fatalf("%d %s", out.Status, out.Reason)
		}
		took := time.Since(began)
		answered(t, bob)
		return took
	}
	calm := call()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	began := time.Now()
	sent := spoof(ctx, t, initials(t, 200), []netip.AddrPort{l.Server.It.Addr(), a.It.Node().Link().Addr(), b.It.Node().Link().Addr()}, rate)
	testnet.Eventually(t, "addresses must prove themselves", func() bool {
		return a.It.Status().Refusals["link/address_unproven"]+l.Server.It.Status().Refusals["link/address_unproven"] > 200
	})
	var longest time.Duration
	for range calls {
		longest = max(longest, call())
	}
	p95 := enrolments(l, "late", people)
	came := float64(sent.Load()) / time.Since(began).Seconds()
	stop()
	t.Logf("matrix: H4 %.0f spoofed packets a second (%d): %d of %d calls through, the longest %d ms (%d ms without them); enrolment p95 %d ms (%d ms without them)",
		came, sent.Load(), calls, calls, longest.Milliseconds(), calm.Milliseconds(), p95.Milliseconds(), before.Milliseconds())
	if p95 > max(2*time.Second, 4*before) { // a busy machine is slow without them, too
		t.Errorf("p95 of enrolments %v, %v without the flood", p95, before)
	}
}
