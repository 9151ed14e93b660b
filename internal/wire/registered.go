package wire

import (
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Registered answers Register and Renew with all that a node needs to join the
// ring and publish.
//
//	[ node: cert, account: cert, issuer: cert, charter: signed, part: uint,
//	  shares: record*64, look-up: record?, number: record?, peers: peer*32,
//	  delegation: signed ]
type Registered struct {
	_          struct{}                  `cbor:",toarray"`
	Node       []byte                    // node certificate, DER
	Account    []byte                    // account certificate, DER
	Issuer     []byte                    // issuer certificate, DER
	Charter    identity.SignedCharter    // the charter now in force
	Part       uint64                    // the device's part in the person's records
	Shares     []record.Record           // every signed share of the account key
	Lookup     *record.Record            // the look-up record
	Number     *record.Record            // the number's record, if there is one
	Peers      []Peer                    // where to join the ring
	Delegation identity.SignedDelegation // a further device's; empty on a first device
}

// Type implements Message.
func (*Registered) Type() Type { return TypeRegistered }

func (m *Registered) check() error {
	err := firstError(
		checkFull("node certificate", m.Node, MaxCertificate),
		checkFull("account certificate", m.Account, MaxCertificate),
		checkFull("issuer certificate", m.Issuer, MaxCertificate),
		checkFull("charter", m.Charter, MaxCharter),
		checkRecords("shares", m.Shares, MaxShares),
		checkPeers("peers", m.Peers, MaxPeers),
		checkBytes("delegation", m.Delegation, MaxDelegation),
	)
	for _, r := range []*record.Record{m.Lookup, m.Number} {
		if err == nil && r != nil {
			err = checkRecord(r)
		}
	}
	return err
}
