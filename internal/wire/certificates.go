package wire

// GetCertificates asks for node certificates that descriptors name; the answer
// is Certificates.
//
//	[ hashes: bytes .size 16 *64 ]
type GetCertificates struct {
	_      struct{} `cbor:",toarray"`
	Hashes []CertHash
}

// Type implements Message.
func (*GetCertificates) Type() Type { return TypeGetCertificates }

func (m *GetCertificates) check() error {
	if len(m.Hashes) > MaxCertificates {
		return outOfBound("hashes", len(m.Hashes), MaxCertificates)
	}
	return nil
}

// Certificates answers GetCertificates with those that the node has, as many as
// fit a message, and the issuers' that they need.
//
//	[ issuers: cert*4, nodes: cert*64 ]
type Certificates struct {
	_       struct{} `cbor:",toarray"`
	Issuers [][]byte
	Nodes   [][]byte
}

// Type implements Message.
func (*Certificates) Type() Type { return TypeCertificates }

func (m *Certificates) check() error {
	if len(m.Issuers) > MaxIssuers {
		return outOfBound("issuers", len(m.Issuers), MaxIssuers)
	}
	if len(m.Nodes) > MaxCertificates {
		return outOfBound("certificates", len(m.Nodes), MaxCertificates)
	}
	for _, list := range [][][]byte{m.Issuers, m.Nodes} {
		for _, c := range list {
			if err := checkFull("certificate", c, MaxCertificate); err != nil {
				return err
			}
		}
	}
	return nil
}
