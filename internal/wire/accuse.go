package wire

// MaxProof bounds one proof, in bytes.
const MaxProof = 16 << 10

// Accuse hands on a proof that a member contradicts itself, which the receiver
// checks by itself. The answer is Ack.
//
//	[ proof: bytes, 1 to 16,384 ]
type Accuse struct {
	_     struct{} `cbor:",toarray"`
	Proof []byte
}

// Type implements Message.
func (*Accuse) Type() Type { return TypeAccuse }

func (m *Accuse) check() error { return checkFull("proof", m.Proof, MaxProof) }
