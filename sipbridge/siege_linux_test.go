package sipbridge

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// siege opens TCP connections, writes the first bytes of a request into each,
// and holds the newest of them.
type siege struct {
	to     string
	front  string
	opened atomic.Int64 // towards the front
	next   int
	held   [600]net.Conn
}

// open opens one more connection, which replaces the oldest.
func (s *siege) open() {
	slot := &s.held[s.next%len(s.held)]
	s.next++
	if *slot != nil {
		(*slot).(*net.TCPConn).SetLinger(0) // leaves no TIME_WAIT behind
		(*slot).Close()
		*slot = nil
	}
	d := net.Dialer{Timeout: patience}
	c, err := d.Dial("tcp", s.to)
	if err != nil {
		return // the backlog is full: the attack is as strong as it gets
	}
	if s.to == s.front {
		s.opened.Add(1)
	}
	c.Write([]byte("OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP x")[:1+s.next%40])
	*slot = c
}

// dribble adds a byte to some of them.
func (s *siege) dribble() {
	for i := s.next % 7; i < len(s.held); i += 7 {
		if c := s.held[i]; c != nil {
			c.Write([]byte{'a'})
		}
	}
}

func (s *siege) close() {
	for _, c := range s.held {
		if c != nil {
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}
}

// newIdler is a program that takes connections, reads, and holds the newest
// of them, as many as the front.
func newIdler(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		var held [MaxConns]net.Conn
		for i := 0; ; i++ {
			c, err := ln.Accept()
			old := &held[i%len(held)]
			if *old != nil {
				(*old).Close()
			}
			if *old = c; err != nil {
				break
			}
			tasks.Go(func() { io.Copy(io.Discard, c) })
		}
		for _, c := range held {
			if c != nil {
				c.Close()
			}
		}
	})
	t.Cleanup(func() { ln.Close(); tasks.Wait() })
	return ln.Addr().String()
}

// besiege is TestMatrixH4Connections at some size.
func besiege(t *testing.T, connections, windows int, length time.Duration, judged bool) {
	r := start(t, &hub{call: bob, forgetful: true}, nil)
	s := &siege{to: r.tcp.String(), front: r.tcp.String()}
	defer s.close()
	carol, bob := r.phone(t, "udp", "carol"), r.phone(t, "tcp", "bob")
	register := func(p *phone) {
		if m := p.ask(p.request("REGISTER", "sip:lan.example", "To: <sip:"+p.user+"@lan.example>")); m.Status != 200 {
			t.Errorf("%s", m)
		}
	}
	register(bob)
	for range 2 * MaxConns {
		s.open()
	}
	before := heap()
	perTick := max(1, connections/windows/int(length/time.Millisecond))
	other := newIdler(t)
	took := duel(t, carol, windows, length, func(kind during) {
		if s.to = r.tcp.String(); kind == bystander {
			s.to = other
		}
		for range perTick {
			s.open()
		}
		if s.next%50 == 0 {
			s.dribble()
		}
	})
	grown := heap() - before
	t.Logf("%d connections, %d refused or displaced: heap %+d KiB, RSS %d MiB, %+v", s.opened.Load(), r.refused.of(RefusedConnections), grown>>10, rss(t)>>10, r.Stats())
	t.Logf("matrix: H4 TCP connections: %d opened, %d kept, %d KiB of heap", s.opened.Load(), r.Stats().Conns, grown>>10)
	if grown > 8<<20 || r.Stats().Conns > MaxConns {
		t.Errorf("the heap grew by %d KiB; %d connections", grown>>10, r.Stats().Conns)
	}
	if r.refused.of(RefusedConnections) < MaxConns/2 || int(s.opened.Load()) < connections/4 {
		t.Errorf("%d connections, %d refused or displaced: that was no attack", s.opened.Load(), r.refused.of(RefusedConnections))
	}
	report(t, took, judged)
	if m := bob.ask(bob.request("INVITE", "alice")); m.Status != 302 { // over the connection of before
		t.Errorf("%s", m)
	}
	register(r.phone(t, "tcp", "carol"))
}

// Connections without end, and bytes that come one at a time, keep no phone
// out: neither one that has registered over TCP, nor a new one, nor UDP.
func TestMatrixH4Connections(t *testing.T) { besiege(t, 1000, 2, 250*time.Millisecond, false) }

// A connection that says nothing, or says it slowly, is closed in time; one of
// a phone may be silent for as long as its registration lasts.
func TestMatrixH4Slowloris(t *testing.T) {
	for name, c := range map[string]struct {
		kept  bool
		every time.Duration // a byte of a request
		ends  time.Duration
	}{
		"silent":          {false, 0, strangerTime},
		"slow":            {false, 5 * time.Second, 5*time.Second + messageTime},
		"slower":          {false, 50 * time.Second, strangerTime},
		"a phone, slow":   {true, 5 * time.Second, 5*time.Second + messageTime},
		"a phone, silent": {true, 0, time.Hour + idleMore},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refused := &counts{}
				b, err := New(Config{Overlay: "lan.example", Directory: &hub{}, Listen: []string{"127.0.0.1:5060"}, Refused: refused.add, HostName: "h"})
				if err != nil {
					t.Fatal(err)
				}
				near, far := net.Pipe()
				conn := &tcpConn{b: b, c: near, flow: carryFlow("tcp", netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("127.0.0.1:5060"))}
				conn.trusted.Store(c.kept)
				conn.kept.Store(c.kept)
				ctx, cancel := context.WithCancel(t.Context())
				var attacker sync.WaitGroup
				attacker.Go(func() {
					for i := 0; c.every > 0 && ctx.Err() == nil; i++ {
						select {
						case <-time.After(c.every):
							far.Write([]byte{"OPTIONS sip:a@b SIP/2.0\r\n"[i%25]})
						case <-ctx.Done():
						}
					}
				})
				began := time.Now()
				conn.serve()
				took := time.Since(began)
				cancel()
				far.Close()
				attacker.Wait()
				t.Logf("matrix: H4 slow connection (%s) closed after: %v", name, took)
				if took != c.ends || refused.of(RefusedIdle) != 1 {
					t.Errorf("closed after %v, want %v; counted %d times", took, c.ends, refused.of(RefusedIdle))
				}
			})
		})
	}
}
