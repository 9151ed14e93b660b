package sipbridge

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// sources sends from any address of 127.0.0.0/8, as an attacker on the host
// can, and counts what comes back to all of them.
type sources struct {
	to    netip.AddrPort
	conns []*net.UDPConn
	n     int // sources used

	sent, sentBytes, got, gotBytes, final atomic.Int64
}

const addressesPerPort = 200_000

func newSources(t testing.TB, r *rig, ports int) *sources {
	t.Helper()
	s := &sources{to: r.udp}
	var readers sync.WaitGroup
	for range ports {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadBuffer(4 << 20)
		s.conns = append(s.conns, c)
		readers.Go(func() { s.count(c) })
	}
	t.Cleanup(func() {
		for _, c := range s.conns {
			c.Close()
		}
		readers.Wait()
	})
	return s
}

func (s *sources) count(c *net.UDPConn) {
	buf := make([]byte, 65536)
	for {
		n, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		s.got.Add(1)
		s.gotBytes.Add(int64(n))
		if strings.HasPrefix(string(buf[:min(n, 9)]), "SIP/2.0 3") {
			s.final.Add(1)
		}
	}
}

// send sends what make writes, from the next source.
func (s *sources) send(make func(source netip.AddrPort, n int) string) error {
	c := s.conns[s.n%len(s.conns)]
	host := uint32(s.n/len(s.conns)%addressesPerPort) + 127<<24 + 16<<16 + 1
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], host)
	source := netip.AddrPortFrom(netip.AddrFrom4(ip), c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	msg := make(source, s.n)
	s.n++
	s.sent.Add(1)
	s.sentBytes.Add(int64(len(msg)))
	_, _, err := c.WriteMsgUDPAddrPort([]byte(msg), fromAddress(ip), s.to)
	return err
}

// fromAddress is the control message that makes the kernel send from that
// address: IP_PKTINFO of ip(7).
func fromAddress(ip [4]byte) []byte {
	b := make([]byte, syscall.CmsgSpace(syscall.SizeofInet4Pktinfo))
	binary.NativeEndian.PutUint64(b, uint64(syscall.CmsgLen(syscall.SizeofInet4Pktinfo)))
	binary.NativeEndian.PutUint32(b[8:], syscall.IPPROTO_IP)
	binary.NativeEndian.PutUint32(b[12:], syscall.IP_PKTINFO)
	copy(b[20:], ip[:])
	return b
}

// mixed is one of the things that an attacker sends: calls in a name of this
// adapter and in others, registrations, questions, and no SIP at all.
func mixed(source netip.AddrPort, n int) string {
	p := &phone{to: netip.MustParseAddrPort("127.0.0.1:5060"), user: "mallory"}
	lines := []string{
		fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bKflood%d;rport", source, n), fmt.Sprintf("Call-ID: flood%d", n),
	}
	switch n % 6 {
	case 0:
		return p.write("INVITE", "sip:bob@127.0.0.1", append(lines, "From: <sip:alice@127.0.0.1>;tag=a")...)
	case 1:
		return p.write("INVITE", "sip:bob@127.0.0.1", append(lines, "From: <sip:mallory@127.0.0.1>;tag=a")...)
	case 2:
		return p.write("REGISTER", "sip:127.0.0.1", append(lines, "To: <sip:mallory@127.0.0.1>", "Contact: <sip:m@"+source.String()+">")...)
	case 3:
		return p.write("REGISTER", "sip:127.0.0.1", append(lines, "To: <sip:bob@127.0.0.1>", "Contact: <sip:m@"+source.String()+">")...)
	case 4:
		return p.write("OPTIONS", "sip:127.0.0.1", lines...)
	}
	return "\x16\x03\x01 no SIP " + source.String()
}

// write is request for a phone that has no socket.
func (p *phone) write(method, target string, lines ...string) string {
	c, _ := net.Pipe()
	defer c.Close()
	p.c = c
	return p.request(method, target, lines...)
}

// call calls bob once, as a phone does over UDP: it repeats its INVITE after
// 500 ms (RFC 3261 §17.1.1.2). It returns how long the answer took.
func (p *phone) call() time.Duration {
	p.t.Helper()
	invite := p.request("INVITE", "bob")
	id := fmt.Sprintf("%s-%d@", p.user, p.n)
	began := time.Now()
	for range 8 {
		p.send(invite)
		for {
			m, err := p.read(500 * time.Millisecond)
			if err != nil {
				break
			}
			if m.Status == 302 && strings.HasPrefix(m.field("Call-ID"), id) {
				took := time.Since(began)
				p.send(p.request("ACK", "bob"))
				return took
			}
		}
	}
	p.t.Errorf("%s's call got no answer", p.user)
	return time.Since(began)
}

// during says what happens while an honest phone calls.
type during int

const (
	idle      during = iota // nothing else
	bystander               // the attack, on another program of the host: what the machine itself makes of it
	attacked                // the attack
	numDuring
)

// duel lets an honest phone call on, one call after the other, in windows of
// each kind by turns. attack is called every millisecond. It returns how long
// the calls of each window took.
func duel(t testing.TB, p *phone, windows int, length time.Duration, attack func(during)) (took [numDuring][][]time.Duration) {
	t.Helper()
	for w := range int(numDuring) * windows {
		kind := during(w % int(numDuring))
		ctx, cancel := context.WithTimeout(context.Background(), length)
		var attacker sync.WaitGroup
		if kind != idle {
			attacker.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					attack(kind)
					<-tick.C
				}
			})
		}
		pause := time.NewTicker(2 * time.Millisecond)
		var calls []time.Duration
		for ctx.Err() == nil {
			calls = append(calls, p.call())
			<-pause.C
		}
		pause.Stop()
		took[kind] = append(took[kind], calls)
		cancel()
		attacker.Wait()
	}
	return took
}

// percentile returns the time below which that share of them is.
func percentile(list []time.Duration, share float64) time.Duration {
	slices.Sort(list)
	return list[int(share*float64(len(list)-1))]
}

// report says what the duel cost the honest phone, and fails if that was more
// than twice what it costs when the same traffic goes to another program of
// this host. A figure is the median over the windows, since what else goes on
// on the machine comes in bursts. The grain is what one turn of another thread
// on the same core may take.
func report(t testing.TB, took [numDuring][][]time.Duration, judged bool) {
	t.Helper()
	const grain = 2 * time.Millisecond
	var p99 [numDuring]time.Duration
	for kind, name := range []string{"with nothing else", "with the traffic going elsewhere", "under attack"} {
		var half, most []time.Duration
		calls := 0
		for _, w := range took[kind] {
			half, most, calls = append(half, percentile(w, 0.5)), append(most, percentile(w, 0.99)), calls+len(w)
		}
		p99[kind] = percentile(most, 0.5)
		t.Logf("%d calls %s: median %v, p99 %v", calls, name, percentile(half, 0.5), p99[kind])
	}
	if judged && p99[attacked] > 2*p99[bystander]+grain {
		t.Errorf("p99 went from %v to %v", p99[bystander], p99[attacked])
	}
}

// newBystander is a program that answers each datagram with one of 300 bytes.
func newBystander(t testing.TB) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 65536); ; {
			_, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(buf[:300], from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// heap is what lives on the heap, in bytes; rss what the process has of memory.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools and finalizers still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func rss(t testing.TB) (kib int64) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fmt.Sscan(v, &kib)
		}
	}
	return kib
}

// flood is TestMatrixH4Sources at some size: packets a millisecond, from a
// source each, over so many windows, after a number that fills whatever is
// kept for a while; total is how many sources there are at least.
func flood(t *testing.T, total, first, perTick, windows int, length time.Duration, judged bool) {
	r := start(t, &hub{call: bob, forgetful: true, accounts: "alice bob carol"}, nil)
	s := newSources(t, r, 4)
	send := func() {
		if err := s.send(mixed); err != nil {
			t.Error(err)
		}
	}
	for i := range first {
		if send(); i%100 == 99 {
			eventually(t, "the front has caught up", r.settled)
		}
	}
	carol, other := r.phone(t, "udp", "carol"), newBystander(t)
	before, attack := heap(), 0
	took := duel(t, carol, windows, length, func(kind during) {
		if s.to = r.udp; kind == bystander {
			s.to = other
		} else {
			attack += perTick
		}
		for range perTick {
			send()
		}
	})
	for s.to = r.udp; first+attack < total; attack++ { // what a busy machine had no time for
		if send(); attack%100 == 99 {
			eventually(t, "the front has caught up", r.settled)
		}
	}
	eventually(t, "the front has caught up", r.settled)
	grown := heap() - before
	st := r.Stats()
	t.Logf("%d sources, then %d: heap %+d KiB, RSS %d MiB, %+v", first, attack, grown>>10, rss(t)>>10, st)
	t.Logf("matrix: H4 packets from sources of their own: %d, %d KiB of heap, RSS %d MiB", first+attack, grown>>10, rss(t)>>10)
	if grown > 4<<20 || rss(t) > 128<<10 && !raceEnabled {
		t.Errorf("the heap grew by %d KiB, and the process has %d MiB", grown>>10, rss(t)>>10)
	}
	if st.Pending > 256 || st.Targets > targetsMax || st.Bindings > MaxBindings || st.Kept > replayBytes/replayHeader {
		t.Errorf("%+v", st)
	}
	if int(st.Requests) < (first+attack)/2 {
		t.Errorf("only %d of %d packets came: that was no attack", st.Requests, first+attack)
	}
	for _, reason := range []string{RefusedNotSIP, RefusedAccount, RefusedBindings} {
		if r.refused.of(reason) == 0 {
			t.Errorf("%s is not counted", reason)
		}
	}
	report(t, took, judged)
}

// Thousands of sources, each of which sends one thing, leave nothing behind,
// and an honest phone calls on.
func TestMatrixH4Sources(t *testing.T) { flood(t, 11_000, 10_000, 5, 2, 150*time.Millisecond, false) }

// An INVITE that nobody acknowledges is answered once, with hardly more bytes
// than it had itself, whoever it claims to come from; a repetition is answered
// once more.
func TestMatrixH4Unacknowledged(t *testing.T) {
	r := start(t, &hub{call: bob, forgetful: true}, nil)
	s := newSources(t, r, 2)
	const invites, repeats = 2000, 3
	for i := range invites {
		for range 1 + repeats*(i%2) {
			s.n = i
			if err := s.send(func(source netip.AddrPort, n int) string { return mixed(source, 6*n) }); err != nil {
				t.Fatal(err)
			}
		}
		if i%50 == 49 {
			eventually(t, "the front has caught up", func() bool { return r.Stats().Requests == uint64(s.sent.Load()) && r.settled() })
		}
	}
	before := r.Stats().Responses
	wait := time.NewTimer(1200 * time.Millisecond) // T1 and 2·T1: a server transaction would have repeated it
	<-wait.C
	st := r.Stats()
	t.Logf("%d INVITEs sent (%d B), %d answers (%d B), %d of them 302; %+v", s.sent.Load(), s.sentBytes.Load(), s.got.Load(), s.gotBytes.Load(), s.final.Load(), st)
	if st.Responses != before || st.Responses > st.Requests || s.got.Load() > s.sent.Load() || s.gotBytes.Load() > s.sentBytes.Load()*3/2 {
		t.Errorf("more came than was asked for: %d answers, later %d, to %d requests", before, st.Responses, st.Requests)
	}
	if s.final.Load() < invites || st.Repeated == 0 {
		t.Errorf("%d answers, %d repeated: that was no attack", s.final.Load(), st.Repeated)
	}
	t.Logf("matrix: H4 answers to %d INVITEs that nobody acknowledges: %d, bytes back for each sent: %.2f", s.sent.Load(), s.got.Load(), float64(s.gotBytes.Load())/float64(s.sentBytes.Load()))
}
