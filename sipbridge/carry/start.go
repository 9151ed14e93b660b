package carry

import (
	"context"
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/media"
)

// Busy tells whether the engine takes no further call now: a Ring or a Carry
// would fail with ErrBusy.
func (e *Engine) Busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopped || e.active >= e.cfg.MaxCalls
}

// Carry takes a phone's INVITE over; see the seam. Every error is a *Refusal.
func (e *Engine) Carry(call Call) error { return e.carry(call, orDefault(call.Path, PathCarried)) }

func (e *Engine) carry(call Call, path string) error {
	p, err := read(call.Invite, true)
	if err != nil {
		return &Refusal{Code: 400, Reason: "Bad Request", Warning: "malformed INVITE"}
	}
	fault, ok := p.Check(&p.req)
	switch {
	case !ok || p.method != "INVITE" || p.fromTag == "" || p.toTag != "":
		return &Refusal{Code: 400, Reason: "Bad Request", Warning: "not an INVITE that begins a call"}
	case fault != nil:
		return &Refusal{Code: fault.Code, Reason: fault.Reason, Warning: fault.Detail}
	case len(call.Open) == 0:
		return &Refusal{Code: 480, Reason: "Temporarily Unavailable", Warning: "the other side does not carry calls"}
	}
	if wrong := e.checkSDP(p); wrong != nil { // before anybody is troubled with it
		return &Refusal{Code: wrong.status, Reason: wrong.reason, Warning: wrong.warning}
	}
	c := e.newCall(call.Caller, call.Callee)
	c.callID, c.wireID, c.callerTag = p.callID, orDefault(call.CallID, p.callID), p.fromTag
	c.fork(call.Open)
	c.info = Info{ID: c.id, CallID: p.callID, Signed: c.wireID, Caller: call.Caller, Callee: call.Callee, Path: path}
	c.initial = c.serverOf(call.From, p)
	c.servers[c.initial.key] = c.initial
	if err := e.admit(c); err != nil {
		c.cancel()
		return busy(err)
	}
	return nil
}

// checkSDP says what is wrong with the description in an INVITE whatever its path.
func (e *Engine) checkSDP(p *parsed) *problem {
	if !p.isSDP() {
		return nil
	}
	switch err := media.Check(p.Body); {
	case errors.Is(err, media.ErrHidden):
		e.cfg.Refused(RefusedHidden)
		return hiddenAddress(err)
	case err != nil:
		e.cfg.Refused(RefusedSDP)
		return malformedSDP()
	}
	return nil
}

func busy(err error) *Refusal {
	r := &Refusal{Code: 503, Reason: "Service Unavailable", Warning: "too many calls at once", RetryAfter: 5 * time.Second}
	if errors.Is(err, ErrNotRunning) {
		r.Warning = "this adapter is stopping"
	}
	return r
}

// Ring rings the callee's phones; see the seam. It returns nil when the call
// is over, however it went, and ErrBusy or ErrNotRunning when it was not taken
// in; t is closed either way. A ctx that ends ends the call.
func (e *Engine) Ring(ctx context.Context, r Ring, t Tunnel) error {
	c := e.newCall(r.Callee, r.Caller)
	c.incoming, c.arrived = true, t
	c.callID, c.wireID = r.CallID, r.CallID
	c.targets = r.Targets[:min(len(r.Targets), MaxTargets)]
	c.info = Info{ID: c.id, CallID: r.CallID, Signed: r.CallID, Incoming: true, Caller: r.Caller, Callee: r.Callee, Path: orDefault(r.Path, PathCarried)}
	if err := e.admit(c); err != nil {
		c.cancel()
		_ = t.Close()
		return err
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		c.post(lostInput{nil, "the call was ended by this adapter"})
		<-c.ended
	}
	c.awaitTunnels()
	return nil
}
