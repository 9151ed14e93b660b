package node

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Half the bounds of what a notary remembers: certificates by hash, which take
// about 700 bytes each, and descriptors that have been verified.
const (
	notaryCertificates = chord.MaxMembers
	notaryDescriptors  = chord.MaxMembers
)

// refusedCertificate counts certificates that another node gave and that do not
// lead to the overlay's root.
const refusedCertificate = "bad_certificate"

// refusedRevoked counts what nodes say of themselves whose certificate is
// revoked.
const refusedRevoked = "certificate_revoked"

// notary verifies and signs what the ring's members say about themselves. It
// implements chord.Verifier and chord.Signer. Safe for concurrent use.
type notary struct {
	trust   *identity.Trust
	now     func() time.Time
	key     identity.PrivateKey
	refused func(reason string)
	own     atomic.Pointer[certificate]

	certs *identity.Cache[wire.CertHash, *certificate]
	valid *identity.Cache[[sha256.Size]byte, *chord.Member]
}

// certificate is a node's that has been verified, with its issuer's.
type certificate struct {
	*identity.NodeCertificate
	hash   wire.CertHash
	issuer []byte // DER
}

// newNotary takes a node certificate with its issuer's, which have been
// verified.
func newNotary(trust *identity.Trust, now func() time.Time, key identity.PrivateKey, chain [][]byte, refused func(string)) (*notary, error) {
	t := &notary{
		trust: trust, now: now, key: key, refused: refused,
		certs: identity.NewCache[wire.CertHash, *certificate](notaryCertificates),
		valid: identity.NewCache[[sha256.Size]byte, *chord.Member](notaryDescriptors),
	}
	return t, t.setChain(chain)
}

// setChain takes this node's own certificate.
func (t *notary) setChain(chain [][]byte) error {
	cert, err := t.trust.VerifyOwn(chain)
	if err != nil {
		return err
	}
	c := &certificate{cert, wire.HashCertificate(chain[0]), bytes.Clone(chain[1])}
	t.certs.Put(c.hash, c)
	t.own.Store(c)
	return nil
}

// SignDescriptor implements chord.Signer.
func (t *notary) SignDescriptor(d wire.Descriptor) (wire.Descriptor, error) {
	d.Certificate = t.own.Load().hash
	return wire.SignDescriptor(d, t.trust.Overlay(), t.key)
}

// SignNotice implements chord.Signer.
func (t *notary) SignNotice(n wire.Notice) (wire.Notice, error) {
	return wire.SignNotice(n, t.trust.Overlay(), t.key)
}

// Verify implements chord.Verifier. What has been verified is remembered by a
// hash of all of it, the signature included; what has not is checked again.
func (t *notary) Verify(d *wire.Descriptor) (*chord.Member, chord.Verdict) {
	encoded, err := canon.Marshal(d)
	if err != nil {
		return nil, chord.VerdictForged
	}
	if t.revoked(d.Certificate) {
		t.refused(refusedRevoked)
		return nil, chord.VerdictForged
	}
	key := sha256.Sum256(encoded)
	if who, ok := t.valid.Get(key); ok {
		return who, chord.VerdictValid
	}
	cert := t.certificate(d.Certificate)
	if cert == nil {
		return nil, chord.VerdictUnknown
	}
	if cert.ID != d.ID || d.Verify(t.trust.Overlay(), cert.Key) != nil {
		return nil, chord.VerdictForged
	}
	kept := *d
	who := chord.NewMember(&kept, cert.Owner)
	t.valid.Put(key, who)
	return who, chord.VerdictValid
}

// VerifyNotice implements chord.Verifier.
func (t *notary) VerifyNotice(n *wire.Notice, witness *wire.Descriptor) bool {
	cert := t.certificate(witness.Certificate)
	return cert != nil && cert.ID == n.Witness && n.Verify(t.trust.Overlay(), cert.Key) == nil
}

// revoked tells whether a certificate is known, and revoked.
func (t *notary) revoked(hash wire.CertHash) bool {
	if t.trust.Board().Len() == 0 {
		return false
	}
	cert, ok := t.certs.Get(hash)
	if !ok {
		return false
	}
	_, err := t.trust.VerifyNode([][]byte{cert.DER, cert.issuer}, time.Time{})
	return errors.Is(err, identity.ErrRevoked)
}

// certificate returns a known certificate that is valid now, or nil.
func (t *notary) certificate(hash wire.CertHash) *certificate {
	cert, ok := t.certs.Get(hash)
	if !ok {
		return nil
	}
	now, grace := t.now(), t.trust.Charter().GraceTime()
	if now.Before(cert.NotBefore.Add(-identity.ClockSkew)) || now.After(cert.NotAfter.Add(grace)) || t.revoked(hash) {
		return nil
	}
	return cert
}

// Learn implements chord.Verifier.
func (t *notary) Learn(c *wire.Certificates) {
	for _, der := range c.Nodes {
		hash := wire.HashCertificate(der)
		if _, known := t.certs.Get(hash); known {
			continue
		}
		if !t.learn(der, hash, c.Issuers) {
			t.refused(refusedCertificate)
		}
	}
}

func (t *notary) learn(der []byte, hash wire.CertHash, issuers [][]byte) bool {
	for _, issuer := range issuers {
		cert, err := t.trust.VerifyNode([][]byte{der, issuer}, t.now())
		if err == nil {
			t.certs.Put(hash, &certificate{cert, hash, bytes.Clone(issuer)})
			return true
		}
	}
	return false
}

// Certificates implements chord.Verifier. It keeps the answer well within a
// message.
func (t *notary) Certificates(hashes []wire.CertHash) *wire.Certificates {
	const room = wire.MaxMessage - 4<<10
	out := &wire.Certificates{}
	size := 0
	for _, h := range hashes {
		cert, ok := t.certs.Get(h)
		if !ok {
			continue
		}
		need := len(cert.DER)
		known := slices.ContainsFunc(out.Issuers, func(der []byte) bool { return bytes.Equal(der, cert.issuer) })
		if !known {
			need += len(cert.issuer)
		}
		if size += need; size > room || !known && len(out.Issuers) >= wire.MaxIssuers {
			break
		}
		if !known {
			out.Issuers = append(out.Issuers, cert.issuer)
		}
		out.Nodes = append(out.Nodes, cert.DER)
	}
	return out
}
