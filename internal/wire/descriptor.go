package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/netip"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// MaxDescriptor bounds an encoded Descriptor, in bytes.
const MaxDescriptor = 150

// The bounds of a descriptor's fields.
const (
	maxDescriptorAddrs = 5         // of IPv4; of IPv6 one or two take their place
	maxDescriptorTime  = 1<<48 - 1 // ms; the year 10889
	MaxLifetime        = 1<<16 - 1 // s; a bit more than 18 hours
)

// NodeState is what a descriptor says of its node.
type NodeState uint8

// The states.
const (
	NodeHere    NodeState = 0 // a member that can be called
	NodeLeaving NodeState = 1 // says goodbye: not to be called any more
)

// CertHash names a node certificate: the first 16 bytes of SHA-256 of its DER.
type CertHash [16]byte

// HashCertificate returns the name of a certificate.
func HashCertificate(der []byte) CertHash {
	sum := sha256.Sum256(der)
	return CertHash(sum[:len(CertHash{})])
}

// Descriptor is what a node says about itself to everybody: the entry of other
// nodes' tables. It takes at most MaxDescriptor bytes.
//
//	[ ID: id, certificate: bytes .size 16, addresses: addr*5, seq: time,
//	  state: uint, lifetime: uint ≤ 65535, signature: bytes .size 64 ]
//
// The signature is that of a COSE_Sign1 over the array of the first six fields
// under the context "secp2psip/1 descriptor OVERLAY"; what is constant in that
// message does not travel.
type Descriptor struct {
	_           struct{} `cbor:",toarray"`
	ID          identity.NodeID
	Certificate CertHash
	Addrs       []netip.AddrPort // those that fit, the best first
	Seq         int64            // ms, overlay time of signing; a higher one replaces a lower one
	State       NodeState
	Lifetime    uint32 // s, from Seq on
	Signature   [ed25519.SignatureSize]byte
}

// descriptorBody is the signed part.
type descriptorBody struct {
	_           struct{} `cbor:",toarray"`
	ID          identity.NodeID
	Certificate CertHash
	Addrs       []netip.AddrPort
	Seq         int64
	State       NodeState
	Lifetime    uint32
}

func (b *descriptorBody) check() error {
	switch {
	case len(b.Addrs) > maxDescriptorAddrs:
		return outOfBound("addresses", len(b.Addrs), maxDescriptorAddrs)
	case b.Seq < 0 || b.Seq > maxDescriptorTime:
		return fmt.Errorf("%w: a descriptor of the time %d", ErrMalformed, b.Seq)
	case b.State > NodeLeaving:
		return outOfBound("state", int(b.State), int(NodeLeaving))
	case b.Lifetime > MaxLifetime:
		return outOfBound("lifetime", int(b.Lifetime), MaxLifetime)
	}
	return checkAddrs(b.Addrs)
}

func (d *Descriptor) body() *descriptorBody {
	return &descriptorBody{
		ID: d.ID, Certificate: d.Certificate, Addrs: d.Addrs, Seq: d.Seq, State: d.State, Lifetime: d.Lifetime,
	}
}

func (d *Descriptor) check() error {
	b := descriptorBody{
		ID: d.ID, Certificate: d.Certificate, Addrs: d.Addrs, Seq: d.Seq, State: d.State, Lifetime: d.Lifetime,
	}
	if size := d.Size(); size > MaxDescriptor {
		return outOfBound("descriptor", size, MaxDescriptor)
	}
	return b.check()
}

// Size returns the length of the encoding, in bytes, without making it.
func (d *Descriptor) Size() int {
	const (
		array = 1
		id    = 1 + identity.NodeIDLen
		hash  = 1 + len(CertHash{})
		list  = 1
		state = 1
		sig   = 2 + ed25519.SignatureSize
	)
	size := array + id + hash + list + uintSize(uint64(d.Seq)) + state + uintSize(uint64(d.Lifetime)) + sig
	for _, a := range d.Addrs {
		size += addrSize(a)
	}
	return size
}

// uintSize is the length of an unsigned integer in its shortest form.
func uintSize(v uint64) int {
	switch {
	case v <= maxInline:
		return 1
	case v < 1<<8:
		return 2
	case v < 1<<16:
		return 3
	case v < 1<<32:
		return 5
	}
	return 9
}

func addrSize(a netip.AddrPort) int { return 1 + a.Addr().BitLen()/8 + 2 }

// FitAddrs returns as many of addrs, from the first on, as fit a descriptor.
func FitAddrs(addrs []netip.AddrPort) []netip.AddrPort {
	d := Descriptor{Seq: maxDescriptorTime, Lifetime: MaxLifetime}
	room := MaxDescriptor - d.Size()
	n := 0
	for n < min(len(addrs), maxDescriptorAddrs) && addrSize(addrs[n]) <= room {
		room -= addrSize(addrs[n])
		n++
	}
	return addrs[:n:n]
}

// SignDescriptor returns d, signed by the node's key for an overlay.
func SignDescriptor(d Descriptor, overlay string, key identity.PrivateKey) (Descriptor, error) {
	if err := d.check(); err != nil {
		return Descriptor{}, fmt.Errorf("sign %s: %w", contextDescriptor, err)
	}
	sig, err := sealShort(d.body(), contextDescriptor, overlay, key)
	d.Signature = sig
	return d, err
}

// Verify returns ErrForged unless the node's key has signed d for the overlay,
// and ErrMalformed for one that no message could carry. Whose key that is, the
// certificate that d names says.
func (d *Descriptor) Verify(overlay string, key identity.PublicKey) error {
	if err := d.check(); err != nil {
		return fmt.Errorf("verify %s: %w", contextDescriptor, err)
	}
	return openShort(d.body(), contextDescriptor, overlay, key, &d.Signature)
}

// sealShort returns the signature alone of a COSE_Sign1 whose payload is known
// to the reader.
func sealShort(body any, context, overlay string, key identity.PrivateKey) (sig [ed25519.SignatureSize]byte, err error) {
	payload, err := canon.Marshal(body)
	if err != nil {
		return sig, fmt.Errorf("sign %s: %w: %w", context, ErrMalformed, err)
	}
	return canon.SignDetached(key.Ed25519(), context+" "+overlay, payload)
}

func openShort(body any, context, overlay string, key identity.PublicKey, sig *[ed25519.SignatureSize]byte) error {
	payload, err := canon.Marshal(body)
	if err != nil {
		return fmt.Errorf("verify %s: %w: %w", context, ErrMalformed, err)
	}
	if err := canon.VerifyDetached(key.Ed25519(), context+" "+overlay, payload, sig); err != nil {
		return fmt.Errorf("verify %s: %w: %w", context, ErrForged, err)
	}
	return nil
}
