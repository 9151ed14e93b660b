//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/media/relay"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// What the benchmark of media sends: G.711 in packets of 20 ms, both ways.
const (
	mediaCalls = 50
	mediaTime  = 5 * time.Second
	mediaFrame = 20 * time.Millisecond
	mediaBytes = 172
)

var here = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// voice is one direction of one call: it sends from one socket, and times what
// arrives at another. The clock is the same at both.
type voice struct {
	from, at *net.UDPConn
	to       netip.AddrPort

	sent  int
	got   atomic.Int64
	late  int // out of order
	took  []time.Duration
	start time.Duration // within the first frame
}

func (v *voice) send(ctx context.Context) {
	select {
	case <-time.After(v.start):
	case <-ctx.Done():
	}
	tick := time.NewTicker(mediaFrame)
	defer tick.Stop()
	b := make([]byte, mediaBytes)
	b[0] = 0x80
	for {
		binary.BigEndian.PutUint16(b[2:], uint16(v.sent))
		binary.BigEndian.PutUint32(b[4:], uint32(160*v.sent))
		binary.BigEndian.PutUint64(b[12:], uint64(time.Now().UnixNano()))
		if _, err := v.from.WriteToUDPAddrPort(b, v.to); err == nil {
			v.sent++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (v *voice) receive() {
	b := make([]byte, 2048)
	last := -1
	for {
		n, _, err := v.at.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if n != mediaBytes {
			continue
		}
		v.took = append(v.took, time.Duration(time.Now().UnixNano()-int64(binary.BigEndian.Uint64(b[12:]))))
		seq := int(binary.BigEndian.Uint16(b[2:]))
		if seq <= last {
			v.late++
		}
		last = seq
		v.got.Add(1)
	}
}

// spoken is what came of all voices.
type spoken struct {
	sent, got, late int
	took            []time.Duration // sorted
	cpu             time.Duration
	allocs          uint64
}

// speak lets all voices speak at once.
func speak(b *testing.B, voices []*voice) (s spoken) {
	ctx, cancel := context.WithTimeout(b.Context(), mediaTime)
	defer cancel()
	var senders, receivers sync.WaitGroup
	before, made := cpuTime(b), mallocs()
	for i, v := range voices {
		v.start = mediaFrame * time.Duration(i) / time.Duration(len(voices))
		v.took = make([]time.Duration, 0, 2*mediaTime/mediaFrame)
		receivers.Go(v.receive)
		senders.Go(func() { v.send(ctx) })
	}
	senders.Wait()
	s.cpu, s.allocs = cpuTime(b)-before, mallocs()-made
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		s.sent, s.got = 0, 0
		for _, v := range voices {
			s.sent, s.got = s.sent+v.sent, s.got+int(v.got.Load())
		}
		if s.sent == s.got {
			break
		}
	}
	for _, v := range voices {
		_ = v.at.SetReadDeadline(time.Unix(1, 0))
	}
	receivers.Wait()
	for _, v := range voices {
		s.late += v.late
		s.took = append(s.took, v.took...)
		_ = v.at.SetReadDeadline(time.Time{})
	}
	slices.Sort(s.took)
	return s
}

// mallocs is how many objects this process has allocated so far.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func socket(b *testing.B) (*net.UDPConn, netip.AddrPort) {
	b.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c, c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// wires are two adapters' ends of their link, each with a relay.
type wires struct {
	a, b     *relay.Relay
	atA, atB relay.Carrier
	refused  atomic.Int64
	people   []*testnet.Member
}

// dropped counts what the relays and the links have dropped and said so.
func (w *wires) dropped() (n uint64) {
	n = uint64(w.refused.Load())
	for _, m := range w.people {
		for reason, times := range m.It.Status().Refusals {
			if strings.HasPrefix(reason, "link/datagram") {
				n += times
			}
		}
	}
	return n
}

func newWires(b *testing.B) *wires {
	b.Helper()
	l := testnet.New(b, nil)
	alice, bob := l.Add("alice", nil), l.Add("bob", nil)
	alice.Phone(440)
	bob.Phone(1000)
	alice.Joined()
	bob.Joined()
	w := &wires{people: []*testnet.Member{alice, bob}}
	var err error
	refused := func(string) { w.refused.Add(1) }
	if w.a, err = relay.New(relay.Config{MinPort: 50000, Refused: refused}); err != nil {
		b.Fatal(err)
	}
	if w.b, err = relay.New(relay.Config{MinPort: 52000, Refused: refused}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), testnet.Deadline)
	defer cancel()
	conn, err := alice.It.Node().Link().Connect(ctx, bob.It.Node().Self())
	if err != nil {
		b.Fatal(err)
	}
	var back atomic.Pointer[link.Conn]
	hello := []byte{link.DatagramMedia, 7}
	alice.It.Node().Link().HandleDatagrams(link.DatagramMedia, func(from *link.Conn, p []byte) { w.a.Receive(from, p) })
	bob.It.Node().Link().HandleDatagrams(link.DatagramMedia, func(from *link.Conn, p []byte) {
		if bytes.Equal(p, hello) {
			back.Store(from)
			return
		}
		w.b.Receive(from, p)
	})
	testnet.Eventually(b, "bob's adapter hears alice's", func() bool {
		_ = conn.SendDatagram(hello)
		return back.Load() != nil
	})
	w.atA, w.atB = conn, back.Load()
	return w
}

// call sets one call's media up and returns its two voices.
func (w *wires) call(b *testing.B, n int) []*voice {
	b.Helper()
	key := [32]byte{1, byte(n)}
	open := func(r *relay.Relay, over relay.Carrier) *relay.Session {
		s, err := r.Open(over, key)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		return s
	}
	pa, addrA := socket(b)
	pb, addrB := socket(b)
	sa, sb := open(w.a, w.atA), open(w.b, w.atB)
	leg := relay.Leg{Local: here, Phone: here}
	pass := func(out []byte, err error) []byte {
		if err != nil {
			b.Fatal(err)
		}
		return out
	}
	offer := pass(sb.ToPhone(leg, pass(sa.FromPhone(leg, describe(addrA.Port())))))
	answer := pass(sa.ToPhone(leg, pass(sb.FromPhone(leg, describe(addrB.Port())))))
	return []*voice{{from: pa, at: pb, to: audioAt(b, answer)}, {from: pb, at: pa, to: audioAt(b, offer)}}
}

func describe(port uint16) []byte {
	return fmt.Appendf(nil, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\n", port)
}

func audioAt(b *testing.B, body []byte) netip.AddrPort {
	b.Helper()
	var port uint16
	_, rest, _ := strings.Cut(string(body), "m=audio ")
	if _, err := fmt.Sscan(rest, &port); err != nil {
		b.Fatal(err)
	}
	return netip.AddrPortFrom(here, port)
}

// BenchmarkMedia has 50 calls speak both ways at once, 50 packets a second
// each, through two adapters' relays and the link between them, and beside it
// the same phones without any. What the way adds is the difference.
func BenchmarkMedia(b *testing.B) {
	w := newWires(b)
	var plain, relayed []*voice
	for n := range mediaCalls {
		pa, addrA := socket(b)
		pb, addrB := socket(b)
		plain = append(plain, &voice{from: pa, at: pb, to: addrB}, &voice{from: pb, at: pa, to: addrA})
		relayed = append(relayed, w.call(b, n)...)
	}
	for b.Loop() {
		for _, v := range slices.Concat(plain, relayed) {
			v.sent, v.late = 0, 0
			v.got.Store(0)
		}
		direct, through := speak(b, plain), speak(b, relayed)
		added := func(p float64) float64 {
			return float64(percentile(through.took, p)-percentile(direct.took, p)) / float64(time.Microsecond)
		}
		b.ReportMetric(added(0.5), "added-p50-µs")
		b.ReportMetric(added(0.99), "added-p99-µs")
		b.ReportMetric(float64(percentile(direct.took, 0.99))/float64(time.Microsecond), "bare-p99-µs")
		b.ReportMetric(float64(through.sent-through.got), "lost")
		b.ReportMetric(float64(through.late), "out-of-order")
		b.ReportMetric(float64(w.dropped()), "dropped")
		// Both adapters are in this process: half of what they use is one's.
		b.ReportMetric(float64(through.cpu-direct.cpu)/2/float64(through.sent)/float64(time.Microsecond), "cpu-µs/packet-and-adapter")
		b.ReportMetric(float64(through.allocs-direct.allocs)/2/float64(through.sent), "allocs/packet-and-adapter")
		b.ReportMetric(100*float64(through.cpu-direct.cpu)/2/mediaCalls/float64(mediaTime), "core-%/call-and-adapter")
	}
}
