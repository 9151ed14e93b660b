package carry

import (
	"context"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Timers of RFC 3261 §17, Table 4.
const (
	t1 = 500 * time.Millisecond
	t2 = 4 * time.Second
	tx = 64 * t1 // timers B, F, H, J, L and our own K
	t4 = 5 * time.Second
)

// Bounds of one call.
const (
	maxPending   = 32  // requests under way in one direction
	maxKept      = 256 // finished ones, kept for retransmissions
	maxDialogs   = 8
	inputs       = 64 // messages of the phone that wait to be handled
	openTimeout  = 32 * time.Second
	sendTimeout  = 3 * time.Second
	plainTimeout = 40 * time.Second // for a request but INVITE to cross and come back
)

// call is one side of a carried call: the adapter of the caller's phone or
// that of the callee's. One goroutine owns everything but keys, info and what of
// branch belongs to Engine.mu; others send it inputs.
type call struct {
	// The branch that was answered, or the only one; before the answer of a call
	// that forks, the first. Engine.mu guards which it is.
	*branch

	e  *Engine
	id string
	in chan input
	// quit is closed when the goroutine ends, ended when the call is over and
	// its tunnel closed.
	quit, ended chan struct{}

	incoming  bool         // this is the callee's side
	own, peer identity.AOR // our phone's person, and the other one
	callID    string       // as our phone knows it
	wireID    string       // as the tunnel knows it
	callerTag string

	now     time.Time
	over    bool
	hardEnd time.Time       // when not even transactions are waited for any more
	ctx     context.Context // ends with the call
	cancel  context.CancelFunc

	servers map[serverKey]*serverTx
	clients map[string]*clientTx // requests to our phone by branch
	next    uint64               // for branches
	dialogs map[string]*dialog   // by the callee's tag

	initial   *serverTx // caller's side: the INVITE
	branches  []*branch // one for each adapter that is asked; at the callee's side one
	early     *branch   // whose early media the phone hears
	cancelled bool      // the caller has given up
	elsewhere bool      // because another device was picked up

	targets []Target // callee's side
	arrived Tunnel
	invite  wireTx // the INVITE; number 0 until it has come
	forks   []*fork
	settled bool // the INVITE has its final answer
	ringEnd time.Time

	farewell    *clientTx // of a call of an earlier run: all that there is to do
	farewellWhy string

	keys []dialogKey
	info Info
}

// input is something that happens to a call: phoneInput, frameInput, upInput,
// lostInput.
type input any

type phoneInput struct {
	from Flow
	p    *parsed
}

type frameInput struct {
	b    *branch
	data []byte
}

type upInput struct {
	b    *branch
	t    Tunnel
	path string
	err  error
}

// lostInput: the tunnel is gone, or, without a branch, whoever asked to Ring has
// given up.
type lostInput struct {
	b   *branch
	why string
}

func (e *Engine) newCall(own, peer identity.AOR) *call {
	c := &call{e: e, id: newID(), in: make(chan input, inputs),
		quit: make(chan struct{}), ended: make(chan struct{}), own: own, peer: peer,
		servers: map[serverKey]*serverTx{}, clients: map[string]*clientTx{}, dialogs: map[string]*dialog{}, now: time.Now()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.branch = c.newBranch(nil)
	c.branches = []*branch{c.branch}
	return c
}

// offer hands over a phone's message without waiting. Beyond its bound a call
// takes nothing in: a phone that is not a flood will repeat it.
func (c *call) offer(in input) {
	select {
	case c.in <- in:
	default:
		c.e.cfg.Refused(RefusedOverrun)
	}
}

// post hands over an input and waits for its place; false when the call's
// goroutine has ended.
func (c *call) post(in input) bool {
	select {
	case c.in <- in:
	case <-c.quit:
		return false
	}
	select {
	case <-c.quit: // perhaps before it took place
		c.shed()
	default:
	}
	return true
}

// shed closes the tunnels that nobody takes in any more.
func (c *call) shed() {
	for {
		select {
		case in := <-c.in:
			if up, ok := in.(upInput); ok && up.err == nil {
				_ = up.t.Close()
			}
		default:
			return
		}
	}
}

// run is the call's goroutine.
func (c *call) run() {
	defer c.e.forget(c)
	defer func() { close(c.quit); c.shed() }()
	defer c.cancel()
	c.begin()
	stop := c.e.ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !c.finished() {
		timer.Reset(time.Until(c.deadline()))
		select {
		case in := <-c.in:
			c.now = time.Now()
			c.handle(in)
		case <-timer.C:
			c.now = time.Now()
			c.expire()
		case <-stop:
			stop = nil
			c.now = time.Now()
			c.hardEnd = c.now.Add(stopGrace)
			c.lost("this adapter is stopping")
		}
	}
	c.awaitTunnels()
}

func (c *call) begin() {
	if c.farewell != nil {
		c.sayFarewell()
		return
	}
	c.report(Started, func(i *Info) { i.Started = c.e.cfg.Now() })
	if c.initial != nil {
		c.respond(c.initial, answer{status: 100, reason: "Trying"})
		for _, b := range c.branches {
			c.e.wg.Go(b.dial)
		}
		return
	}
	if err := c.openMedia(c.arrived); err != nil {
		t := c.arrived
		c.e.wg.Go(func() { _ = t.Close() })
		c.end(503, "the media of this call cannot be carried: "+err.Error())
		return
	}
	c.ringEnd = c.now.Add(openTimeout) // for the INVITE to come
	c.attach(c.arrived)
}

func (c *call) handle(in input) {
	switch in := in.(type) {
	case phoneInput:
		if in.p.IsRequest() {
			c.fromPhone(in.from, in.p)
		} else {
			c.answered(in.from, in.p)
		}
	case frameInput:
		in.b.fromTunnel(in.data)
	case upInput:
		in.b.up(in.t, in.path, in.err)
	case lostInput:
		if in.b != nil {
			in.b.gone(in.why)
		} else {
			c.lost(in.why)
		}
	}
}

// finished: over, and no transaction left that may have to be repeated. When
// the program stops, only what our phone has not answered is waited for.
func (c *call) finished() bool {
	switch {
	case !c.over:
		return false
	case c.hardEnd.IsZero():
		return len(c.servers) == 0 && len(c.clients) == 0
	}
	return c.pending() == 0 || !c.now.Before(c.hardEnd)
}

// deadline is the earliest of all timers; far away if none runs.
func (c *call) deadline() time.Time {
	at := c.now.Add(time.Hour)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	for _, s := range c.servers {
		earlier(s.retryAt)
		earlier(s.endAt)
	}
	for _, t := range c.clients {
		earlier(t.retryAt)
		earlier(t.endAt)
	}
	for _, b := range c.branches {
		earlier(b.reportAt)
		earlier(b.until)
	}
	earlier(c.ringEnd)
	earlier(c.hardEnd)
	return at
}

// expire does what is due at c.now.
func (c *call) expire() {
	for _, s := range c.servers {
		c.expireServer(s)
	}
	for _, t := range c.clients {
		c.expireClient(t)
	}
	for _, b := range c.branches {
		b.expire()
	}
	if !c.ringEnd.IsZero() && !c.now.Before(c.ringEnd) {
		c.ringEnd = time.Time{}
		c.ringTimeout()
	}
}

// report tells about a new state.
func (c *call) report(s State, more func(*Info)) {
	c.e.report(c, func(i *Info) {
		i.State = s
		if more != nil {
			more(i)
		}
	})
}

func (c *call) refused(reason string) { c.e.cfg.Refused(reason) }
