package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// The lengths of what a hidden look-up sends, in bytes: there is one for each
// message, or a few, so that a length tells nothing. See internal/hidden for what
// is in the boxes.
const (
	AskBox  = 32 + 128 + 16                         // encapsulated key, padded question, tag
	TurnBox = 32 + identity.NodeIDLen + AskBox + 16 // encapsulated key, who is asked, the box for it, tag

	AnswerBox = 12 + 16              // nonce and tag of an answer's box, beside what is in it
	TurnHead  = 1                    // says whether the holder answered
	TurnExtra = AnswerBox + TurnHead // how much longer the answer to a Turn is than the one to an Ask
)

// maxPassed bounds an answer's box: the longest, around the longest.
const maxPassed = 60<<10 + AnswerBox + TurnExtra

// AnswerSizes are how long an answer is before it is sealed.
func AnswerSizes() [3]int { return [...]int{5 << 10, 16 << 10, 60 << 10} }

// Pass asks a member to hand a box on to another one, as a Turn, and to bring
// back what that answers: Passed. So who opens the box does not see who asks.
//
//	[ to: id, box: bytes ≤240 ]
type Pass struct {
	_   struct{} `cbor:",toarray"`
	To  identity.NodeID
	Box []byte
}

// Type implements Message.
func (*Pass) Type() Type { return TypePass }

func (m *Pass) check() error { return checkBytes("box", m.Box, TurnBox) }

// Turn is a box that its receiver opens, to find in it whom to ask, with an Ask,
// and the box for that one. The answer is Passed.
//
//	[ box: bytes ≤240 ]
type Turn struct {
	_   struct{} `cbor:",toarray"`
	Box []byte
}

// Type implements Message.
func (*Turn) Type() Type { return TypeTurn }

func (m *Turn) check() error { return checkBytes("box", m.Box, TurnBox) }

// Ask is a box that its receiver opens, to find a Fetch in it. The answer is
// Passed.
//
//	[ box: bytes ≤176 ]
type Ask struct {
	_   struct{} `cbor:",toarray"`
	Box []byte
}

// Type implements Message.
func (*Ask) Type() Type { return TypeAsk }

func (m *Ask) check() error { return checkBytes("box", m.Box, AskBox) }

// Passed answers Pass, Turn and Ask: sealed for who made the box.
//
//	[ box: bytes ≤61497 ]
type Passed struct {
	_   struct{} `cbor:",toarray"`
	Box []byte
}

// Type implements Message.
func (*Passed) Type() Type { return TypePassed }

func (m *Passed) check() error { return checkBytes("box", m.Box, maxPassed) }
