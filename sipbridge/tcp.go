package sipbridge

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// How long a TCP connection may be slow.
const (
	messageTime  = 20 * time.Second // from a message's first byte to its last
	strangerTime = time.Minute      // a connection over which no account spoke
	writeTime    = 5 * time.Second
	idleMore     = 5 * time.Minute // beyond the longest registration
	connsPerIP   = 64              // of MaxConns, from one address
	keepBuffer   = 16 << 10        // bytes that a connection keeps for its next message
)

type tcpListener struct {
	b     *Bridge
	ln    *net.TCPListener
	local netip.AddrPort
}

func newTCPListener(b *Bridge, ln *net.TCPListener) *tcpListener {
	a := ln.Addr().(*net.TCPAddr).AddrPort()
	return &tcpListener{b, ln, netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}
}

func (l *tcpListener) serve() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			if l.b.ctx.Err() != nil {
				return
			}
			// Out of file descriptors, most likely: the listener stays, and the
			// wait keeps this loop from spinning.
			select {
			case <-l.b.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		l.b.adopt(c, l.local.Port())
	}
}

// adopt takes a connection over and reads from it. It returns nil, and closes
// the connection, if it may not be there.
func (b *Bridge) adopt(c net.Conn, port uint16) *tcpConn {
	remote := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	local := c.LocalAddr().(*net.TCPAddr).AddrPort()
	t := &tcpConn{b: b, c: c, flow: carry.Flow{
		Transport: "tcp",
		Remote:    netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
		Local:     netip.AddrPortFrom(local.Addr().Unmap(), port),
	}}
	if !b.admits(t.flow) {
		b.refused(RefusedStranger)
		_ = c.Close()
		return nil
	}
	if !b.conns.add(t) {
		b.refused(RefusedConnections)
		_ = c.Close()
		return nil
	}
	return t
}

// tcpConn is one connection with a phone, whoever opened it.
type tcpConn struct {
	b       *Bridge
	c       net.Conn
	flow    carry.Flow
	heard   atomic.Int64 // when the last whole message came, or it was opened; as Bridge.now
	trusted atomic.Bool  // it may stay for long: an account spoke over it
	kept    atomic.Bool  // and gives way to nobody: a phone registered over it, or gave a password
	crlf    []byte       // what may be the beginning of a keep-alive; of serve
	mu      sync.Mutex   // one writer at a time
}

func (t *tcpConn) serve() {
	defer t.b.conns.remove(t)
	defer t.c.Close()
	opened, began := time.Now(), time.Time{}
	w := newWorker(t.b)
	from := origin{flow: t.flow, conn: t}
	buf := make([]byte, 0, 4096)
	for {
		if len(buf) == 0 {
			began = time.Time{}
		} else if began.IsZero() {
			began = time.Now()
		}
		_ = t.c.SetReadDeadline(t.deadline(opened, began))
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := t.c.Read(buf[len(buf):cap(buf)])
		if n == 0 && err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.b.refused(RefusedIdle)
			}
			return
		}
		rest, ok := t.take(w, &from, buf[:len(buf)+n])
		if !ok {
			return
		}
		if len(rest) == 0 && cap(buf) > keepBuffer {
			buf = make([]byte, 0, 4096)
			continue
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
	}
}

// deadline bounds the next read, of a message that began at that time unless
// that is zero.
func (t *tcpConn) deadline(opened, began time.Time) time.Time {
	end := time.Now().Add(t.b.cfg.MaxExpires + idleMore)
	if !began.IsZero() {
		end = began.Add(messageTime)
	}
	if s := opened.Add(strangerTime); !t.trusted.Load() && s.Before(end) {
		end = s
	}
	return end
}

// take handles the whole messages in buf and returns what is left, false when
// the connection is of no more use.
func (t *tcpConn) take(w *worker, from *origin, buf []byte) ([]byte, bool) {
	for {
		skip, length, err := message.Frame(buf, MaxMessage)
		pings, rest := message.Pings(append(t.crlf, buf[:skip]...))
		for range pings {
			if t.send([]byte("\r\n")) != nil {
				return nil, false
			}
		}
		if buf = buf[skip:]; len(buf) > 0 {
			rest = nil
		}
		t.crlf = append(t.crlf[:0], rest...)
		if errors.Is(err, message.ErrTooLong) {
			t.b.refused(RefusedOversize)
			t.b.nag(RefusedOversize)
		}
		if length == 0 {
			return buf, err == nil
		}
		if err != nil {
			w.broken(buf[:length], from, err)
			return nil, false
		}
		t.heard.Store(int64(t.b.now())) // before the answer: whoever has that may count on its place
		if !w.handle(buf[:length], from) {
			return nil, false
		}
		buf = buf[length:]
	}
}

func (t *tcpConn) send(msg []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.c.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := t.c.Write(msg); err != nil {
		_ = t.c.Close() // part of a message may be out; nothing can follow it
		return err
	}
	return nil
}

// connTable holds the open connections by the phone's address.
type connTable struct {
	mu    sync.Mutex
	m     map[netip.AddrPort]*tcpConn
	perIP map[netip.Addr]int
	done  bool
}

func (ct *connTable) init() {
	ct.m = make(map[netip.AddrPort]*tcpConn)
	ct.perIP = make(map[netip.Addr]int)
}

// add keeps t and starts to read from it, unless there are too many. Where
// the table is full, the connection that was silent for longest gives way, of
// those over which no phone has registered: whoever only opens connections
// keeps nobody out.
func (ct *connTable) add(t *tcpConn) bool {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	a := t.flow.Remote.Addr()
	if ct.done || ct.perIP[a] >= connsPerIP && !a.IsLoopback() || ct.m[t.flow.Remote] != nil {
		return false
	}
	if len(ct.m) >= MaxConns {
		idle := ct.idlestLocked()
		if idle == nil {
			return false
		}
		t.b.refused(RefusedConnections)
		ct.removeLocked(idle)
		_ = idle.c.Close()
	}
	t.heard.Store(int64(t.b.now()))
	ct.m[t.flow.Remote] = t
	ct.perIP[a]++
	t.b.tasks.Go(t.serve) // under the lock: closeAll comes before or after, and Wait after it
	return true
}

func (ct *connTable) idlestLocked() (idlest *tcpConn) {
	for _, t := range ct.m {
		if !t.kept.Load() && (idlest == nil || t.heard.Load() < idlest.heard.Load()) {
			idlest = t
		}
	}
	return idlest
}

func (ct *connTable) remove(t *tcpConn) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	ct.removeLocked(t)
}

func (ct *connTable) removeLocked(t *tcpConn) {
	if ct.m[t.flow.Remote] != t {
		return
	}
	delete(ct.m, t.flow.Remote)
	a := t.flow.Remote.Addr()
	if ct.perIP[a]--; ct.perIP[a] <= 0 {
		delete(ct.perIP, a)
	}
}

func (ct *connTable) get(remote netip.AddrPort) *tcpConn {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	return ct.m[remote]
}

func (ct *connTable) size() int {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	return len(ct.m)
}

func (ct *connTable) closeAll() {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	ct.done = true
	for _, t := range ct.m {
		_ = t.c.Close()
	}
}

// dial opens a connection to a phone and adopts it.
func (b *Bridge) dial(ctx context.Context, f carry.Flow) (*tcpConn, error) {
	d := net.Dialer{Timeout: writeTime}
	c, err := d.DialContext(ctx, "tcp", f.Remote.String())
	if err != nil {
		return nil, err
	}
	port := f.Local.Port()
	for _, l := range b.tcp {
		if port == 0 || l.local.Addr().Is4() == f.Remote.Addr().Is4() {
			port = l.local.Port()
			break
		}
	}
	t := b.adopt(c, port)
	if t == nil {
		return nil, ErrNoWay
	}
	t.trusted.Store(true)
	t.kept.Store(true)
	return t, nil
}
