package wire

import "github.com/secp2psip/secp2psip/internal/record"

// Fetched answers Fetch. Pred and Succ0 are the answering node's neighbours: a
// position between Pred and the node is the node's own, so an empty answer from
// there is worth more than one from elsewhere.
//
//	[ records: record*15, predecessor: peer?, successor: peer? ]
type Fetched struct {
	_       struct{} `cbor:",toarray"`
	Records []record.Record
	Pred    *Peer
	Succ0   *Peer
}

// Type implements Message.
func (*Fetched) Type() Type { return TypeFetched }

func (m *Fetched) check() error {
	return firstError(checkRecords("records", m.Records, MaxItems), checkPeer(m.Pred), checkPeer(m.Succ0))
}
