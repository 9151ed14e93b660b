package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/stack"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// acceptAll takes in connections until ctx ends; it returns why it stopped.
func (l *Link) acceptAll(ctx context.Context, listener *quic.Listener) error {
	for {
		qc, err := listener.Accept(ctx)
		if err != nil {
			return err
		}
		passFrom(qc.Context()).done()
		if !l.spawn(func() { l.welcome(qc) }) {
			_ = qc.CloseWithError(CloseBye, "shutting down")
		}
	}
}

// welcome takes in one connection whose handshake is complete.
func (l *Link) welcome(qc *quic.Conn) {
	switch qc.ConnectionState().TLS.NegotiatedProtocol {
	case alpnEnrol:
		l.serveEnrolment(qc)
		return
	case alpnProbe:
		l.serveProbe(qc)
		return
	}
	c, err := l.newConn(qc, passFrom(qc.Context()).shown(l.creds.Load()), true)
	if err != nil {
		_ = qc.CloseWithError(CloseDropped, "certificate")
		return
	}
	if c.ID() == l.self {
		l.cfg.Refused(ReasonSelf)
		l.cfg.Log.Warn().Stringer("addr", c.RemoteAddr()).Msg("another program runs with a copy of this node's identity")
		c.close(CloseSelf, "your certificate is mine")
		return
	}
	_ = l.adopt(c) // where it cannot, it has closed c and counted why
}

// serve accepts streams until the connection ends.
func (l *Link) serve(c *Conn) {
	defer l.pool.remove(c)
	for {
		s, err := c.qc.AcceptStream(context.Background())
		if err != nil {
			l.noteRefusal(err)
			return
		}
		if !l.spawn(func() { l.serveStream(c, s) }) {
			abandon(s, wire.CodeUnavailable)
		}
	}
}

// serveStream serves one stream that the other side opened.
func (l *Link) serveStream(c *Conn, s *quic.Stream) {
	stack.Deepen()
	defer c.credits.hold(s)
	defer c.begin()()
	deadline := time.Now().Add(l.cfg.Limits.RequestTime)
	_ = s.SetReadDeadline(deadline)
	var kind [1]byte
	if _, err := io.ReadFull(s, kind[:]); err != nil {
		l.refuseRead(err)
		abandon(s, wire.CodeMalformed)
		return
	}
	switch kind[0] {
	case kindRequest:
		ctx, cancel := context.WithDeadline(s.Context(), deadline)
		defer cancel()
		l.serveRequest(ctx, c, s, deadline)
	case kindLong:
		l.serveLong(c, s)
	default:
		l.cfg.Refused(ReasonMalformed)
		abandon(s, wire.CodeMalformed)
	}
}

// serveRequest answers the request on s.
func (l *Link) serveRequest(ctx context.Context, c *Conn, s *quic.Stream, deadline time.Time) {
	answer := func(m wire.Message) {
		c.credits.giveBack()
		l.answer(s, deadline, m)
	}
	head, refusal := l.admitRequest(c, s)
	if refusal != nil {
		answer(refusal)
		return
	}
	defer func() { <-l.slots }()
	req, refusal := l.readRequest(io.MultiReader(bytes.NewReader(head), s))
	if refusal != nil {
		answer(refusal)
		return
	}
	m := l.cfg.Handler.Serve(ctx, c, req)
	if m == nil {
		l.cfg.Refused(ReasonUnserved)
		m = wire.Errorf(wire.CodeUnsupported, "%s is not served", req.Type())
	}
	if f, ok := m.(*wire.Fetched); ok && len(c.own.ring.Certificate) > 1 {
		m = f.Shorten(c.own.ring.Certificate[1])
	}
	answer(m)
}

// admitRequest takes a slot, or says why not. Above the rate it has to see the
// request's head, which it returns.
func (l *Link) admitRequest(c *Conn, s io.Reader) (head []byte, refusal wire.Message) {
	if !l.rates.of(c.ID()).Allow() {
		head = make([]byte, wire.HeadLen)
		n, _ := io.ReadFull(s, head)
		if head = head[:n]; !lasts(wire.TypeOf(head)) || !l.lasting.of(c.ID()).Allow() {
			l.cfg.Refused(ReasonRequestRate)
			return nil, l.tryLater(wire.CodeTooMany, "too many requests")
		}
	}
	if l.draining.Load() {
		l.cfg.Refused(ReasonDraining)
		return nil, wire.Errorf(wire.CodeUnavailable, "the node is about to go")
	}
	select {
	case l.slots <- struct{}{}:
		return head, nil
	default:
		l.cfg.Refused(ReasonBusy)
		return nil, l.tryLater(wire.CodeUnavailable, "too many requests at once")
	}
}

// lasts tells whether a request is one by which a node stays what it is. A node
// that looks up much, for many phones, must not lose its certificates for it: such
// requests have a small rate of their own beyond the common one.
func lasts(t wire.Type) bool {
	return t == wire.TypeRenew || t == wire.TypeRotate || t == wire.TypeDelegate
}

// What a node may ask of that kind beyond the common rate: as many at once as it
// has accounts with few exceptions, then one in two seconds.
const (
	lastingRate  = 0.5
	lastingBurst = 8
)

func (l *Link) tryLater(code wire.Code, why string) wire.Message {
	e := wire.Errorf(code, "%s", why)
	e.Retry = uint32(l.rates.retryAfter() / time.Millisecond)
	return e
}

// readRequest reads a message up to the end of s, or says what is wrong with it.
func (l *Link) readRequest(s io.Reader) (req wire.Message, refusal wire.Message) {
	buf := l.buffers.take()
	defer l.buffers.giveBack(buf)
	b, err := readLimited(s, buf, wire.MaxMessage)
	if err != nil {
		l.refuseRead(err)
		return nil, wire.Errorf(wire.CodeMalformed, "request not readable")
	}
	req, err = wire.Decode(b)
	switch {
	case errors.Is(err, wire.ErrUnknownType):
		l.cfg.Refused(ReasonUnserved)
		return nil, wire.Errorf(wire.CodeUnsupported, "%v", err)
	case err != nil:
		l.cfg.Refused(ReasonMalformed)
		return nil, wire.Errorf(wire.CodeMalformed, "%v", err)
	}
	return req, nil
}

// refuseRead counts why a stream could not be read. One that the other side
// gave up, or that ended with its connection, is nobody's fault.
func (l *Link) refuseRead(err error) {
	switch {
	case errors.Is(err, ErrTooLarge):
		l.cfg.Refused(ReasonOversized)
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.cfg.Refused(ReasonSlow)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		l.cfg.Refused(ReasonMalformed)
	}
}

// answer writes m and ends the stream.
func (l *Link) answer(s *quic.Stream, deadline time.Time, m wire.Message) {
	s.CancelRead(quic.StreamErrorCode(wire.CodeTooMany)) // has no effect on a request read to its end
	buf := l.buffers.take()
	defer l.buffers.giveBack(buf)
	b, err := wire.Append(*buf, m)
	if err != nil {
		l.cfg.Log.Error().Err(err).Msg("answer cannot be encoded")
		code := wire.CodeInternal
		if errors.Is(err, wire.ErrTooLarge) {
			code = wire.CodeTooLarge
		}
		if b, err = wire.Append(*buf, wire.Errorf(code, "the answer cannot be encoded")); err != nil {
			abandon(s, wire.CodeInternal)
			return
		}
	}
	*buf = b
	_ = s.SetWriteDeadline(deadline)
	if _, err := s.Write(b); err != nil {
		s.CancelWrite(quic.StreamErrorCode(wire.CodeTimeout))
		return
	}
	_ = s.Close()
}

// serveLong serves a long stream after its first byte.
func (l *Link) serveLong(c *Conn, qs *quic.Stream) {
	code, reason := l.admitLong(c)
	if reason != "" {
		l.cfg.Refused(reason)
		abandon(qs, code)
		return
	}
	defer c.longs.Add(-1)
	s := newStream(c, qs)
	b, err := s.Recv(c.qc.Context()) // within the deadline of a request
	if err != nil {
		l.refuseRead(err)
		abandon(qs, wire.CodeMalformed)
		return
	}
	_ = qs.SetReadDeadline(time.Time{})
	open, err := wire.Decode(b)
	if err != nil {
		l.cfg.Refused(ReasonMalformed)
		abandon(qs, wire.CodeMalformed)
		return
	}
	defer s.Close()
	// The context is the connection's: the stream's own would end as soon as the
	// other side closes, before its last frames have been received.
	l.cfg.Handler.ServeStream(c.qc.Context(), c, open, s)
}

// admitLong counts a long stream in, or says why not.
func (l *Link) admitLong(c *Conn) (code wire.Code, refused string) {
	switch {
	case !l.calls.of(c.ID()).Allow():
		return wire.CodeTooMany, ReasonRequestRate
	case l.draining.Load():
		return wire.CodeUnavailable, ReasonDraining
	case c.longs.Add(1) > int64(l.cfg.Limits.Streams):
		c.longs.Add(-1)
		return wire.CodeUnavailable, ReasonStreams
	}
	return 0, ""
}
