package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/time/rate"
)

// STUN timing (RFC 8489 §6.2.1): the first retransmission, doubled each time.
const (
	stunRTO      = 500 * time.Millisecond
	stunTime     = 5 * time.Second
	stunQuestion = 64   // own questions under way at once
	stunLargest  = 1500 // bytes of a datagram that is looked at
)

// stunner answers binding requests and matches responses to own questions.
type stunner struct {
	limit *rate.Limiter

	mu    sync.Mutex
	asked map[[stun.TransactionIDSize]byte]*question
}

type question struct {
	server netip.AddrPort
	answer func(mapped netip.AddrPort) // called once, must not block
	once   bool                        // it has been
}

func newStunner(perSecond int) *stunner {
	return &stunner{limit: newTokenBucket(perSecond), asked: make(map[[stun.TransactionIDSize]byte]*question)}
}

// STUN asks a STUN server, which may be another link, for this link's own
// address as the server sees it (RFC 8489 §6). It sends from the link's port, so
// the answer holds for the link. Errors: ErrTimeout, ErrClosed or ctx's.
func (l *Link) STUN(ctx context.Context, server netip.AddrPort) (netip.AddrPort, error) {
	if err := l.await(ctx); err != nil {
		return netip.AddrPort{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, stunTime)
	defer cancel()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("link: STUN: %w", err)
	}
	answer := make(chan netip.AddrPort, 1)
	if err := l.stun.expect(request.TransactionID, server, func(a netip.AddrPort) { answer <- a }); err != nil {
		return netip.AddrPort{}, err
	}
	defer l.stun.forget(request.TransactionID)
	resend := time.NewTimer(0)
	defer resend.Stop()
	for rto := stunRTO; ; {
		select {
		case <-resend.C:
			if _, err := l.tr.WriteTo(request.Raw, net.UDPAddrFromAddrPort(server)); err != nil {
				return netip.AddrPort{}, fmt.Errorf("%w: STUN to %s: %w", ErrUnreachable, server, err)
			}
			resend.Reset(rto)
			rto *= 2
		case a := <-answer:
			return a, nil
		case <-l.done:
			return netip.AddrPort{}, ErrClosed
		case <-ctx.Done():
			return netip.AddrPort{}, fmt.Errorf("%w: STUN server %s: %w", ErrTimeout, server, ctx.Err())
		}
	}
}

// expect has f called with the answer to a request, if there is one, until
// forget.
func (s *stunner) expect(id [stun.TransactionIDSize]byte, server netip.AddrPort, f func(mapped netip.AddrPort)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) >= stunQuestion {
		return fmt.Errorf("%w: too many STUN requests under way", ErrUnreachable)
	}
	s.asked[id] = &question{server: server, answer: f}
	return nil
}

func (s *stunner) forget(id [stun.TransactionIDSize]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, id)
}

// readyDatagrams makes quic-go keep what arrives for readDatagrams: it drops
// that until it has been asked once.
func (l *Link) readyDatagrams() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, _ = l.tr.ReadNonQUICPacket(over, nil)
}

// readDatagrams takes what arrives on the socket and is not QUIC.
func (l *Link) readDatagrams(ctx context.Context) {
	buf := make([]byte, stunLargest)
	for {
		n, from, err := l.tr.ReadNonQUICPacket(ctx, buf)
		if err != nil {
			return
		}
		response, refused := l.stun.take(buf[:n], addrPort(from))
		if refused != "" {
			l.cfg.Refused(refused)
		}
		if response == nil {
			continue
		}
		if _, err := l.tr.WriteTo(response, from); err != nil {
			l.cfg.Log.Debug().Err(err).Msg("STUN response not sent")
		}
	}
}

// take looks at one datagram. It returns what to send back, and why it was
// refused if it was.
func (s *stunner) take(b []byte, from netip.AddrPort) (response []byte, refused string) {
	m := stun.Message{Raw: b}
	if m.Decode() != nil {
		return nil, ReasonGarbage
	}
	switch m.Type {
	case stun.BindingRequest:
		if !s.limit.Allow() {
			return nil, ReasonSTUNRate
		}
		return answerSTUN(&m, from)
	case stun.BindingSuccess:
		return nil, s.match(&m, from)
	}
	return nil, ReasonGarbage
}

// answerSTUN answers with 32 or 44 bytes to at least 20, so it is of little use
// for amplification.
func answerSTUN(request *stun.Message, from netip.AddrPort) (response []byte, refused string) {
	m, err := stun.Build(
		stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())},
	)
	if err != nil {
		return nil, ReasonGarbage
	}
	return m.Raw, ""
}

// match gives a response to the question that it answers.
func (s *stunner) match(m *stun.Message, from netip.AddrPort) (refused string) {
	var mapped stun.XORMappedAddress
	if mapped.GetFrom(m) != nil {
		return ReasonGarbage
	}
	ip, ok := netip.AddrFromSlice(mapped.IP)
	if !ok {
		return ReasonGarbage
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.asked[m.TransactionID]
	if q == nil || q.server != from {
		return ReasonGarbage
	}
	if !q.once {
		q.once = true
		q.answer(netip.AddrPortFrom(ip.Unmap(), uint16(mapped.Port)))
	}
	return ""
}
