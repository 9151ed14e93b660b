package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// Event is something that happens to a Machine.
type Event interface{ event() }

type (
	// Tick: time has passed; timers may be due.
	Tick struct{}
	// Request: another node asks. Exactly one effect of kind Reply with the
	// same Token follows from the same step.
	Request struct {
		Token uint64
		From  wire.Peer // its ID and owner are verified
		Msg   wire.Message
	}
	// Result: a call that the machine sent has ended. Msg is nil when Err is
	// set. A refusal is a Msg of type *wire.Error.
	Result struct {
		Call uint64
		Msg  wire.Message
		Err  error
		RTT  time.Duration
	}
	// Heard: a call outside the machine was answered by ID.
	Heard struct {
		ID  ID
		RTT time.Duration
	}
	// Suspect: a call outside the machine failed; the machine finds out
	// whether ID is dead.
	Suspect struct{ ID ID }
	// Create: become a ring of one. The known peers are asked now and then,
	// and rings that they belong to are merged with.
	Create struct{ Known []wire.Peer }
	// Join: become a member of the ring of one of the seeds.
	Join struct{ Seeds []wire.Peer }
	// Attend: be a client of these members, and of others that they name.
	Attend struct{ Members []wire.Peer }
	// Leave: say goodbye to the neighbours and be a member no more.
	Leave struct{}
	// Renew: this node has another certificate; its descriptor has to name it.
	Renew struct{}
	// Readdress: other nodes reach this one at other addresses from now on.
	Readdress struct{ Self wire.Peer }
)

func (Tick) event()      {}
func (Request) event()   {}
func (Result) event()    {}
func (Heard) event()     {}
func (Suspect) event()   {}
func (Create) event()    {}
func (Join) event()      {}
func (Attend) event()    {}
func (Leave) event()     {}
func (Readdress) event() {}
func (Renew) event()     {}

// EffectKind tells the effects apart.
type EffectKind uint8

// What a step may want done.
const (
	Send       EffectKind = 1 // call To with Msg and report it as Result{Call: ID} within Timeout
	Reply      EffectKind = 2 // answer the Request with Token ID by Msg
	Joined     EffectKind = 3 // the node is a member now
	JoinFailed EffectKind = 4 // no seed answered
	Moved      EffectKind = 5 // the neighbours changed: records may have to move
	Left       EffectKind = 6 // the goodbyes are on their way
	HandedOver EffectKind = 7 // a Keeper has pushed what it had, as far as that could be done
	Barred     EffectKind = 8 // the members next to the node's place do not let it in for Timeout; Msg says why
)

// Effect is something that a step wants done.
type Effect struct {
	Kind    EffectKind
	ID      uint64
	To      wire.Peer
	Msg     wire.Message
	Timeout time.Duration
}
