package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"time"
)

// Lifetimes of the two certificates of an authority, and how far before its
// making a certificate starts to be valid, for clocks that lag.
const (
	rootYears   = 20
	issuerYears = 1
	backdate    = 5 * time.Minute
)

// The URIs that certificates carry.
const (
	urnOverlay    = "urn:secp2psip:overlay:"
	urnOwner      = "urn:secp2psip:owner:"
	urnKeyVersion = "urn:secp2psip:key-version:"
	urnRotations  = "urn:secp2psip:rotations:"
	urnBootstrap  = "urn:secp2psip:role:bootstrap"
	reloadScheme  = "reload"
)

// NewRootCertificate returns the self-signed certificate of an overlay's root
// key, valid for 20 years, in DER.
func NewRootCertificate(root PrivateKey, overlay string, now time.Time) ([]byte, error) {
	t, err := authorityTemplate(overlay, "root", now, rootYears)
	if err != nil {
		return nil, err
	}
	t.MaxPathLen = 1
	return createCertificate(t, t, root.Public(), root)
}

// IssueIssuerCertificate returns the certificate of an issuing key, valid for
// one year, signed by the root key.
func IssueIssuerCertificate(root PrivateKey, rootDER []byte, issuer PublicKey, now time.Time) ([]byte, error) {
	parent, overlay, err := parseRoot(rootDER)
	if err != nil {
		return nil, err
	}
	t, err := authorityTemplate(overlay, "issuer", now, issuerYears)
	if err != nil {
		return nil, err
	}
	t.MaxPathLenZero = true
	t.KeyUsage |= x509.KeyUsageDigitalSignature // it also signs records
	return createCertificate(t, parent, issuer, root)
}

func authorityTemplate(overlay, role string, now time.Time, years int) (*x509.Certificate, error) {
	name, err := NormalizeOverlay(overlay)
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{name}, CommonName: role},
		URIs:                  []*url.URL{urn(urnOverlay + name)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(years, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}, nil
}

// Issuer is an issuing key with its certificate. Safe for concurrent use.
type Issuer struct {
	key     PrivateKey
	cert    *x509.Certificate
	overlay string
}

// NewIssuer checks that the certificate is an issuer's and belongs to key. It
// does not check who signed it; Trust.VerifyIssuer does.
func NewIssuer(key PrivateKey, certDER []byte) (*Issuer, error) {
	cert, overlay, err := parseIssuer(certDER)
	if err != nil {
		return nil, err
	}
	if key.IsZero() || !key.Public().Equal(certKey(cert)) {
		return nil, fmt.Errorf("%w: the issuing certificate belongs to another key", ErrUntrusted)
	}
	return &Issuer{key: key, cert: cert, overlay: overlay}, nil
}

// Certificate returns the issuer's certificate in DER, not to be changed.
func (i *Issuer) Certificate() []byte { return i.cert.Raw }

// Key returns the issuing key.
func (i *Issuer) Key() PrivateKey { return i.key }

// Overlay returns the name of the overlay it issues for.
func (i *Issuer) Overlay() string { return i.overlay }

// NotAfter returns the end of the issuer's own certificate, grace not counted.
func (i *Issuer) NotAfter() time.Time { return i.cert.NotAfter }

// NodeParams is what a node certificate says. Times are cut to seconds.
type NodeParams struct {
	Key                 PublicKey
	ID                  NodeID
	Overlay             string
	Owner               OwnerTag
	Bootstrap           bool
	NotBefore, NotAfter time.Time
}

// IssueNode returns a node certificate in DER.
func (i *Issuer) IssueNode(p NodeParams) ([]byte, error) {
	if p.Overlay != i.overlay {
		return nil, fmt.Errorf("%w: %q, the issuer is of %q", ErrOtherOverlay, p.Overlay, i.overlay)
	}
	if p.Owner.IsZero() {
		return nil, fmt.Errorf("%w: a node certificate needs an owner tag", ErrMalformed)
	}
	t, err := leafTemplate(p.Owner, p.NotBefore, p.NotAfter)
	if err != nil {
		return nil, err
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	reload := &url.URL{Scheme: reloadScheme, User: url.User(p.ID.String()), Host: i.overlay}
	t.URIs = append([]*url.URL{reload}, t.URIs...)
	if p.Bootstrap {
		t.URIs = append(t.URIs, urn(urnBootstrap))
	}
	return createCertificate(t, i.cert, p.Key, i.key)
}

// AccountParams is what an account certificate says. Number is the canonical
// user part of the account's number, "101", or empty. Version counts the
// account's keys, from 1; Rotations lead to Key, the last one directly. Times
// are cut to seconds.
type AccountParams struct {
	Key                 PublicKey
	AOR                 AOR
	Number              string
	Version             uint32
	Owner               OwnerTag
	Rotations           []Rotation
	NotBefore, NotAfter time.Time
}

// IssueAccount returns an account certificate in DER.
func (i *Issuer) IssueAccount(p AccountParams) ([]byte, error) {
	if p.AOR.Overlay() != i.overlay {
		return nil, fmt.Errorf("%w: %q, the issuer is of %q", ErrOtherOverlay, p.AOR.Overlay(), i.overlay)
	}
	if p.Owner.IsZero() || p.Version == 0 {
		return nil, fmt.Errorf("%w: an account certificate needs an owner tag and a key version", ErrMalformed)
	}
	if err := verifyRotations(p.Rotations, p.AOR, p.Key, p.Version); err != nil {
		return nil, err
	}
	return i.issueAccount(p)
}

func (i *Issuer) issueAccount(p AccountParams) ([]byte, error) {
	t, err := leafTemplate(p.Owner, p.NotBefore, p.NotAfter)
	if err != nil {
		return nil, err
	}
	t.EmailAddresses = []string{mailName(p.AOR)}
	if p.Number != "" {
		number, err := NewAOR(p.Number, i.overlay)
		if err != nil {
			return nil, err
		}
		if number == p.AOR {
			return nil, fmt.Errorf("%w: the number is the name itself", ErrMalformed)
		}
		t.EmailAddresses = append(t.EmailAddresses, mailName(number))
	}
	t.URIs = append(t.URIs, urn(urnKeyVersion+strconv.FormatUint(uint64(p.Version), 10)))
	if len(p.Rotations) > 0 {
		t.URIs = append(t.URIs, urn(urnRotations+rotationsText(p.Rotations)))
	}
	return createCertificate(t, i.cert, p.Key, i.key)
}

func leafTemplate(owner OwnerTag, notBefore, notAfter time.Time) (*x509.Certificate, error) {
	if !notBefore.Before(notAfter) {
		return nil, fmt.Errorf("%w: a certificate that ends before it begins", ErrMalformed)
	}
	return &x509.Certificate{
		URIs:                  []*url.URL{urn(urnOwner + owner.String())},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}, nil
}

func createCertificate(t, parent *x509.Certificate, key PublicKey, signer PrivateKey) ([]byte, error) {
	if key.IsZero() || signer.IsZero() {
		return nil, fmt.Errorf("%w: a certificate needs a key and a signer", ErrMalformed)
	}
	// 126 bits, the first of them set: positive (RFC 5280 §4.1.2.2), and as long in
	// DER as any other, so that certificates of one kind have one length.
	first := new(big.Int).Lsh(big.NewInt(1), 125)
	serial, err := rand.Int(rand.Reader, first)
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial.Add(serial, first)
	t.SignatureAlgorithm = x509.PureEd25519
	var pub ed25519.PublicKey = key.Ed25519()
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, signer.Ed25519())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return der, nil
}

func urn(text string) *url.URL {
	return &url.URL{Scheme: "urn", Opaque: text[len("urn:"):]}
}
