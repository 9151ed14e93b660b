package wire

// Reattach opens a long-lived stream on which a carried or protected call goes
// on whose connection was lost, or goes a better way. The proof shows that the
// opener is the other end of that very call:
//
//	HMAC-SHA256(key: the call's secret, "secp2psip/1 reattach" ‖ TLS exporter of
//	            the link ‖ turn ‖ received), the numbers in eight bytes, big-endian
//
//	[ call: bytes .size 16, turn: uint, received: uint, proof: bytes .size 32 ]
type Reattach struct {
	_        struct{} `cbor:",toarray"`
	Call     [16]byte // its name
	Turn     uint64   // higher than of every way before
	Received uint64   // frames of the call that the opener has so far
	Proof    [32]byte
}

// Type implements Message.
func (*Reattach) Type() Type { return TypeReattach }

func (*Reattach) check() error { return nil }

// Reattached is the first frame of the other side's answer on such a stream:
// the call goes on here. The proof is as Reattach's, over
// "secp2psip/1 reattached" and its own number. After it, each side sends the
// frames that the other lacks, and goes on.
//
//	[ received: uint, proof: bytes .size 32 ]
type Reattached struct {
	_        struct{} `cbor:",toarray"`
	Received uint64
	Proof    [32]byte
}

// Type implements Message.
func (*Reattached) Type() Type { return TypeReattached }

func (*Reattached) check() error { return nil }
