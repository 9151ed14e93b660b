package link

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// Link is one node's port: it serves and opens connections to other nodes. Safe
// for concurrent use.
type Link struct {
	cfg   Config
	creds atomic.Pointer[credentials]
	self  identity.NodeID
	gate  *gate
	pool  *pool
	rates *rates // of requests
	calls *rates // of long streams

	lasting *rates // of renewals, beyond the rate of requests

	relay   *relaySocket
	routes  bool            // its sockets are the system's, and so are the routes
	relayTr *quic.Transport // set before ready is closed
	vias    *vias
	passer  *passer
	blind   bool // tests only: peers are not watched

	stun  *stunner
	slots chan struct{} // one token per request being served
	enrol *quota        // of enrolment connections

	buffers   buffers
	receivers receivers

	origin time.Time    // of the connections' idle clocks; monotonic
	births atomic.Int64 // connections made so far

	started   atomic.Bool
	draining  atomic.Bool
	refusedUs atomic.Pointer[time.Time] // when another node closed a connection because of our certificate
	ready     chan struct{}             // closed when the port is bound
	done      chan struct{}             // closed when Run has returned
	tr        *quic.Transport           // set before ready is closed
	bound     netip.AddrPort            // likewise
	life      context.Context           // ends with Run
	stop      context.CancelCauseFunc

	mu      sync.Mutex
	closed  bool
	flights map[flightKey]*flight
	work    sync.WaitGroup
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Link, error) {
	routes := cfg.Socket == nil
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	creds, err := newCredentials(cfg.Key, cfg.Chain, cfg.Trust)
	if err != nil {
		return nil, err
	}
	l := &Link{
		cfg:   cfg,
		self:  creds.node.ID,
		gate:  newGate(cfg.Limits, cfg.Refused),
		pool:  newPool(cfg.Limits.Conns, cfg.Limits.ConnsPerPeer),
		rates: newRates(cfg.Limits.RequestRate, cfg.Limits.RequestBurst),
		calls: newRates(cfg.Limits.RequestRate, cfg.Limits.RequestBurst),

		lasting: newRates(lastingRate, lastingBurst),
		stun:    newStunner(cfg.Limits.STUN),
		slots:   make(chan struct{}, cfg.Limits.Requests),
		enrol: newQuota(cfg.Limits.Enrolments, cfg.Limits.EnrolmentsPerAddr, cfg.Limits.EnrolmentsPerLoopback,
			ReasonEnrolFull, ReasonEnrolAddr),
		origin:  time.Now(),
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
		flights: make(map[flightKey]*flight),
		vias:    newVias(),
		routes:  routes,
		passer:  newPasser(cfg.Limits),
	}
	l.relay = newRelaySocket(l)
	l.creds.Store(creds)
	return l, nil
}

// Run binds the port and serves until ctx ends, then closes every connection
// and returns when all its goroutines have ended: with nil, or with the reason
// for which it could not go on. A Link runs once.
func (l *Link) Run(ctx context.Context) error {
	if l.started.Swap(true) {
		return fmt.Errorf("%w: a link runs once", ErrConfig)
	}
	defer close(l.done)
	sock, err := l.cfg.Socket(l.cfg.Listen)
	if err != nil {
		return err
	}
	defer sock.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l.life, l.stop, l.bound = ctx, stop, addrPort(sock.LocalAddr())
	listener, err := l.listen(sock)
	if err != nil {
		return err
	}
	relayed, err := l.startRelay()
	if err != nil {
		return err
	}
	l.spawn(func() { stop(l.acceptAll(ctx, listener)) })
	l.spawn(func() { _ = l.acceptAll(ctx, relayed) })
	l.readyDatagrams()
	l.spawn(func() { l.readDatagrams(ctx) })
	l.spawn(func() { l.maintain(ctx) })
	close(l.ready)
	<-ctx.Done()
	l.shutdown(listener, relayed)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) && !errors.Is(cause, ErrClosed) {
		return cause
	}
	return nil
}

func (l *Link) listen(sock net.PacketConn) (*quic.Listener, error) {
	// A node that has lost its state answers packets of old connections with a
	// reset that its peers recognise, so they dial anew at once instead of
	// waiting for the idle timeout. For that the key must survive the restart.
	// The reset is sent only in answer to packets longer than itself, 42 bytes:
	// connection IDs are as long as they may be so that the smallest request is.
	reset := quic.StatelessResetKey(sha256.Sum256(append([]byte("secp2psip/1 stateless reset\x00"), l.cfg.Key.Ed25519().Seed()...)))
	believed := newTokenBucket(l.cfg.Limits.Unvalidated)
	unproven := func(net.Addr) bool {
		if !l.gate.full() && believed.Allow() {
			return false
		}
		l.cfg.Refused(ReasonRetry)
		return true
	}
	l.tr = &quic.Transport{
		Conn:                sock,
		ConnectionIDLength:  20,
		StatelessResetKey:   &reset,
		MaxTokenAge:         time.Minute,
		ConnContext:         l.gate.admit,
		VerifySourceAddress: unproven,
		Tracer:              dropCounter{l.cfg.Refused},
	}
	listener, err := l.tr.Listen(l.serverTLS(), l.quicConfig())
	if err != nil {
		return nil, fmt.Errorf("link: listen: %w", err)
	}
	return listener, nil
}

func (l *Link) quicConfig() *quic.Config {
	const window = 64 << 10 // of one stream; a message fits
	lim := l.cfg.Limits
	return &quic.Config{
		HandshakeIdleTimeout: lim.Handshake / 2, // quic-go gives the whole handshake twice that
		MaxIdleTimeout:       lim.Idle,
		KeepAlivePeriod:      lim.KeepAlive,
		// Probing for the largest packet costs more than a handshake, 9 kB, and
		// messages here are small.
		DisablePathMTUDiscovery:        true,
		InitialStreamReceiveWindow:     window,
		MaxStreamReceiveWindow:         window,
		InitialConnectionReceiveWindow: 2 * window,
		MaxConnectionReceiveWindow:     2 * window,
		MaxIncomingStreams:             int64(lim.RequestsAtOnce + lim.Streams + heldCredits),
		RequireStreamCreditRelease:     true, // see credits; an enrolment has no more streams than this
		MaxIncomingUniStreams:          -1,
		EnableDatagrams:                true,
	}
}

// shutdown tells every other side that the link goes, and waits for every
// goroutine. The socket's reader must end last: it would take the farewells
// along that have not left yet.
func (l *Link) shutdown(listeners ...*quic.Listener) {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.draining.Store(true)
	var closing sync.WaitGroup
	for _, c := range l.pool.all() {
		closing.Go(func() { c.close(CloseBye, "shutting down") })
	}
	for _, listener := range listeners {
		_ = listener.Close() // refuses the handshakes that are under way
		for {
			qc, err := listener.Accept(context.Background())
			if err != nil {
				break
			}
			passFrom(qc.Context()).done()
			closing.Go(func() { _ = qc.CloseWithError(CloseBye, "shutting down") })
		}
	}
	closing.Wait()
	l.work.Wait()
	_ = l.relayTr.Close()
	_ = l.tr.Close()
}

// spawn runs f in a goroutine that Run waits for, unless the link is closed.
func (l *Link) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.work.Go(f)
	return true
}

// await waits until the link is running.
func (l *Link) await(ctx context.Context) error {
	select {
	case <-l.done:
		return ErrClosed
	default:
	}
	select {
	case <-l.ready:
		return nil
	case <-l.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready is closed when the port is bound; it stays open if Run fails before.
func (l *Link) Ready() <-chan struct{} { return l.ready }

// Addr returns the bound address once Ready is closed, else the zero value. Its
// IP is unspecified where the link listens on every interface.
func (l *Link) Addr() netip.AddrPort {
	select {
	case <-l.ready:
		return l.bound
	default:
		return netip.AddrPort{}
	}
}

// ID returns this node's own Node-ID.
func (l *Link) ID() identity.NodeID { return l.self }

// SetIdentity takes a renewed certificate for the same key and Node-ID. New
// handshakes show it; connections that exist stay, and Outdated has them.
func (l *Link) SetIdentity(chain [][]byte) error {
	creds, err := newCredentials(l.cfg.Key, chain, l.cfg.Trust)
	if err != nil {
		return err
	}
	if creds.node.ID != l.self {
		return fmt.Errorf("%w: the renewed certificate has another Node-ID", ErrConfig)
	}
	l.creds.Store(creds)
	return nil
}
