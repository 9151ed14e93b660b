package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxCertificate bounds one certificate in DER, in bytes.
const MaxCertificate = 2 << 10

// NodeCertificate is a node's certificate, verified. Not to be changed.
type NodeCertificate struct {
	ID                  NodeID
	Key                 PublicKey
	Owner               OwnerTag
	Overlay             string
	Bootstrap           bool
	NotBefore, NotAfter time.Time // grace not counted
	DER                 []byte
}

// AccountCertificate is an account's certificate, verified. Not to be changed.
type AccountCertificate struct {
	AOR                 AOR
	Number              AOR // zero if none
	Key                 PublicKey
	Version             uint32 // of the key, from 1
	Owner               OwnerTag
	Rotations           []Rotation // from the account's keys before, the oldest first; verified
	NotBefore, NotAfter time.Time  // grace not counted
	DER                 []byte
}

// IssuerCertificate is an issuing key's certificate, verified. Not to be changed.
type IssuerCertificate struct {
	Key                 PublicKey
	NotBefore, NotAfter time.Time // grace not counted
	DER                 []byte
}

// parseAny reads a certificate and checks what all levels share: X.509 version
// 3, Ed25519 for key and signature, nothing critical that we do not know.
func parseAny(der []byte) (*x509.Certificate, error) {
	if len(der) > MaxCertificate {
		return nil, fmt.Errorf("%w: certificate of %d bytes", ErrMalformed, len(der))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
	}
	key, ok := cert.PublicKey.(ed25519.PublicKey)
	switch {
	case !ok || len(key) != ed25519.PublicKeySize || cert.SignatureAlgorithm != x509.PureEd25519:
		return nil, fmt.Errorf("%w: certificate: not Ed25519", ErrMalformed)
	case cert.Version != 3 || !cert.BasicConstraintsValid:
		return nil, fmt.Errorf("%w: certificate: no basic constraints", ErrMalformed)
	case len(cert.UnhandledCriticalExtensions) > 0:
		return nil, fmt.Errorf("%w: certificate: unknown critical extension", ErrMalformed)
	case len(cert.DNSNames) > 0 || len(cert.IPAddresses) > 0 || hasNameConstraints(cert):
		return nil, fmt.Errorf("%w: certificate: names that have no place in it", ErrMalformed)
	}
	return cert, nil
}

func hasNameConstraints(c *x509.Certificate) bool {
	return len(c.PermittedDNSDomains)+len(c.ExcludedDNSDomains)+len(c.PermittedIPRanges)+len(c.ExcludedIPRanges)+
		len(c.PermittedEmailAddresses)+len(c.ExcludedEmailAddresses)+
		len(c.PermittedURIDomains)+len(c.ExcludedURIDomains) > 0
}

// parseRoot reads a root certificate, its own signature included.
func parseRoot(der []byte) (cert *x509.Certificate, overlay string, err error) {
	cert, overlay, err = parseAuthority(der)
	if err != nil {
		return nil, "", err
	}
	if cert.KeyUsage != x509.KeyUsageCertSign || cert.MaxPathLen != 1 {
		return nil, "", fmt.Errorf("%w: not a root certificate", ErrMalformed)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, "", fmt.Errorf("%w: root certificate: %w", ErrUntrusted, err)
	}
	return cert, overlay, nil
}

// parseIssuer reads an issuing certificate without checking who signed it.
func parseIssuer(der []byte) (cert *x509.Certificate, overlay string, err error) {
	cert, overlay, err = parseAuthority(der)
	if err != nil {
		return nil, "", err
	}
	if cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature || cert.MaxPathLen != 0 || !cert.MaxPathLenZero {
		return nil, "", fmt.Errorf("%w: not an issuing certificate", ErrMalformed)
	}
	return cert, overlay, nil
}

func parseAuthority(der []byte) (*x509.Certificate, string, error) {
	cert, err := parseAny(der)
	if err != nil {
		return nil, "", err
	}
	if !cert.IsCA || len(cert.URIs) != 1 || len(cert.EmailAddresses) > 0 {
		return nil, "", fmt.Errorf("%w: not an authority's certificate", ErrMalformed)
	}
	overlay, ok := strings.CutPrefix(cert.URIs[0].String(), urnOverlay)
	if name, err := NormalizeOverlay(overlay); !ok || err != nil || name != overlay {
		return nil, "", fmt.Errorf("%w: the authority's certificate names no overlay", ErrMalformed)
	}
	return cert, overlay, nil
}

// leafNames is what the names in a leaf's SubjectAltName say.
type leafNames struct {
	id        NodeID
	nodes     int // reload URIs
	overlay   string
	owner     OwnerTag
	version   uint32
	rotations []Rotation
	bootstrap bool
}

func parseNode(der []byte) (*x509.Certificate, *NodeCertificate, error) {
	cert, names, err := parseLeaf(der)
	if err != nil {
		return nil, nil, err
	}
	if names.nodes != 1 || len(cert.EmailAddresses) != 0 || names.version != 0 || names.rotations != nil {
		return nil, nil, fmt.Errorf("%w: not a node certificate: it must name one Node-ID and nobody", ErrMalformed)
	}
	return cert, &NodeCertificate{
		ID: names.id, Key: certKey(cert), Owner: names.owner, Overlay: names.overlay, Bootstrap: names.bootstrap,
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, DER: cert.Raw,
	}, nil
}

func parseAccount(der []byte) (*x509.Certificate, *AccountCertificate, error) {
	cert, names, err := parseLeaf(der)
	if err != nil {
		return nil, nil, err
	}
	mails := cert.EmailAddresses
	if names.nodes != 0 || len(mails) < 1 || len(mails) > 2 || names.version == 0 || names.bootstrap {
		return nil, nil, fmt.Errorf("%w: not an account certificate: it must name one AOR and no Node-ID", ErrMalformed)
	}
	account := &AccountCertificate{
		Key: certKey(cert), Version: names.version, Owner: names.owner, Rotations: names.rotations,
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, DER: cert.Raw,
	}
	if account.AOR, err = parseMailName(mails[0]); err != nil {
		return nil, nil, err
	}
	if err := verifyRotations(account.Rotations, account.AOR, account.Key, account.Version); err != nil {
		return nil, nil, err
	}
	if len(mails) == 2 {
		if account.Number, err = parseMailName(mails[1]); err != nil {
			return nil, nil, err
		}
		if account.Number == account.AOR || account.Number.Overlay() != account.AOR.Overlay() {
			return nil, nil, fmt.Errorf("%w: the number in an account certificate", ErrMalformed)
		}
	}
	return cert, account, nil
}

func parseLeaf(der []byte) (*x509.Certificate, leafNames, error) {
	var names leafNames
	cert, err := parseAny(der)
	if err != nil {
		return nil, names, err
	}
	if cert.IsCA || cert.KeyUsage != x509.KeyUsageDigitalSignature || cert.Subject.String() != "" {
		return nil, names, fmt.Errorf("%w: not a leaf certificate", ErrMalformed)
	}
	for _, u := range cert.URIs {
		if err := names.read(u); err != nil {
			return nil, names, err
		}
	}
	if names.owner.IsZero() {
		return nil, names, fmt.Errorf("%w: the certificate names no owner", ErrMalformed)
	}
	return cert, names, nil
}

// read takes in one URI; each kind may come once, and no other.
func (n *leafNames) read(u *url.URL) (err error) {
	text := u.String()
	if rest, ok := strings.CutPrefix(text, urnOwner); ok && n.owner.IsZero() {
		n.owner, err = ParseOwnerTag(rest)
		return err
	}
	if rest, ok := strings.CutPrefix(text, urnKeyVersion); ok && n.version == 0 {
		v, err := strconv.ParseUint(rest, 10, 32)
		if err != nil || v == 0 || strconv.FormatUint(v, 10) != rest {
			return fmt.Errorf("%w: key version %q", ErrMalformed, rest)
		}
		n.version = uint32(v)
		return nil
	}
	if rest, ok := strings.CutPrefix(text, urnRotations); ok && n.rotations == nil {
		n.rotations, err = parseRotationsText(rest)
		return err
	}
	if text == urnBootstrap && !n.bootstrap {
		n.bootstrap = true
		return nil
	}
	if rest, ok := strings.CutPrefix(text, reloadScheme+"://"); ok && n.nodes == 0 {
		id, overlay, _ := strings.Cut(rest, "@")
		if n.id, err = ParseNodeID(id); err != nil {
			return err
		}
		if name, err := NormalizeOverlay(overlay); err != nil || name != overlay || n.id.String() != id {
			return fmt.Errorf("%w: %q", ErrMalformed, text)
		}
		n.overlay, n.nodes = overlay, 1
		return nil
	}
	return fmt.Errorf("%w: a name that has no place in the certificate, or is there twice: %q", ErrMalformed, text)
}

func certKey(c *x509.Certificate) PublicKey {
	return PublicKey(c.PublicKey.(ed25519.PublicKey)) // parseAny checked it
}

// mailName returns an AOR as an rfc822Name. That is ASCII (RFC 5280
// §4.2.1.6), so what is not plain in a user part is percent-encoded, in the
// one way that parseMailName accepts.
func mailName(a AOR) string {
	var b strings.Builder
	for _, c := range []byte(a.User()) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("-_.+!~*'", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String() + "@" + a.Overlay()
}

func parseMailName(text string) (AOR, error) {
	escaped, overlay, _ := strings.Cut(text, "@")
	user, err := url.PathUnescape(escaped)
	if err != nil {
		return AOR{}, fmt.Errorf("%w: rfc822Name %q", ErrMalformed, text)
	}
	a, err := NewAOR(user, overlay)
	if err != nil {
		return AOR{}, err
	}
	if mailName(a) != text {
		return AOR{}, fmt.Errorf("%w: rfc822Name %q is not in canonical form", ErrMalformed, text)
	}
	return a, nil
}
