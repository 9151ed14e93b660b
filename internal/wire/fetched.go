package wire

import (
	"bytes"
	"slices"

	"github.com/secp2psip/secp2psip/internal/record"
)

// Fetched answers Fetch. Pred and Succ0 are the answering node's neighbours: a
// position between Pred and the node is the node's own, so an empty answer from
// there is worth more than one from elsewhere.
//
//	[ records: record*15, predecessor: peer?, successor: peer? ]
//
// The last certificate of a record's chain may be empty: see Shorten.
type Fetched struct {
	_       struct{} `cbor:",toarray"`
	Records []record.Record
	Pred    *Peer
	Succ0   *Peer
}

// Type implements Message.
func (*Fetched) Type() Type { return TypeFetched }

func (m *Fetched) check() error {
	return firstError(checkShort("records", m.Records, MaxItems), checkPeer(m.Pred), checkPeer(m.Succ0))
}

// Shorten returns m without the issuing certificate of the records that are by
// the issuer of the answering node itself, whose certificate the other end of the
// connection has been shown. It is a third to a half of most answers, which fit
// one packet so. m is not changed.
func (m *Fetched) Shorten(issuer []byte) *Fetched {
	out := &Fetched{Records: slices.Clone(m.Records), Pred: m.Pred, Succ0: m.Succ0}
	for i := range out.Records {
		chain := &out.Records[i].Chain
		if last := len(chain.Certificates) - 1; last >= 0 && len(issuer) > 0 && bytes.Equal(chain.Certificates[last], issuer) {
			chain.Certificates = slices.Clone(chain.Certificates)
			chain.Certificates[last] = nil
		}
	}
	return out
}

// Restore puts the certificate that the answering node has shown where Shorten
// has left it out. Whether it is the right one, whoever verifies a record sees.
func (m *Fetched) Restore(issuer []byte) {
	for i := range m.Records {
		certs := m.Records[i].Chain.Certificates
		if last := len(certs) - 1; last >= 0 && len(certs[last]) == 0 {
			certs[last] = issuer
		}
	}
}
