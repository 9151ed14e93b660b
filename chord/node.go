package chord

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Transport calls other nodes. Call must verify that the node at the other end
// is to.ID. A refusal by that node is a message of type *wire.Error and no
// error.
type Transport interface {
	Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error)
}

// Records is where a node keeps what it stores for the ring. It verifies what
// it is given; package chord does not look into records beyond their place.
type Records interface {
	Put(r record.Record) (record.Outcome, *record.Verified, error)
	Get(res identity.NodeID, part *uint64) []record.Record
	All() []record.Record
	Drop(res identity.NodeID, k record.Kind, part uint64)
}

// Config describes a Node. Self, Transport, Records and Charter are required.
type Config struct {
	Self       wire.Peer // this node's ID and owner, and where others reach it
	Transport  Transport
	Records    Records
	Charter    identity.Charter // where records belong
	Successors int              // length of the successor list, 2 to 8; 0 = 8
	Members    int              // bound of the table of known members; 0 = 8192
	Timing     Timing
	// RepairEvery is the time between two rounds in which the node pushes
	// all that it holds to where it belongs; 0 = 30 s.
	RepairEvery time.Duration
	// Verifier and Signer let the node take part in the spreading of signed
	// descriptors; nil = it does not. Both are called from many goroutines.
	Verifier     Verifier
	Signer       Signer
	Collision    func(a, b *wire.Descriptor) // see MachineConfig; nil = ignored
	Budget       int                         // bytes a second for membership; 0 = DefaultBudget
	Stores       StoreLimits                 // of others at this node
	OpenNetworks []netip.Prefix              // see MachineConfig
	Seed         uint64                      // of the jitter; 0 = random
	Now          func() time.Time            // overlay time, told in answer to Ping; nil = time.Now
	Log          zerolog.Logger
	Refused      func(reason string) // nil = ignore; called from many goroutines
}

// The bounds of a node's work.
const (
	maxWaiting   = 1024 // events that wait for the owner goroutine
	maxOutbound  = 256  // calls under way for look-ups and records
	lookupTime   = 3 * time.Second
	maxJoins     = 16 // callers of Join that wait
	busyRetry    = 100 * time.Millisecond
	defaultFixup = 30 * time.Second
)

// keeperStream sets the keeper's random numbers apart from the machine's.
const keeperStream = 0x6b656570

// Node is one node of the ring: a Machine with a transport, a clock and a
// store. Its methods are safe for concurrent use; those that talk to other
// nodes work while Run runs.
type Node struct {
	cfg     Config
	machine *Machine // owned by Run's goroutine
	in      chan input
	results chan Result
	view    atomic.Pointer[View]
	watch   atomic.Pointer[chan struct{}] // closed when view changes
	slots   chan struct{}
	running atomic.Bool
	lag     atomic.Int64 // the machine's
	stopped chan struct{}
	checks  *rate.Limiter // of signatures that others make this node check
	keeper  *Keeper       // keep's goroutine steps it
	mail    keeperMail

	calls   sync.WaitGroup
	waiting []chan error // callers of Join
}

// input is an event with where its outcome goes.
type input struct {
	ev    Event
	reply chan wire.Message
	done  chan error
}

// New returns a node that does not run yet and is not a member of any ring.
func New(cfg Config) (*Node, error) {
	if cfg.Transport == nil || cfg.Records == nil {
		return nil, configError("no transport or no records")
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Seed == 0 {
		cfg.Seed = rand.Uint64() // #nosec G404 -- spreads timers and partners; what must not be foreseen, crypto/rand draws
	}
	if cfg.RepairEvery <= 0 {
		cfg.RepairEvery = defaultFixup
	}
	m, err := NewMachine(MachineConfig{
		Self: clonePeer(cfg.Self), Successors: cfg.Successors, Members: cfg.Members,
		Timing: cfg.Timing, Seed: cfg.Seed, Refused: cfg.Refused,
		Verifier: cfg.Verifier, Signer: cfg.Signer, Budget: cfg.Budget, Collision: cfg.Collision, OpenNetworks: cfg.OpenNetworks,
		Offset: func() time.Duration { return time.Until(cfg.Now()).Round(time.Millisecond) },
	})
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg:     cfg,
		machine: m,
		in:      make(chan input, maxWaiting),
		results: make(chan Result, maxWaiting),
		slots:   make(chan struct{}, maxOutbound),
		stopped: make(chan struct{}),
		checks:  rate.NewLimiter(checksPerSec, checksMost),
	}
	n.mail.kick = make(chan struct{}, 1)
	n.keeper = NewKeeper(KeeperConfig{
		Self: cfg.Self.ID, Records: cfg.Records, Charter: cfg.Charter, RepairEvery: cfg.RepairEvery,
		Rand: rand.New(rand.NewPCG(cfg.Seed, keeperStream)), Refused: cfg.Refused, // #nosec G404 -- spreads timers and partners
		Wake: func() { n.mail.tell(nil, nil) }, Stores: cfg.Stores,
	})
	n.publish()
	return n, nil
}

// Run runs the node until ctx ends, and returns nil when every goroutine that
// it started has ended. It is called once.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer n.calls.Wait()
	defer close(n.stopped)
	defer cancel()
	n.calls.Go(func() { n.keep(ctx) })
	n.running.Store(true)

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n.setTimer(timer)
		select {
		case <-ctx.Done():
			return nil
		case in := <-n.in:
			n.step(ctx, in)
		case r := <-n.results:
			n.step(ctx, input{ev: r})
		case <-timer.C:
			n.step(ctx, input{ev: Tick{}})
		}
	}
}

// minTick keeps a mistake in a deadline from becoming a busy loop.
const minTick = time.Millisecond

func (n *Node) setTimer(timer *time.Timer) {
	wait := time.Hour
	if at := n.machine.Deadline(); !at.IsZero() {
		wait = max(time.Until(at), minTick)
	}
	timer.Reset(wait)
}

// step runs the machine and carries out its effects.
func (n *Node) step(ctx context.Context, in input) {
	before := n.machine.Version()
	if in.done != nil {
		if _, join := in.ev.(Join); join {
			if len(n.waiting) == maxJoins {
				n.waiting = n.waiting[1:] // its caller has long gone
			}
			n.waiting = append(n.waiting, in.done)
			in.done = nil
		}
	}
	effects := n.machine.Step(time.Now(), in.ev)
	n.lag.Store(int64(n.machine.Lag()))
	if n.machine.Version() != before {
		n.publish()
	}
	var sends sync.WaitGroup
	left := false
	for _, e := range effects {
		switch e.Kind {
		case Send:
			n.send(ctx, e, &sends)
		case Reply:
			in.reply <- e.Msg // one place is free: exactly one reply
		case Joined:
			n.mail.tell(Became{}, nil)
			n.answerJoin(nil)
		case JoinFailed:
			n.answerJoin(ErrNoPeers)
		case Barred:
			n.answerJoin(barred(e.Msg))
		case Moved:
			n.mail.tell(Changed{}, nil)
		case Left:
			left = true
		}
	}
	switch {
	case left && in.done != nil:
		n.answerJoin(ErrNotJoined)
		n.calls.Go(func() { sends.Wait(); in.done <- nil })
	case in.done != nil:
		in.done <- nil
	}
}

func (n *Node) answerJoin(err error) {
	for _, done := range n.waiting {
		done <- err
	}
	n.waiting = nil
}

// send makes one of the machine's calls. The machine bounds how many there are.
func (n *Node) send(ctx context.Context, e Effect, sends *sync.WaitGroup) {
	sends.Add(1)
	n.calls.Go(func() {
		defer sends.Done()
		ctx, cancel := context.WithTimeout(ctx, e.Timeout)
		defer cancel()
		start := time.Now()
		msg, err := n.cfg.Transport.Call(ctx, e.To, e.Msg)
		r := Result{Call: e.ID, Msg: msg, Err: err, RTT: time.Since(start)}
		r.Msg = n.foreverify(msg)
		select {
		case n.results <- r:
		case <-n.stopped:
		}
	})
}

// publish replaces the snapshot that other goroutines read.
func (n *Node) publish() {
	next := make(chan struct{})
	n.view.Store(n.machine.View())
	if old := n.watch.Swap(&next); old != nil {
		close(*old)
	}
}

// enter hands an event to the owner goroutine. It returns false when too many
// wait already.
func (n *Node) enter(in input) bool {
	select {
	case n.in <- in:
		return true
	default:
		n.cfg.Refused(RefusedBusy)
		return false
	}
}

// Create makes the node a ring of its own. Peers known from an earlier run are
// asked now and then, and their ring merged with, should there be one.
//
// A node that does not run yet creates its ring when it does.
func (n *Node) Create(known ...wire.Peer) {
	in := input{ev: Create{Known: known}, done: make(chan error, 1)}
	if !n.enter(in) || !n.running.Load() {
		return
	}
	select {
	case <-in.done:
	case <-n.stopped:
	}
}

// Join makes the node a member of the ring of one of the seeds, which may be
// any members that it knew earlier. It returns ErrNoPeers when none of them
// answers; the caller may try again or Create a ring; and a *WaitError when the
// node is not let in for a while and may Attend meanwhile. When seeds answer that
// they are joining, too, one of them creates a ring, and Join goes on.
func (n *Node) Join(ctx context.Context, seeds []wire.Peer) error {
	return n.wait(ctx, Join{Seeds: seeds})
}

func (n *Node) wait(ctx context.Context, ev Event) error {
	done := make(chan error, 1)
	if !n.enter(input{ev: ev, done: done}) {
		return fmt.Errorf("%w: too much to do", ErrStopped)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-n.stopped:
		return ErrStopped
	}
}

// Leave hands over what the node holds, tells its neighbours goodbye and waits
// for their answers, all within ctx. The node is no member afterwards; a node
// that only stops is found dead by the others.
func (n *Node) Leave(ctx context.Context) error {
	if n.view.Load().Phase == PhaseJoined {
		n.handOver(ctx)
	}
	return n.wait(ctx, Leave{})
}

// Attend makes the node a client of the given members, which it has met at
// first hand: no member of the ring, it looks up, fetches and stores through
// them and others that they name, until it joins. A member leaves first.
func (n *Node) Attend(ctx context.Context, members []wire.Peer) error {
	return n.wait(ctx, Attend{Members: members})
}

// Suspect tells the node that a connection to a member broke or a call to it
// failed. The node finds out whether that member is dead.
func (n *Node) Suspect(id ID) {
	select {
	case n.in <- input{ev: Suspect{ID: id}}:
	default: // it will be found out by itself
	}
}

// SetAddrs changes where other nodes reach this one.
func (n *Node) SetAddrs(self wire.Peer) { n.enter(input{ev: Readdress{Self: self}}) }

// View returns what the node knows of the ring now.
func (n *Node) View() *View { return n.view.Load() }

// Changed returns a channel that is closed when View has changed.
func (n *Node) Changed() <-chan struct{} { return *n.watch.Load() }
