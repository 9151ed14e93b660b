package sipbridge

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// reach is what an OPTIONS to an address found.
type reach int

const (
	silent   reach = iota // no answer in time
	refusing              // the host says that nothing listens there
	present               // a SIP answer, whatever its code, that says nothing of sound
	inward                // an answer by which the phone would listen for sound on a loopback address
	outward               // an answer by which it would listen where others reach it
)

// heard reads out of the answer to an OPTIONS where the phone would listen for
// sound (RFC 3261 §11.2, RFC 8866 §5.7).
func heard(body []byte) reach {
	found := present
	for line := range bytes.Lines(body) {
		host, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("c=IN IP"))
		if !ok || len(host) < 2 {
			continue
		}
		a, err := netip.ParseAddr(string(host[2:])) // after "4 " or "6 "
		if err != nil || a.IsLoopback() {
			return inward
		}
		found = outward
	}
	return found
}

// probes asks addresses for OPTIONS and remembers the answers.
type probes struct {
	mu   sync.Mutex
	m    map[probeKey]*probed
	gate chan struct{} // bounds the sockets
	next time.Time     // when all phones are looked at again
}

type probeKey struct {
	transport string
	addr      netip.AddrPort
}

type probed struct {
	found   reach
	at      time.Time
	running chan struct{} // closed when the probe in progress is over; nil if none is
}

const (
	probesMax   = 1024
	probeFresh  = 2 * time.Second        // how long a call trusts an answer
	probeEvery  = 30 * time.Second       // how often phones are looked at without a call
	probeInCall = 400 * time.Millisecond // how long a call waits for a phone's answer
	probeAtOnce = 16
)

func newProbes() *probes {
	return &probes{m: make(map[probeKey]*probed), gate: make(chan struct{}, probeAtOnce)}
}

// ask returns whether a phone listens at addr: from memory if that is not
// older than age, else from an OPTIONS. Several who ask at once share one, in
// the first one's goroutine.
func (ps *probes) ask(ctx context.Context, k probeKey, uri string, age, wait time.Duration) reach {
	ps.mu.Lock()
	p := ps.m[k]
	if p == nil {
		if len(ps.m) >= probesMax {
			ps.pruneLocked()
		}
		p = &probed{}
		ps.m[k] = p
	}
	if running := p.running; running != nil {
		ps.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return silent
		}
		ps.mu.Lock()
		defer ps.mu.Unlock()
		return p.found
	}
	if !p.at.IsZero() && time.Since(p.at) < age {
		defer ps.mu.Unlock()
		return p.found
	}
	done := make(chan struct{})
	p.running = done
	ps.mu.Unlock()
	defer close(done)
	found := ps.send(ctx, k, uri, wait)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.running = nil
	if ctx.Err() == nil {
		p.found, p.at = found, time.Now()
	}
	return found
}

func (ps *probes) send(ctx context.Context, k probeKey, uri string, wait time.Duration) reach {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case ps.gate <- struct{}{}:
	case <-ctx.Done():
		return silent
	}
	defer func() { <-ps.gate }()
	return sendOptions(ctx, k, uri)
}

// pruneLocked forgets what is old; if nothing is, everything.
func (ps *probes) pruneLocked() {
	for k, p := range ps.m {
		if p.running == nil && time.Since(p.at) > 2*probeEvery {
			delete(ps.m, k)
		}
	}
	if len(ps.m) >= probesMax {
		clear(ps.m)
	}
}

// sendOptions asks one address until ctx ends, from a socket of its own: the
// kernel then tells when nothing listens there.
func sendOptions(ctx context.Context, k probeKey, uri string) reach {
	var d net.Dialer
	c, err := d.DialContext(ctx, k.transport, k.addr.String())
	if err != nil {
		return unreached(err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	branch := "z9hG4bKprobe" + rand.Text()
	msg := optionsRequest(k.transport, uri, branch, c.LocalAddr().String())
	buf := make([]byte, 4096)
	for pause := 100 * time.Millisecond; ctx.Err() == nil; pause *= 2 {
		if _, err := c.Write(msg); err != nil {
			return unreached(err)
		}
		if k.transport == "tcp" {
			pause = time.Hour // until ctx ends
		}
		_ = c.SetReadDeadline(time.Now().Add(pause))
		found, again := readAnswer(c, buf, branch)
		if !again {
			return found
		}
	}
	return silent
}

// readAnswer waits for the response to our branch; again means that the time
// is over.
func readAnswer(c net.Conn, buf []byte, branch string) (found reach, again bool) {
	var m message.Message
	for {
		n, err := c.Read(buf)
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			return silent, true
		}
		if err != nil {
			return unreached(err), false
		}
		if m.Parse(buf[:n]) != nil || m.IsRequest() {
			continue
		}
		if hop, err := m.Top(); err == nil && string(hop.Branch) == branch {
			return heard(m.Body), false
		}
	}
}

func unreached(err error) reach {
	if is(err, syscall.ECONNREFUSED, 10061) || errors.Is(err, syscall.Errno(10054)) {
		return refusing
	}
	return silent
}

func optionsRequest(transport, uri, branch, local string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "OPTIONS %s SIP/2.0\r\n", uri)
	fmt.Fprintf(&b, "Via: SIP/2.0/%s %s;branch=%s;rport\r\n", bytes.ToUpper([]byte(transport)), local, branch)
	fmt.Fprintf(&b, "Max-Forwards: 70\r\nFrom: <sip:%s>;tag=%s\r\nTo: <%s>\r\n", local, branch[len(branch)-8:], uri)
	fmt.Fprintf(&b, "Call-ID: %s\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n", branch)
	return b.Bytes()
}
