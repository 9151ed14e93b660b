package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// stagger is how long one address has before the next is tried beside it
// (RFC 8305 §5).
const stagger = 150 * time.Millisecond

// flight is one attempt to connect that all who want the same node share.
type flight struct {
	done chan struct{}
	conn *Conn
	err  error
}

// flightKey is a Node-ID, or an address where the ID is not known.
type flightKey struct {
	id     identity.NodeID
	addr   netip.AddrPort
	direct bool
	fresh  bool // beside one that there is
}

// Connect returns a connection to the node, the one there is or a new one to
// any of its addresses. The other side has shown a certificate of this overlay
// with this Node-ID. Errors: ErrSelf, ErrUnreachable, ErrWrongNode, ErrClosed,
// those of identity.Trust.VerifyNode, or ctx's.
func (l *Link) Connect(ctx context.Context, to wire.Peer) (*Conn, error) {
	c, _, err := l.connectVia(ctx, to, nil)
	return c, err
}

func (l *Link) connect(ctx context.Context, to wire.Peer) (c *Conn, pooled bool, err error) {
	return l.connectVia(ctx, to, nil)
}

// connectVia also tells whether the connection was there before.
func (l *Link) connectVia(ctx context.Context, to wire.Peer, via []wire.Peer) (c *Conn, pooled bool, err error) {
	if to.ID == l.self {
		return nil, false, ErrSelf
	}
	if c := l.pool.get(to.ID); c != nil {
		return c, true, nil
	}
	if len(via) == 0 {
		via = l.cfg.Across.Through(to)
	}
	c, err = l.share(ctx, flightKey{id: to.ID}, func() []way { return l.waysTo(to, via, l.exactly(to.ID)) })
	if err == nil {
		l.vias.remember(to.ID, c.via)
	}
	return c, false, err
}

// ConnectAny connects to whichever node of this overlay answers at addr: for a
// seed whose Node-ID is not known. Errors as Connect's.
func (l *Link) ConnectAny(ctx context.Context, addr netip.AddrPort) (*Conn, error) {
	if c := l.pool.at(addr); c != nil {
		return c, nil
	}
	accept := func(got *identity.NodeCertificate) error {
		if got.ID == l.self {
			return ErrSelf
		}
		return nil
	}
	return l.share(ctx, flightKey{addr: addr}, func() []way { return l.directWays([]netip.AddrPort{addr}, accept) })
}

// share joins the flight under key or starts it. A flight that somebody else
// started may have known other ways: after it has failed, the caller
// starts its own.
func (l *Link) share(ctx context.Context, key flightKey, ways func() []way) (*Conn, error) {
	if err := l.await(ctx); err != nil {
		return nil, err
	}
	for {
		f, own, err := l.flight(key, ways)
		if err != nil {
			return nil, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if f.err == nil || own {
			return f.conn, f.err
		}
	}
}

func (l *Link) flight(key flightKey, ways func() []way) (f *flight, own bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false, ErrClosed
	}
	if f, ok := l.flights[key]; ok {
		return f, false, nil
	}
	f = &flight{done: make(chan struct{})}
	l.flights[key] = f
	l.work.Go(func() {
		f.conn, f.err = l.dial(ways())
		l.mu.Lock()
		delete(l.flights, key)
		l.mu.Unlock()
		close(f.done)
	})
	return f, true, nil
}

// dial connects and takes the connection into the pool.
func (l *Link) dial(ways []way) (*Conn, error) {
	ctx, cancel := context.WithTimeout(l.life, l.cfg.Limits.Dial)
	defer cancel()
	own := l.creds.Load() // or a later one: then the connection is made once more than it must
	qc, err := race(ctx, ways)
	switch {
	case err != nil && l.life.Err() != nil:
		return nil, ErrClosed
	case err != nil:
		return nil, err
	}
	c, err := l.newConn(qc, own, false)
	if err != nil {
		_ = qc.CloseWithError(CloseDropped, "certificate")
		return nil, err
	}
	if err := l.adopt(c); err != nil {
		return nil, err
	}
	return c, nil
}

// adopt puts c into the pool and serves it until it ends.
func (l *Link) adopt(c *Conn) error {
	evicted, ok := l.pool.add(c)
	if !ok {
		l.cfg.Refused(ReasonConnsFull)
		c.close(CloseFull, "no place")
		return fmt.Errorf("%w: every connection is in use", ErrUnreachable)
	}
	for _, e := range evicted {
		e.close(CloseIdle, "another connection needs the place")
	}
	if !l.spawn(func() { l.serve(c) }) {
		l.pool.remove(c)
		c.close(CloseBye, "shutting down")
		return ErrClosed
	}
	l.spawn(func() { l.receiveDatagrams(c) })
	return nil
}

type attempt struct {
	name string
	qc   *quic.Conn
	err  error
}

// race tries the ways one after the other, each with a head start over the
// next, and returns the first connection.
func race(ctx context.Context, ways []way) (*quic.Conn, error) {
	if len(ways) == 0 {
		return nil, fmt.Errorf("%w: no address known", ErrUnreachable)
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan attempt, len(ways))
	next := time.NewTimer(0)
	defer next.Stop()
	started, ended := 0, 0
	defer func() { // close what still arrives after the winner
		cancel()
		for ; ended < started; ended++ {
			if late := <-results; late.qc != nil {
				_ = late.qc.CloseWithError(CloseDone, "another way was faster")
			}
		}
	}()
	var errs []error
	for {
		select {
		case <-next.C:
			if started == len(ways) {
				continue
			}
			w := ways[started]
			started++
			go func() {
				qc, err := w.dial(ctx)
				results <- attempt{w.name, qc, err}
			}()
			next.Reset(stagger)
		case r := <-results:
			ended++
			if r.err == nil {
				return r.qc, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", r.name, dialError(r.err)))
			if ended == len(ways) {
				return nil, joinDialErrors(errs)
			}
			next.Reset(0)
		}
	}
}

// dialError turns quic-go's errors into this package's.
func dialError(err error) error {
	var timeout *quic.HandshakeTimeoutError
	var transport *quic.TransportError
	switch {
	case errors.Is(err, ErrSelf), errors.Is(err, ErrWrongNode), errors.Is(err, ErrUnreachable), errors.Is(err, ErrProtocol),
		errors.Is(err, identity.ErrMalformed), errors.Is(err, identity.ErrUntrusted),
		errors.Is(err, identity.ErrOtherOverlay), errors.Is(err, identity.ErrExpired),
		errors.Is(err, ErrWrongRoot), errors.Is(err, ErrNotBootstrap):
		return ownVerdict(err)
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer", ErrUnreachable)
	case errors.As(err, &transport) && transport.Remote:
		return fmt.Errorf("%w: it refuses the connection: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// ownVerdict returns what this side had against the other's certificate,
// without the TLS alert that quic-go puts around it.
func ownVerdict(err error) error {
	var alert *quic.TransportError
	if !errors.As(err, &alert) {
		return err
	}
	for _, inner := range alert.Unwrap() {
		if inner != nil && inner != net.ErrClosed { // exactly this one is always there
			return inner
		}
	}
	return err
}

// joinDialErrors makes one line of the errors of all addresses.
func joinDialErrors(errs []error) error {
	all := errs[0]
	for _, err := range errs[1:] {
		all = fmt.Errorf("%w; %w", all, err)
	}
	return all
}
