package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/internal/socket"
)

// leg is one phone's side of a call.
type leg struct {
	s  *Session
	at Leg

	streams [lines]atomic.Pointer[[2]port] // RTP and RTCP of each m= line
}

// port is a socket towards a phone, and where that phone is.
type port struct {
	mu   sync.Mutex
	conn *socket.Conn // nil until the phone has been told of it
	told netip.AddrPort
	// found is where the phone really sends from (symmetric RTP, RFC 4961).
	found netip.AddrPort
}

func (l *leg) stream(index int) *[2]port {
	if l.streams[index].Load() == nil {
		l.streams[index].CompareAndSwap(nil, new([2]port))
	}
	return l.streams[index].Load()
}

// open returns the port at which the phone reaches the stream, 0 if there is
// none left.
func (l *leg) open(index int) uint16 {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.closed {
		return 0
	}
	st := l.stream(index)
	if c := st[0].conn; c != nil {
		return portOf(c)
	}
	rtp, rtcp, err := l.s.relay.listen(l.at.Local)
	if err != nil {
		return 0
	}
	for i, c := range []*socket.Conn{rtp, rtcp} {
		p := &st[i]
		p.mu.Lock()
		p.conn = c
		p.mu.Unlock()
		l.s.work.Go(func() { l.read(index, i == 1, p, c) })
	}
	return portOf(rtp)
}

func portOf(c net.PacketConn) uint16 { return uint16(c.LocalAddr().(*net.UDPAddr).Port) }

// close ends the readers; the session's lock is held.
func (l *leg) close() {
	for i := range l.streams {
		st := l.streams[i].Load()
		for k := range 2 {
			if st != nil && st[k].conn != nil {
				_ = st[k].conn.Close()
			}
		}
	}
}

// announce notes where the phone listens. Where it has not changed, what has
// been found out stays.
func (l *leg) announce(streams []media.Stream) {
	var told [lines][2]netip.AddrPort
	for i := range streams {
		st := &streams[i]
		host := l.at.Phone
		// Of the addresses that a phone names, only this host's own is worth
		// more than the one that it speaks from: it may know itself by that of
		// another network.
		if l.at.Local.IsLoopback() && st.Addr.IsLoopback() && st.Addr.Is4() == l.at.Local.Is4() {
			host = st.Addr
		}
		told[st.Index] = [2]netip.AddrPort{netip.AddrPortFrom(host, st.Port), netip.AddrPortFrom(host, st.RTCP)}
	}
	for i := range told {
		if !told[i][0].IsValid() && l.streams[i].Load() == nil {
			continue
		}
		st := l.stream(i)
		for k := range 2 {
			st[k].tell(told[i][k]) // #nosec G602 -- both have two
		}
	}
}

// mark returns what puts the phone back to where it is now.
func (l *leg) mark() (back func()) {
	var was [lines][2]struct{ told, found netip.AddrPort }
	for i := range l.streams {
		for k := range 2 {
			if st := l.streams[i].Load(); st != nil {
				was[i][k].told, was[i][k].found = st[k].place()
			}
		}
	}
	return func() {
		for i := range l.streams {
			for k := range 2 {
				if st := l.streams[i].Load(); st != nil {
					st[k].put(was[i][k].told, was[i][k].found)
				}
			}
		}
	}
}

func (p *port) place() (told, found netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told, p.found
}

func (p *port) put(told, found netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told, p.found = told, found
}

func (p *port) tell(at netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told != at {
		p.told, p.found = at, netip.AddrPort{}
	}
}

// isPhone tells whether a packet from there is the phone's. The first one
// decides, unless the address that the phone has named speaks later: a stranger
// on this host who is quicker has nothing of it.
func (p *port) isPhone(at Leg, from netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// On a loopback address nobody but this host can send, and a phone that
	// signals from its LAN address may send its sound from another one.
	if from.Addr() != at.Phone && !at.Local.IsLoopback() {
		return false
	}
	switch {
	case p.found == from:
		return true
	case p.told.Port() == 0: // this stream is not in use
		return false
	case p.found.IsValid() && from != p.told:
		return false
	}
	p.found = from
	return true
}

// target is where the phone's packets go.
func (p *port) target() (*socket.Conn, netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found.IsValid() {
		return p.conn, p.found
	}
	return p.conn, p.told
}

func (l *leg) send(index int, rtcp bool, packet []byte) (refused string) {
	st := l.streams[index].Load()
	if st == nil {
		return RefusedNoPhone
	}
	conn, to := st[which(rtcp)].target()
	if conn == nil || to.Port() == 0 {
		return RefusedNoPhone
	}
	_, _ = conn.WriteToUDPAddrPort(packet, to) // lost packets are lost
	return ""
}

func which(rtcp bool) int {
	if rtcp {
		return 1
	}
	return 0
}

// largest is the longest packet that is read, beyond what any path takes.
const largest = 1500

// read sends what the phone sends to the other adapter, until the socket is
// closed.
func (l *leg) read(index int, rtcp bool, p *port, conn *socket.Conn) {
	buf := make([]byte, head+largest+1)
	appendHead(buf[:0], l.s.base+uint64(2*index+which(rtcp)))
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf[head:])
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // an ICMP error of an earlier packet: the phone may come back
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if refused := l.take(index, rtcp, p, from, buf[:head+n]); refused != "" {
			l.s.relay.cfg.Refused(refused)
		}
	}
}

// take passes on a datagram whose packet came from there, or says why not.
func (l *leg) take(index int, rtcp bool, p *port, from netip.AddrPort, datagram []byte) (refused string) {
	packet := datagram[head:]
	ln := l.s.lines[index].Load()
	switch {
	case ln == nil:
		return RefusedFlow
	case len(packet) > largest:
		return RefusedNotSent
	case !isMedia(packet, rtcp):
		return RefusedNotMedia
	case !p.isPhone(l.at, from), l.s.active.Load() != l && l.s.active.Load() != nil:
		return RefusedStranger
	}
	if refused = ln.up.take(packet, rtcp); refused != "" {
		return refused
	}
	if (*l.s.carrier.Load()).SendDatagram(datagram) != nil {
		return RefusedNotSent
	}
	return ""
}
