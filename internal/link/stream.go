package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Stream is a long-lived, ordered exchange of frames with one node. One
// goroutine may send while another receives; others wait their turn.
type Stream struct {
	conn *Conn
	qs   *quic.Stream

	sending   chan struct{} // holds a token while free
	receiving chan struct{}
	end       func() // once; set on the side that opened it

	frames frameReader
}

func newStream(c *Conn, qs *quic.Stream) *Stream {
	s := &Stream{conn: c, qs: qs, sending: make(chan struct{}, 1), receiving: make(chan struct{}, 1), end: func() {}}
	s.sending <- struct{}{}
	s.receiving <- struct{}{}
	return s
}

// Open opens a long stream whose first frame is hdr. Where the other side
// refuses it, Recv returns a *RemoteError. The caller must Close it.
func (c *Conn) Open(ctx context.Context, hdr wire.Message) (*Stream, error) {
	b, err := wire.Encode(hdr)
	if err != nil {
		return nil, err
	}
	qs, err := c.qc.OpenStreamSync(ctx)
	if err != nil {
		return nil, callError(ctx, err)
	}
	s := newStream(c, qs)
	s.end = sync.OnceFunc(c.begin())
	if err := s.write(ctx, append([]byte{kindLong}, frame(b)...)); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Conn returns the connection that the stream belongs to.
func (s *Stream) Conn() *Conn { return s.conn }

// Send sends one frame of at most MaxFrame bytes. Where ctx ends while a part
// of it has left, the stream is of no more use. Errors: ErrTooLarge, ErrLost, a
// *RemoteError where the other side has closed, or ctx's.
func (s *Stream) Send(ctx context.Context, b []byte) error {
	if len(b) > MaxFrame {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(b))
	}
	return s.write(ctx, frame(b))
}

func (s *Stream) write(ctx context.Context, b []byte) error {
	if err := take(ctx, s.sending); err != nil {
		return err
	}
	defer func() { s.sending <- struct{}{} }()
	release := interrupt(ctx, s.qs.SetWriteDeadline)
	n, err := s.qs.Write(b)
	release()
	if err == nil {
		return nil
	}
	if n > 0 {
		s.qs.CancelWrite(quic.StreamErrorCode(wire.CodeTimeout))
	}
	return streamError(ctx, err)
}

// Recv returns the next frame, or io.EOF after the other side's last. Where ctx
// ends, what has arrived of a frame is kept for the next call. Errors:
// ErrTooLarge, ErrLost, a *RemoteError where the other side has given up, or
// ctx's.
func (s *Stream) Recv(ctx context.Context) ([]byte, error) {
	if err := take(ctx, s.receiving); err != nil {
		return nil, err
	}
	defer func() { s.receiving <- struct{}{} }()
	release := interrupt(ctx, s.qs.SetReadDeadline)
	defer release()
	b, err := s.frames.next(s.qs)
	switch {
	case errors.Is(err, ErrTooLarge):
		s.qs.CancelRead(quic.StreamErrorCode(wire.CodeTooLarge))
		return nil, err
	case err != nil:
		return nil, streamError(ctx, err)
	}
	return b, nil
}

// Close ends the stream in both directions; frames already sent still arrive.
// It may be called more than once, from any goroutine.
func (s *Stream) Close() error {
	s.qs.CancelRead(quic.StreamErrorCode(wire.CodeGone))
	select {
	case <-s.sending: // quic-go forbids Close beside Write
		_ = s.qs.Close()
		s.sending <- struct{}{}
	default:
		s.qs.CancelWrite(quic.StreamErrorCode(wire.CodeGone))
	}
	s.end()
	return nil
}

// Abandon gives the stream up in both directions at once, without the end that
// Close gives it: the other side's Recv returns a *RemoteError with
// wire.CodeGone. It may be called more than once, from any goroutine.
func (s *Stream) Abandon() { s.Refuse(wire.CodeGone) }

// Refuse is Abandon with another code.
func (s *Stream) Refuse(code wire.Code) {
	abandon(s.qs, code)
	s.end()
}

// take waits for a token or the end of ctx.
func take(ctx context.Context, token <-chan struct{}) error {
	select {
	case <-token:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// interrupt makes a blocking call return when ctx ends, by setting a deadline in
// the past. The function that it returns undoes that.
func interrupt(ctx context.Context, setDeadline func(time.Time) error) (release func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = setDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-done
			_ = setDeadline(time.Time{})
		}
	}
}

func streamError(ctx context.Context, err error) error {
	var reset *quic.StreamError
	var over *quic.ApplicationError
	switch {
	case errors.Is(err, io.EOF):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.As(err, &reset) && reset.Remote:
		return &RemoteError{Code: wire.Code(reset.ErrorCode), Reason: "the stream was closed"}
	case errors.As(err, &over) && over.Remote && over.ErrorCode == CloseBye:
		return fmt.Errorf("%w: %w", ErrLeft, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}
