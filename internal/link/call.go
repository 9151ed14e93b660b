package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/stack"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The first byte of a stream.
const (
	kindRequest = 'Q'
	kindLong    = 'L'
)

// Call sends one request to a node and returns its answer, connecting where
// necessary. Where a connection turns out to be dead, because the node has
// restarted, Call dials anew and asks once more; so req must bear being served
// twice. Errors: Connect's, ErrLost, ErrTimeout, a *RemoteError, or ctx's.
func (l *Link) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	c, pooled, err := l.connect(ctx, to)
	if err != nil {
		return nil, err
	}
	answer, err := c.Call(ctx, req)
	if pooled && errors.Is(err, ErrLost) && ctx.Err() == nil {
		l.pool.remove(c)
		if c, _, err = l.connect(ctx, to); err != nil {
			return nil, err
		}
		return c.Call(ctx, req)
	}
	return answer, err
}

// Call sends one request and returns the answer. An answer of wire.Error
// becomes a *RemoteError. Without a deadline in ctx, Limits.RequestTime is the
// deadline. Errors: ErrLost, ErrTimeout, ErrProtocol, a *RemoteError, ctx's, or
// one of package wire.
func (c *Conn) Call(ctx context.Context, req wire.Message) (wire.Message, error) {
	stack.Deepen() // most calls have a goroutine of their own
	defer c.begin()()
	began := time.Now()
	answer, err := roundTrip(ctx, c.qc, &c.link.buffers, c.link.cfg.Limits.RequestTime, req)
	if f, ok := answer.(*wire.Fetched); ok && len(c.chain) > 1 {
		f.Restore(c.chain[1])
	}
	if c.relayed && errors.Is(err, ErrTimeout) && time.Since(began) >= relayPatience {
		c.close(CloseDropped, "no answer through the peer") // the next peer may do better
	}
	return answer, err
}

func roundTrip(ctx context.Context, qc *quic.Conn, free *buffers, limit time.Duration, req wire.Message) (wire.Message, error) {
	buf := free.take()
	defer free.giveBack(buf)
	var err error
	if *buf, err = wire.Append(append(*buf, kindRequest), req); err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	answer, err := exchange(ctx, qc, buf)
	if err != nil {
		return nil, callError(ctx, err)
	}
	m, err := wire.Decode(answer)
	if err != nil {
		return nil, fmt.Errorf("%w: answer to %s: %w", ErrProtocol, req.Type(), err)
	}
	if e, ok := m.(*wire.Error); ok {
		return nil, &RemoteError{Code: e.Code, Reason: e.Reason, Retry: time.Duration(e.Retry) * time.Millisecond}
	}
	return m, nil
}

// exchange sends what is in buf on a stream of its own, and returns in buf all
// that comes back.
func exchange(ctx context.Context, qc *quic.Conn, buf *[]byte) ([]byte, error) {
	s, err := qc.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { abandon(s, wire.CodeTimeout) })
	defer stop()
	if _, err := s.Write(*buf); err != nil {
		// The other side may have answered without reading: its answer says why.
		if answer, readErr := readLimited(s, buf, wire.MaxMessage); readErr == nil && len(answer) > 0 {
			return answer, nil
		}
		abandon(s, wire.CodeTimeout)
		return nil, err
	}
	_ = s.Close()
	answer, err := readLimited(s, buf, wire.MaxMessage)
	if err != nil {
		abandon(s, wire.CodeTooLarge)
		return nil, err
	}
	return answer, nil
}

// abandon ends both directions of a stream at once.
func abandon(s *quic.Stream, code wire.Code) {
	s.CancelRead(quic.StreamErrorCode(code))
	s.CancelWrite(quic.StreamErrorCode(code))
}

// callError turns quic-go's errors into this package's.
func callError(ctx context.Context, err error) error {
	var reset *quic.StreamError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &reset) && reset.Remote:
		return &RemoteError{Code: wire.Code(reset.ErrorCode), Reason: "the stream was reset"}
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// readLimited reads until the end of the stream into buf, at most most bytes;
// beyond, it returns ErrTooLarge. Memory grows with what arrives.
func readLimited(r io.Reader, buf *[]byte, most int) ([]byte, error) {
	b := (*buf)[:0]
	defer func() { *buf = b }()
	for {
		if len(b) == cap(b) {
			b = slices.Grow(b, 1024)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > most:
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}
