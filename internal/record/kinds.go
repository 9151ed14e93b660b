package record

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// Bounds of the kinds' data.
const (
	MaxAddrs        = 8
	MaxFeatures     = 16
	MaxVia          = 3                      // peers that a client is attached to
	MaxViaAddrs     = 4                      // of one of them
	maxFeature      = 32                     // bytes
	ShareLen        = 32                     // bytes of Y
	maxIssuedLife   = 2 * 366 * 24 * 60 * 60 // s, of what an issuer signs
	registrationMax = 24 * 60 * 60           // s
)

// Registration is the data of a registration: where one device of a name is.
type Registration struct {
	_        struct{}         `cbor:",toarray"`
	Node     identity.NodeID  // the adapter's
	Addrs    []netip.AddrPort // the adapter's UDP addresses, 1 to MaxAddrs, without zone
	Device   identity.PublicKey
	Features []string // at most MaxFeatures words of letters, digits, '-', '.', '=' and '/'
	Via      []Via    // of a client, at most MaxVia: who passes sealed packets on to it
}

// Via is a peer that a client is attached to.
type Via struct {
	_     struct{} `cbor:",toarray"`
	Node  identity.NodeID
	Addrs []netip.AddrPort // 1 to MaxViaAddrs, as those of a registration
}

// Share is the data of a key share: one point of one dealing of a name's
// account key. The part of the record's body is X too.
type Share struct {
	_       struct{} `cbor:",toarray"`
	Version uint32   // of the account key, from 1
	Dealing uint64
	X       uint8             // 1 to 255
	Y       []byte            // ShareLen bytes
	K, N    uint8             // 2 ≤ K ≤ N ≤ identity.MaxShares
	Digest  [32]byte          // SHA-256 of the account's public key
	Owner   identity.OwnerTag // of the account
}

// Account is the data of a name's look-up record.
type Account struct {
	_           struct{} `cbor:",toarray"`
	Version     uint32   // of the account key, as the certificate says
	Certificate []byte   // the account certificate, DER, by the record's issuer
	Number      string   // canonical "sip:101@lan.example" as the certificate says, or empty
}

// Number is the data of a number: the name it stands for.
type Number struct {
	_     struct{}          `cbor:",toarray"`
	AOR   string            // canonical
	Owner identity.OwnerTag // of the account; may be zero
}

// decodeData reads the data of one kind and checks it by itself.
func decodeData[T interface{ validate() error }](data []byte) (*T, error) {
	v := new(T)
	if err := canon.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("%w: data: %w", ErrMalformed, err)
	}
	if err := (*v).validate(); err != nil {
		return nil, err
	}
	return v, nil
}

func (d Registration) validate() error {
	if d.Device.IsZero() || len(d.Addrs) == 0 || len(d.Addrs) > MaxAddrs || len(d.Features) > MaxFeatures {
		return fmt.Errorf("%w: registration", ErrMalformed)
	}
	if err := validAddrs(d.Addrs); err != nil {
		return err
	}
	if len(d.Via) > MaxVia {
		return fmt.Errorf("%w: %d peers of a client", ErrMalformed, len(d.Via))
	}
	for i, v := range d.Via {
		same := func(o Via) bool { return o.Node == v.Node }
		if len(v.Addrs) == 0 || len(v.Addrs) > MaxViaAddrs || v.Node == d.Node || slices.ContainsFunc(d.Via[:i], same) {
			return fmt.Errorf("%w: peer of a client", ErrMalformed)
		}
		if err := validAddrs(v.Addrs); err != nil {
			return err
		}
	}
	for _, f := range d.Features {
		if !validFeature(f) {
			return fmt.Errorf("%w: feature %q", ErrMalformed, f)
		}
	}
	return nil
}

func validAddrs(addrs []netip.AddrPort) error {
	for _, a := range addrs {
		ip := a.Addr()
		if !a.IsValid() || a.Port() == 0 || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("%w: address %s", ErrMalformed, a)
		}
	}
	return nil
}

func validFeature(f string) bool {
	if f == "" || len(f) > maxFeature {
		return false
	}
	for _, c := range []byte(f) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '=', c == '/':
		default:
			return false
		}
	}
	return true
}

func (d Share) validate() error {
	if d.Version == 0 || d.X == 0 || d.X > d.N || len(d.Y) != ShareLen || d.K < 2 || d.K > d.N || d.N > identity.MaxShares ||
		d.Digest == [32]byte{} {
		return fmt.Errorf("%w: share", ErrMalformed)
	}
	return nil
}

func (d Account) validate() error {
	if d.Version == 0 || len(d.Certificate) == 0 {
		return fmt.Errorf("%w: account", ErrMalformed)
	}
	if d.Number == "" {
		return nil
	}
	return canonicalName(d.Number)
}

func (d Number) validate() error { return canonicalName(d.AOR) }

func canonicalName(text string) error {
	aor, err := identity.ParseAOR(text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if aor.String() != text {
		return fmt.Errorf("%w: %q is not in canonical form", ErrMalformed, text)
	}
	return nil
}

// WithAccount returns the shares of a key that follows another one as holders
// want them: with the account's certificate, which says so.
func WithAccount(shares []Record, account []byte) []Record {
	out := slices.Clone(shares)
	for i := range out {
		if certs := out[i].Chain.Certificates; len(certs) == 1 {
			out[i].Chain.Certificates = [][]byte{account, certs[0]}
		}
	}
	return out
}
