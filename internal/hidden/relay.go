package hidden

import (
	"context"
	"crypto/hpke"
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Transport calls another node. An Error that it answers is an answer.
type Transport interface {
	Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error)
}

// Members is the table of members of the node.
type Members interface {
	// Member returns a member that the node knows, and the key of its certificate,
	// zero where that is not known. The node itself is none.
	Member(id identity.NodeID) (peer wire.Peer, key identity.PublicKey, ok bool)
}

// Config of a Relay. What is not called optional is required.
type Config struct {
	Self      identity.NodeID
	Overlay   string
	Key       identity.PrivateKey // the node key
	Members   Members
	Transport Transport
	// Fetch answers from what this node holds; from is who is charged for it.
	Fetch   func(ctx context.Context, from wire.Peer, req *wire.Fetch) wire.Message
	Refused func(reason string) // optional
}

// Relay is what a node does for the questions of others: it passes them on, and
// answers those for itself. Safe for concurrent use.
type Relay struct {
	cfg    Config
	key    hpke.PrivateKey
	limits *limits // of links that bring something
	onward *limits // of members to whom this one passes something on
}

// How long a member waits for the next one.
const (
	passTime = 4 * time.Second // the first, for the second
	turnTime = 2 * time.Second // the second, for the holder
)

// NewRelay returns a Relay. Nothing runs.
func NewRelay(cfg Config) (*Relay, error) {
	if cfg.Members == nil || cfg.Transport == nil || cfg.Fetch == nil {
		return nil, errors.New("hidden: a Relay needs members, transport and records")
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	key, err := openingKey(cfg.Key)
	if err != nil {
		return nil, err
	}
	return &Relay{cfg: cfg, key: key, limits: newLimits(), onward: newLimits()}, nil
}

// Serve answers Pass, Turn and Ask; nil for other messages. from must be
// verified: it is who is charged, whoever asks through it.
func (r *Relay) Serve(ctx context.Context, from wire.Peer, req wire.Message) wire.Message {
	switch req.Type() {
	case wire.TypePass, wire.TypeTurn, wire.TypeAsk:
	default:
		return nil
	}
	done, reason := r.limits.enter(from.ID, time.Now())
	if reason != "" {
		r.cfg.Refused(reason)
		return &wire.Error{Code: wire.CodeTooMany, Reason: "too many hidden look-ups", Retry: uint32(perQuestion.Milliseconds())}
	}
	var out wire.Message
	switch m := req.(type) {
	case *wire.Pass:
		out = r.pass(ctx, from, m)
	case *wire.Turn:
		out = r.turn(ctx, from, m.Box)
	case *wire.Ask:
		out = r.answer(ctx, from, m.Box)
	}
	size := 0
	if passed, ok := out.(*wire.Passed); ok {
		size = len(passed.Box)
	}
	done(size)
	return out
}

// pass hands a box on to another member.
func (r *Relay) pass(ctx context.Context, from wire.Peer, m *wire.Pass) wire.Message {
	to, _, ok := r.cfg.Members.Member(m.To)
	if !ok || to.ID == from.ID {
		r.cfg.Refused(ReasonUnknown)
		return wire.Errorf(wire.CodeNotFound, "no such member here")
	}
	ctx, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	return r.next(ctx, to, &wire.Turn{Box: m.Box})
}

// next calls the next member. What it refuses is not told further: the asker
// takes another way. Many who ask through this node cannot use up what it may
// itself ask of one other: each member has bounds here, as each link has.
func (r *Relay) next(ctx context.Context, to wire.Peer, req wire.Message) wire.Message {
	done, reason := r.onward.enter(to.ID, time.Now())
	if reason != "" {
		r.cfg.Refused(reason)
		return wire.Errorf(wire.CodeTooMany, "too many hidden look-ups for one member")
	}
	answer, err := r.cfg.Transport.Call(ctx, to, req)
	passed, ok := answer.(*wire.Passed)
	if ok && err == nil {
		done(len(passed.Box))
		return passed
	}
	done(0)
	r.cfg.Refused(ReasonUnanswered)
	return wire.Errorf(wire.CodeTimeout, "the next member did not answer")
}

// turn opens the outer box and asks the holder, who may be this node.
func (r *Relay) turn(ctx context.Context, from wire.Peer, box []byte) wire.Message {
	id, ask, with, err := openTurn(r.key, r.cfg.Overlay, box)
	if err != nil {
		r.cfg.Refused(ReasonBadBox)
		return wire.Errorf(wire.CodeMalformed, "the box does not open")
	}
	var out wire.Message
	switch holder, _, ok := r.cfg.Members.Member(id); {
	case id == r.cfg.Self:
		out = r.answer(ctx, from, ask)
	case !ok:
		r.cfg.Refused(ReasonUnknown)
	default:
		ctx, cancel := context.WithTimeout(ctx, turnTime)
		defer cancel()
		out = r.next(ctx, holder, &wire.Ask{Box: ask})
	}
	passed, ok := out.(*wire.Passed)
	if ok && len(passed.Box) > wire.AnswerSizes()[2]+wire.AnswerBox {
		passed = nil // it is no holder's
	}
	return sealTurned(with, passed)
}

// answer opens the inner box and answers what is in it.
func (r *Relay) answer(ctx context.Context, from wire.Peer, box []byte) wire.Message {
	req, with, err := openAsk(r.key, r.cfg.Overlay, box)
	if err != nil {
		r.cfg.Refused(ReasonBadBox)
		return wire.Errorf(wire.CodeMalformed, "the box does not open")
	}
	var out wire.Message
	if fetch, ok := req.(*wire.Fetch); ok {
		out = r.cfg.Fetch(ctx, from, fetch)
	} else {
		// Whatever else a node serves, it serves by who asks.
		r.cfg.Refused(ReasonNotAFetch)
		out = wire.Errorf(wire.CodeForbidden, "only Fetch can be asked without saying who asks")
	}
	passed, err := sealAnswer(with, out)
	if err != nil {
		passed, err = sealAnswer(with, wire.Errorf(wire.CodeTooLarge, "the answer is too long"))
	}
	if err != nil {
		return wire.Errorf(wire.CodeInternal, "the answer cannot be sealed")
	}
	return passed
}
