package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// The ALPN protocol names.
const (
	alpnRing  = "secp2psip/1"
	alpnEnrol = "secp2psip-enrol/1"
	alpnProbe = "secp2psip-probe/1"
)

// credentials are a node's certificate chain as TLS wants it, and what it says.
type credentials struct {
	ring  tls.Certificate // node, issuer
	enrol tls.Certificate // node, issuer, root: the newcomer knows only the root's fingerprint
	node  *identity.NodeCertificate
}

func newCredentials(key identity.PrivateKey, chain [][]byte, trust *identity.Trust) (*credentials, error) {
	node, err := trust.VerifyOwn(chain)
	if err != nil {
		return nil, fmt.Errorf("link: own certificate: %w", err)
	}
	if !node.Key.Equal(key.Public()) {
		return nil, fmt.Errorf("%w: the certificate is not for the node key", ErrConfig)
	}
	return &credentials{
		ring:  tls.Certificate{Certificate: slices.Clone(chain[:2]), PrivateKey: key.Ed25519()},
		enrol: tls.Certificate{Certificate: [][]byte{chain[0], chain[1], trust.RootCertificate()}, PrivateKey: key.Ed25519()},
		node:  node,
	}, nil
}

// verify checks the certificates of the other side of a ring link.
func (l *Link) verify(cs tls.ConnectionState) (*identity.NodeCertificate, error) {
	if cs.NegotiatedProtocol != alpnRing && cs.NegotiatedProtocol != alpnProbe {
		return nil, fmt.Errorf("%w: ALPN %q", ErrProtocol, cs.NegotiatedProtocol)
	}
	return l.cfg.Trust.VerifyNode(rawChain(cs), l.verifyTime())
}

// verifyTime returns the time to check certificates at; zero, which skips the
// check, until the clock is known to be right.
func (l *Link) verifyTime() time.Time {
	if !l.cfg.ClockSynced() {
		return time.Time{}
	}
	return l.cfg.Now()
}

func rawChain(cs tls.ConnectionState) [][]byte {
	chain := make([][]byte, len(cs.PeerCertificates))
	for i, c := range cs.PeerCertificates {
		chain[i] = c.Raw
	}
	return chain
}

func baseTLS(protocol string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{protocol},
		SessionTicketsDisabled: true,
	}
}

// serverTLS chooses by ALPN between ring links, probes and enrolment.
func (l *Link) serverTLS() *tls.Config {
	base := baseTLS(alpnRing)
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		pass := passFrom(hello.Context())
		switch {
		case slices.Contains(hello.SupportedProtos, alpnRing):
			return l.ringServerTLS(alpnRing, pass), nil
		case slices.Contains(hello.SupportedProtos, alpnProbe):
			return l.ringServerTLS(alpnProbe, pass), nil
		case slices.Contains(hello.SupportedProtos, alpnEnrol) && l.cfg.Enrol != nil:
			c := baseTLS(alpnEnrol)
			c.Certificates = []tls.Certificate{l.creds.Load().enrol}
			return c, nil
		}
		pass.because(ReasonProtocol)
		return nil, fmt.Errorf("%w: ALPN %q", ErrProtocol, hello.SupportedProtos)
	}
	return base
}

func (l *Link) ringServerTLS(protocol string, p *pass) *tls.Config {
	c, own := baseTLS(protocol), l.creds.Load()
	p.show(own)
	c.Certificates = []tls.Certificate{own.ring}
	c.ClientAuth = tls.RequireAnyClientCert // VerifyConnection does the rest
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := l.verify(cs)
		if err != nil {
			p.because(certificateReason(err))
		}
		return err
	}
	return c
}

// clientTLS makes a ring link to the node for which accept returns nil. The
// standard verification wants host names, which nodes do not have: verify takes
// its place.
func (l *Link) clientTLS(protocol string, accept func(*identity.NodeCertificate) error) *tls.Config {
	c := baseTLS(protocol)
	c.InsecureSkipVerify = true
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &l.creds.Load().ring, nil
	}
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		node, err := l.verify(cs)
		if err != nil {
			l.refuseCertificate(err)
			return err
		}
		return accept(node)
	}
	return c
}

func (l *Link) refuseCertificate(err error) {
	for _, known := range []error{identity.ErrMalformed, identity.ErrUntrusted, identity.ErrOtherOverlay, identity.ErrExpired, identity.ErrRevoked} {
		if errors.Is(err, known) {
			l.cfg.Refused(certificateReason(err))
			return
		}
	}
}

func certificateReason(err error) string {
	if errors.Is(err, identity.ErrRevoked) {
		return ReasonRevoked
	}
	return ReasonCertificate
}
