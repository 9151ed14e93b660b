package adapter

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/media/relay"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/resume"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// A call that is carried is not bound to the connection that it began on. When
// that is lost, or carries nothing any more, or there is a direct one beside one
// through a peer, either side opens another stream and shows that it is the
// other end of this very call.

// The times of keeping a call.
const (
	lookEvery = 500 * time.Millisecond
	// pulseTime is how long nothing may come before a sign of life is asked
	// for, and how long that may take.
	pulseTime = time.Second
	goTime    = 3 * time.Second // for one attempt to go on elsewhere
	// answerTime is how long the other side may take on a connection that works;
	// meanwhile the caller's side refuses what the other one proposes.
	answerTime = 1500 * time.Millisecond
	// goPatience is how long a call without a connection is kept. The two phones
	// hear nothing all the while.
	goPatience = 10 * time.Second
)

// The reasons with which a call is not continued, in the room "adapter".
const (
	reasonReattachUnknown = "reattach_unknown" // no call of that name with that node
	reasonReattachProof   = "reattach_proof"   // the proof does not hold
	reasonReattachTurn    = "reattach_turn"    // older than where the call is already, or this side is about to
)

var errCallUnknown = errors.New("the other adapter does not know the call any more")

// lasting is one end of a carried call.
type lasting struct {
	*resume.Exchange
	a       *Adapter
	node    *node.Node
	peer    identity.NodeID
	person  identity.AOR // at the other end
	binding binding
	caller  bool // this is the caller's side
	local   netip.Addr
	remote  netip.Addr
	revoked func() bool // the device at the other end of a call from here; nil = unknown

	device directory.Device // where the other adapter was last; keep's
	doubts int              // how often the call has left a peer for its lies; keep's

	mu      sync.Mutex
	conn    *link.Conn
	stream  *link.Stream
	turn    uint64
	trying  bool   // this side has asked to go on elsewhere
	tried   uint64 // the highest turn that it has asked for
	hear    func(over relay.Carrier)
	move    func(over relay.Carrier)
	waiting chan struct{} // closed and replaced when the call has moved
}

// last makes the tunnel of a call that begins on a stream, and looks after it
// until it is over.
func (a *Adapter) last(n *node.Node, s *link.Stream, person identity.AOR, b binding, caller bool) *lasting {
	conn := s.Conn()
	l := &lasting{
		Exchange: resume.New(s, final), a: a, node: n, peer: conn.ID(), person: person, binding: b, caller: caller,
		local: conn.LocalAddr().Addr().Unmap(), remote: conn.RemoteAddr().Addr().Unmap(),
		conn: conn, stream: s, waiting: make(chan struct{}), hear: func(relay.Carrier) {}, move: func(relay.Carrier) {},
	}
	if b.isZero() {
		return l
	}
	a.mu.Lock()
	a.lasting[b.name] = l
	a.mu.Unlock()
	a.spawn(l.keep)
	return l
}

// final tells whether an error of a stream is the end of its call. What the
// other side abandons goes on elsewhere.
func final(err error) bool {
	remote, refused := errors.AsType[*link.RemoteError](err)
	return refused && remote.Code != wire.CodeGone || errors.Is(err, link.ErrLeft) || errors.Is(err, link.ErrClosed) ||
		errors.Is(err, link.ErrTooLarge) || errors.Is(err, link.ErrProtocol)
}

// LocalIP is this host's address towards the other adapter.
func (l *lasting) LocalIP() netip.Addr { return l.local }

// RemoteIP is the other adapter's address.
func (l *lasting) RemoteIP() netip.Addr { return l.remote }

// Recv implements carry.Tunnel. What the other adapter has refused is not lost.
func (l *lasting) Recv(ctx context.Context) ([]byte, error) {
	b, err := l.Exchange.Recv(ctx)
	return b, refusedTunnel(err)
}

// Send implements carry.Tunnel.
func (l *lasting) Send(ctx context.Context, b []byte) error {
	return refusedTunnel(l.Exchange.Send(ctx, b))
}

func refusedTunnel(err error) error {
	if remote, ok := errors.AsType[*link.RemoteError](err); ok && remote.Code != wire.CodeGone {
		return sipbridge.Unreachable(fmt.Sprintf("the other side's adapter has refused the call (%d)", remote.Code))
	}
	return err
}

// Stands implements carry.Standing.
func (l *lasting) Stands() bool { return l.revoked == nil || !l.revoked() }

// Media implements carry.MediaTunnel.
func (l *lasting) Media() (relay.Carrier, [32]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn, l.binding.flows
}

// Follow implements carry.Follower.
func (l *lasting) Follow(hear, move func(over relay.Carrier)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hear, l.move = hear, move
	move(l.conn)
}

// Close ends the call.
func (l *lasting) Close() error {
	l.a.mu.Lock()
	if l.a.lasting[l.binding.name] == l {
		delete(l.a.lasting, l.binding.name)
	}
	l.a.mu.Unlock()
	return l.Exchange.Close()
}

// where is the connection that the call is on.
func (l *lasting) where() *link.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

// keep looks after the call until it is over.
func (l *lasting) keep(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	l.learn(ctx)
	var lostAt time.Time
	for {
		broken, changed, over := l.Broken()
		if over != nil {
			return
		}
		conn := l.where()
		direct, next := l.node.Link().Direct(l.peer), conn.Successor()
		switch {
		case broken || l.mistrusts(conn) || !conn.Pulse(ctx, pulseTime):
			if lostAt.IsZero() {
				lostAt = time.Now()
			}
			until, cancel := context.WithDeadline(ctx, lostAt.Add(goPatience))
			err := l.repair(until, conn)
			cancel()
			if err == nil {
				lostAt = time.Time{}
			} else if !time.Now().Before(lostAt.Add(goPatience)) || errors.Is(err, errCallUnknown) {
				l.End(err)
				return
			}
		case next != nil: // this one will be closed when its certificates end
			_ = l.goOn(ctx, next)
		case conn.Relayed() && direct != nil:
			_ = l.goOn(ctx, direct) // else it stays where it is
		default:
			lostAt = time.Time{}
		}
		select {
		case <-tick.C:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// maxDoubts bounds how often a call goes elsewhere because of what a peer does
// with its packets: where the network itself is so bad, no peer is better.
const maxDoubts = 3

// mistrusts tells whether the call had better leave the peer that passes its
// packets on, and there is another.
func (l *lasting) mistrusts(conn *link.Conn) bool {
	if conn.Doubt() == "" || l.doubts >= maxDoubts {
		return false
	}
	for _, v := range l.device.Via {
		if v.Node != conn.Via() {
			l.doubts++
			return true
		}
	}
	return false
}

// learn notes where the other adapter is, as its registration says.
func (l *lasting) learn(ctx context.Context) {
	l.device.Node = l.peer
	res, err := l.node.Directory().Resolve(ctx, l.person, directory.Options{})
	if err != nil {
		return
	}
	for _, d := range res.Devices {
		if d.Node == l.peer {
			l.device = d
		}
	}
}

// repair finds another connection to the other adapter and goes on there.
func (l *lasting) repair(ctx context.Context, old *link.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, goTime)
	defer cancel()
	d := l.device
	d.Addrs = slices.Clone(d.Addrs)
	if at := old.RemoteAddr(); at.IsValid() {
		d.Addrs = append([]netip.AddrPort{at}, d.Addrs...)
	}
	conn, err := l.node.ReachAgain(ctx, old, d)
	if err != nil {
		l.node.Directory().Invalidate(l.person)
		l.learn(ctx)
		return err
	}
	if now := l.where(); now != old {
		return nil // the other side was faster
	}
	return l.goOn(ctx, conn)
}

// goOn moves the call to another connection.
func (l *lasting) goOn(ctx context.Context, conn *link.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	l.mu.Lock()
	// One that the other side has perhaps seen is not used again.
	l.tried = max(l.turn, l.tried) + 1
	turn := l.tried
	l.trying = true
	l.hear(conn)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.trying = false
		l.mu.Unlock()
	}()
	exporter, err := conn.Exporter()
	if err != nil {
		return err
	}
	pause := l.Suspend()
	defer pause.CarryOn() // where it has not gone on elsewhere
	s, err := conn.Open(ctx, &wire.Reattach{
		Call: l.binding.name, Turn: turn, Received: pause.Received,
		Proof: l.binding.proves("reattach", exporter, turn, pause.Received),
	})
	if err != nil {
		return err
	}
	theirs, err := l.answerTo(ctx, s, exporter, turn)
	if err == nil {
		err = l.adopt(ctx, pause, s, turn, theirs)
	}
	if err != nil {
		s.Abandon()
	}
	return err
}

// answerTo reads the other side's answer to Reattach.
func (l *lasting) answerTo(ctx context.Context, s *link.Stream, exporter [32]byte, turn uint64) (received uint64, err error) {
	b, err := s.Recv(ctx)
	if err != nil {
		return 0, err
	}
	m, err := wire.Decode(b)
	if err != nil {
		return 0, err
	}
	switch m := m.(type) {
	case *wire.Reattached:
		want := l.binding.proves("reattached", exporter, turn, m.Received)
		if !hmac.Equal(want[:], m.Proof[:]) {
			return 0, errors.New("the proof of the other side does not hold")
		}
		return m.Received, nil
	case *wire.Error:
		if m.Code == wire.CodeNotFound {
			return 0, errCallUnknown
		}
		return 0, fmt.Errorf("the other side does not go on here: %s", m.Reason)
	}
	return 0, fmt.Errorf("%w: %s", link.ErrProtocol, m.Type())
}

// adopt takes the new stream.
func (l *lasting) adopt(ctx context.Context, pause *resume.Pause, s *link.Stream, turn, theirs uint64) error {
	if err := pause.Adopt(ctx, s, theirs); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.stream, l.turn = s.Conn(), s, turn
	l.move(l.conn)
	close(l.waiting)
	l.waiting = make(chan struct{})
	l.a.log.Debug().Stringer("node", l.peer).Bool("relayed", l.conn.Relayed()).Msg("a call goes on over another connection")
	return nil
}

// on returns when the call does not use that stream any more.
func (l *lasting) on(ctx context.Context, s *link.Stream) {
	for {
		l.mu.Lock()
		here, waiting := l.stream == s, l.waiting
		l.mu.Unlock()
		_, changed, over := l.Broken()
		if !here || over != nil {
			return
		}
		select {
		case <-waiting:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// serveReattach lets the other side go on with a call on a stream that it has
// opened.
func (a *Adapter) serveReattach(ctx context.Context, from *link.Conn, m *wire.Reattach, s *link.Stream) {
	refuse := func(reason string, code wire.Code, text string) {
		if b, err := wire.Encode(a.refuse(reason, code, text)); err == nil {
			_ = s.Send(ctx, b)
		}
	}
	a.mu.Lock()
	l := a.lasting[m.Call]
	a.mu.Unlock()
	exporter, err := from.Exporter()
	if l == nil || l.peer != from.ID() || err != nil {
		refuse(reasonReattachUnknown, wire.CodeNotFound, "no such call")
		return
	}
	want := l.binding.proves("reattach", exporter, m.Turn, m.Received)
	if !hmac.Equal(want[:], m.Proof[:]) {
		refuse(reasonReattachProof, wire.CodeUnauthorized, "the proof does not hold")
		return
	}
	l.mu.Lock()
	stale := m.Turn <= l.turn || l.trying && l.caller // both at once: the caller's side leads
	if !stale {
		l.hear(from)
	}
	l.mu.Unlock()
	if stale {
		refuse(reasonReattachTurn, wire.CodeConflict, "the call goes on elsewhere")
		return
	}
	if err := l.take(ctx, m, s, exporter); err != nil {
		s.Abandon() // its end would be the call's where the other side has gone on there
		return
	}
	l.on(ctx, s)
}

// take goes on with a call on a stream that the other side has opened for it.
func (l *lasting) take(ctx context.Context, m *wire.Reattach, s *link.Stream, exporter [32]byte) error {
	pause := l.Suspend()
	defer pause.CarryOn() // where it has not gone on here
	answer, err := wire.Encode(&wire.Reattached{Received: pause.Received, Proof: l.binding.proves("reattached", exporter, m.Turn, pause.Received)})
	if err != nil {
		return err
	}
	if err := s.Send(ctx, answer); err != nil {
		return err
	}
	return l.adopt(ctx, pause, s, m.Turn, m.Received)
}

// proves is the proof that this side is an end of the call, on the connection
// with that exporter.
func (b binding) proves(what string, exporter [32]byte, turn, received uint64) (sum [32]byte) {
	h := hmac.New(sha256.New, b.secret[:])
	h.Write([]byte("secp2psip/1 " + what))
	h.Write(exporter[:])
	h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, turn), received))
	h.Sum(sum[:0])
	return sum
}
