package wire

// Wanted answers Offer.
//
//	[ answers: bytes ]
type Wanted struct {
	_       struct{} `cbor:",toarray"`
	Answers []byte   // one of the answers below for each, in the order of the items
}

// The answers to an offered record.
const (
	WantedElsewhere byte = 0 // the position is not within this node's range
	WantedYes       byte = 1 // send it
	WantedSame      byte = 2 // this very record is held
	WantedStale     byte = 3 // a later one is held
)

// Type implements Message.
func (*Wanted) Type() Type { return TypeWanted }

func (m *Wanted) check() error { return checkBytes("answers", m.Answers, MaxOffers) }
