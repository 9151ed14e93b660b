package relay

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/media"
)

func allowed() *meter {
	st := media.Stream{Packets: 1 << 20, Bytes: 1 << 30}
	st.Clocks[0] = 8000
	m := &meter{}
	m.init(&st)
	m.need(&st)
	return m
}

func TestLossIsWhatNeverCame(t *testing.T) {
	for _, tc := range []struct {
		name string
		seqs []int
		lost uint64
	}{
		{"none", []int{5, 6, 7}, 0},
		{"two", []int{5, 8, 9}, 2},
		{"late ones are not lost", []int{5, 8, 7, 6}, 0},
		{"before the first", []int{5, 3, 4}, 0},
		{"around the end", []int{65534, 65535, 0, 2}, 1},
		{"repeated", []int{1, 1, 1, 4}, 0},
		{"a new beginning", []int{1, 3, 30000, 30002}, 2},
	} {
		m := allowed()
		for _, s := range tc.seqs {
			if r := m.take(rtp(s, 7), false); r != "" {
				t.Fatal(r)
			}
		}
		if got := m.read(); got.Lost != tc.lost || got.Packets != uint64(len(tc.seqs)) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	m := allowed()
	for _, p := range [][]byte{rtp(1, 7), rtp(3, 7), rtp(900, 8), rtp(901, 8)} { // another source
		m.take(p, false)
	}
	if got := m.read(); got.Lost != 1 {
		t.Errorf("another source: %+v", got)
	}
}

func TestJitterFollowsTheFormula(t *testing.T) {
	m := allowed()
	at := time.Unix(1000, 0)
	m.countLocked(rtp(1, 7), at)
	m.countLocked(rtp(2, 7), at.Add(36*time.Millisecond)) // 16 ms late
	if m.jitter != int64(time.Millisecond) {
		t.Errorf("jitter %v", time.Duration(m.jitter))
	}
	wrap := rtp(3, 7)
	binary.BigEndian.PutUint32(wrap[4:], 1<<31)
	m.countLocked(wrap, at.Add(56*time.Millisecond))
	if m.jitter > int64(time.Millisecond) {
		t.Errorf("a jump of the timestamp counts: %v", time.Duration(m.jitter))
	}
}

func unlimited(s *Session) {
	s.lines[0].Store(newLine(&media.Stream{Packets: 1 << 30, Bytes: 1 << 40}))
}

// In steady state a relayed packet costs no allocation, either way.
func TestRelayingAllocatesNothing(t *testing.T) {
	c := newCall(t)
	unlimited(c.atA)
	datagram := append(appendHead(nil, base(secret)), rtp(1, 7)...)
	if n := testing.AllocsPerRun(1000, func() { c.relayA.Receive(c.wireA, datagram) }); n != 0 {
		t.Errorf("%v allocations for a packet to the phone", n)
	}
	silent := quiet{}
	s := open(t, c.relayA, silent, [32]byte{4})
	if _, err := s.FromPhone(onHost, description(c.a.port())); err != nil {
		t.Fatal(err)
	}
	unlimited(s)
	l := s.active.Load()
	p := &l.stream(0)[0]
	n := testing.AllocsPerRun(1000, func() {
		if r := l.take(0, false, p, p.told, datagram); r != "" {
			t.Fatal(r)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a packet of the phone", n)
	}
}

// quiet is a connection that leads nowhere.
type quiet struct{}

func (quiet) SendDatagram([]byte) error { return nil }
func (quiet) RTT() time.Duration        { return 0 }

// A call with audio and video takes at most 64 KiB, stacks included.
func TestMemoryOfACall(t *testing.T) {
	const calls = 40
	r, _ := newRelay(t, Config{})
	before := inUse()
	for i := range calls {
		s := open(t, r, quiet{}, [32]byte{byte(i)})
		if _, err := s.FromPhone(onHost, description(4000, 4002)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ToPhone(onHost, description(9, 9)); err != nil {
			t.Fatal(err)
		}
	}
	if each := (inUse() - before) / calls; each > 64<<10 {
		t.Errorf("%d bytes for a call", each)
	} else {
		t.Logf("%d bytes for a call with two streams", each)
	}
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// Another adapter writes the datagrams. Whatever they are, only a packet of
// media in a flow of this call reaches the phone, unaltered.
func FuzzReceive(f *testing.F) {
	f.Add(append(appendHead(nil, base(secret)), rtp(1, 7)...))
	f.Add(append(appendHead(nil, base(secret)+1), 0x80, 200, 0, 1, 0, 0, 0, 0))
	f.Add([]byte{1, 0x40, 0x10})
	r, _ := newRelay(f, Config{MinPort: 45100})
	near, far := wire(r, r)
	s := open(f, r, near, secret)
	p := newPhone(f)
	if _, err := s.FromPhone(onHost, description(p.port())); err != nil {
		f.Fatal(err)
	}
	if _, err := s.ToPhone(onHost, description(9)); err != nil {
		f.Fatal(err)
	}
	unlimited(s)
	buf := make([]byte, 1<<16)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := s.lines[0].Load().down.read().Packets
		r.Receive(far, b)
		r.Receive(near, b)
		taken := s.lines[0].Load().down.read().Packets - before
		flow, packet, ok := readHead(b)
		mine := ok && flow&^3 == base(secret)&^3 && flow&^flowMask == base(secret)
		if taken > 0 && !mine || taken > 1 {
			t.Fatalf("%d packets taken of %x", taken, b)
		}
		if taken == 1 && flow == base(secret) {
			_ = p.rtp.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := p.rtp.Read(buf)
			if err != nil || !bytes.Equal(buf[:n], packet) {
				t.Fatalf("%v: %x became %x", err, packet, buf[:n])
			}
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	c := newCall(b)
	unlimited(c.atA)
	datagram := append(appendHead(nil, base(secret)), rtp(1, 7)...)
	b.ReportAllocs()
	for b.Loop() {
		c.relayA.Receive(c.wireA, datagram)
	}
}
