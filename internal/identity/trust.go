package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/internal/limits"
)

// Sizes of one generation of the caches of things already verified.
const (
	cachedLeaves      = 2048
	cachedIssuers     = 16
	cachedDelegations = 1024
	cachedResults     = 1024
)

// ClockSkew is how far a verifier's clock may lag behind the signer's.
const ClockSkew = limits.Ahead

type digest = [sha256.Size]byte

// Trust verifies everything of one overlay, from its root key down. It caches
// what it has verified, so a certificate's signature is checked once; time is
// checked always. Only what verifies is cached, so strangers cannot fill it.
// Safe for concurrent use.
type Trust struct {
	root    *x509.Certificate
	charter atomic.Pointer[Charter]
	checked atomic.Uint64

	issuers     *Cache[digest, *issuerEntry]
	nodes       *Cache[digest, *NodeCertificate]
	accounts    *Cache[digest, *AccountCertificate]
	delegations *Cache[digest, Delegation]
	results     *Cache[digest, any]
	board       *Board
}

type issuerEntry struct {
	cert *x509.Certificate
	out  *IssuerCertificate
}

// NewTrust takes an overlay's root certificate in DER, which the caller has
// pinned, and its charter, which the caller has verified with the root's key.
func NewTrust(rootDER []byte, charter Charter) (*Trust, error) {
	root, overlay, err := parseRoot(bytes.Clone(rootDER))
	if err != nil {
		return nil, err
	}
	if err := charter.Validate(); err != nil {
		return nil, err
	}
	if overlay != charter.Overlay || !charter.Root.Equal(certKey(root)) {
		return nil, fmt.Errorf("%w: charter of %s, root certificate of %s", ErrOtherOverlay, charter.Overlay, overlay)
	}
	t := &Trust{root: root}
	t.charter.Store(&charter)
	t.remember(0, 0)
	t.board = newBoard(t)
	return t, nil
}

// NewTrustFor is NewTrust with room in its caches for so many people and
// records, for a process that stands for many nodes.
func NewTrustFor(rootDER []byte, charter Charter, people, records int) (*Trust, error) {
	t, err := NewTrust(rootDER, charter)
	if err == nil {
		t.remember(people, records)
	}
	return t, err
}

// remember makes the caches, larger than usual where need be.
func (t *Trust) remember(people, records int) {
	t.issuers = NewCache[digest, *issuerEntry](cachedIssuers)
	t.nodes = NewCache[digest, *NodeCertificate](max(cachedLeaves, people))
	t.accounts = NewCache[digest, *AccountCertificate](max(cachedLeaves, people))
	t.delegations = NewCache[digest, Delegation](max(cachedDelegations, people))
	t.results = NewCache[digest, any](max(cachedResults, records))
}

// Board holds the overlay's bulletins. What they revoke, this Trust refuses with
// ErrRevoked.
func (t *Trust) Board() *Board { return t.board }

// Checked returns how many signatures have been checked, records' included: what
// is found in a cache costs none.
func (t *Trust) Checked() uint64 { return t.checked.Load() }

// Checks counts a signature that another room has checked for this Trust.
func (t *Trust) Checks() { t.checked.Add(1) }

// Overlay returns the overlay's name.
func (t *Trust) Overlay() string { return t.charter.Load().Overlay }

// Charter returns the overlay's rules as they are now; its Paths are not to be
// changed.
func (t *Trust) Charter() Charter { return *t.charter.Load() }

// Adopt verifies a charter with the root key and lets it take the place of the
// one in force if it is a later edition. It reports whether it has; without an
// error and false it is the same one. The error wraps ErrUntrusted, ErrMalformed,
// ErrOtherOverlay, ErrDowngrade or ErrFixed.
func (t *Trust) Adopt(s SignedCharter) (adopted bool, err error) {
	next, err := s.Verify(t.Root())
	if err != nil {
		return false, err
	}
	for {
		now := t.charter.Load()
		if err := now.Succeed(next); err != nil || next.Seq == now.Seq {
			return false, err
		}
		if t.charter.CompareAndSwap(now, &next) {
			t.results.Clear() // among them are times with the grace of before
			return true, nil
		}
	}
}

// Root returns the root key.
func (t *Trust) Root() PublicKey { return certKey(t.root) }

// RootCertificate returns the root certificate in DER, not to be changed.
func (t *Trust) RootCertificate() []byte { return t.root.Raw }

// Recall and Remember keep results of other rooms' checks under a hash of all
// that was checked, so that they last as long as this Trust and no longer.
func (t *Trust) Recall(key [sha256.Size]byte) (any, bool) { return t.results.Get(key) }

// Remember is described at Recall.
func (t *Trust) Remember(key [sha256.Size]byte, result any) { t.results.Put(key, result) }

// VerifyIssuer checks the certificate of an issuing key. Errors as VerifyNode.
func (t *Trust) VerifyIssuer(der []byte, now time.Time) (*IssuerCertificate, error) {
	e, err := t.issuer(der, now)
	if err != nil {
		return nil, err
	}
	return e.out, nil
}

// VerifyNode checks a node's certificate. chain is leaf and issuer in DER; the
// root may follow. A certificate is valid from ClockSkew before its start to
// the charter's grace after its end; a zero now skips that. The error wraps
// ErrMalformed, ErrUntrusted, ErrOtherOverlay or ErrExpired.
func (t *Trust) VerifyNode(chain [][]byte, now time.Time) (*NodeCertificate, error) {
	issuer, key, err := t.above(chain, now)
	if err != nil {
		return nil, err
	}
	node, ok := t.nodes.Get(key)
	if !ok {
		cert, parsed, err := parseNode(bytes.Clone(chain[0]))
		if err != nil {
			return nil, err
		}
		if parsed.Overlay != t.Overlay() {
			return nil, fmt.Errorf("%w: node of %s", ErrOtherOverlay, parsed.Overlay)
		}
		t.Checks()
		if err := signedBy(cert, issuer.cert); err != nil {
			return nil, err
		}
		node = parsed
		t.nodes.Put(key, node)
	}
	if err := t.checkTime("node certificate", node.NotBefore, node.NotAfter, now); err != nil {
		return nil, err
	}
	if t.board.IssuerRevoked(issuer.out.Key) {
		return nil, fmt.Errorf("%w: the issuing key", ErrRevoked)
	}
	if t.board.NodeRevoked(node.Key, node.Owner) {
		return nil, fmt.Errorf("%w: the node", ErrRevoked)
	}
	return node, nil
}

// VerifyOwn is VerifyNode for a node's own certificate: that its issuing key has
// been revoked does not keep the node from asking for another one. The time is
// not checked.
func (t *Trust) VerifyOwn(chain [][]byte) (*NodeCertificate, error) {
	node, err := t.VerifyNode(chain, time.Time{})
	if !errors.Is(err, ErrRevoked) {
		return node, err
	}
	issuer, key, failed := t.above(chain, time.Time{})
	if failed != nil || !t.board.IssuerRevoked(issuer.out.Key) {
		return nil, err
	}
	own, ok := t.nodes.Get(key) // VerifyNode has just verified it
	if !ok || t.board.NodeRevoked(own.Key, own.Owner) {
		return nil, err
	}
	return own, nil
}

// IssuerOf returns the issuing key of a node's chain that VerifyOwn accepts.
func (t *Trust) IssuerOf(chain [][]byte) (PublicKey, error) {
	issuer, _, err := t.above(chain, time.Time{})
	if err != nil {
		return PublicKey{}, err
	}
	return issuer.out.Key, nil
}

// VerifyAccount checks an account's certificate as VerifyNode checks a node's.
func (t *Trust) VerifyAccount(chain [][]byte, now time.Time) (*AccountCertificate, error) {
	account, issuer, err := t.anyAccount(chain, now)
	if err != nil {
		return nil, err
	}
	if t.board.IssuerRevoked(issuer) {
		return nil, fmt.Errorf("%w: the issuing key", ErrRevoked)
	}
	if t.board.AccountRevoked(account.Key.Digest()) {
		return nil, fmt.Errorf("%w: the account", ErrRevoked)
	}
	return account, nil
}

// AccountOf is VerifyAccount without regard to the time and to what is revoked: of
// one's own account.
func (t *Trust) AccountOf(chain [][]byte) (*AccountCertificate, error) {
	account, _, err := t.anyAccount(chain, time.Time{})
	return account, err
}

// anyAccount is VerifyAccount without regard to what is revoked.
func (t *Trust) anyAccount(chain [][]byte, now time.Time) (*AccountCertificate, PublicKey, error) {
	issuer, key, err := t.above(chain, now)
	if err != nil {
		return nil, PublicKey{}, err
	}
	account, ok := t.accounts.Get(key)
	if !ok {
		cert, parsed, err := parseAccount(bytes.Clone(chain[0]))
		if err != nil {
			return nil, PublicKey{}, err
		}
		if parsed.AOR.Overlay() != t.Overlay() {
			return nil, PublicKey{}, fmt.Errorf("%w: account of %s", ErrOtherOverlay, parsed.AOR.Overlay())
		}
		t.Checks()
		if err := signedBy(cert, issuer.cert); err != nil {
			return nil, PublicKey{}, err
		}
		account = parsed
		t.accounts.Put(key, account)
	}
	if err := t.checkTime("account certificate", account.NotBefore, account.NotAfter, now); err != nil {
		return nil, PublicKey{}, err
	}
	return account, issuer.out.Key, nil
}

// VerifyDelegation is SignedDelegation.Verify with the charter's grace and a
// cache.
func (t *Trust) VerifyDelegation(s SignedDelegation, account PublicKey, now time.Time) (Delegation, error) {
	key := hash(account[:], s)
	d, ok := t.delegations.Get(key)
	if !ok {
		var err error
		t.Checks()
		if d, err = s.Verify(account, 0, time.Time{}); err != nil {
			return Delegation{}, err
		}
		t.delegations.Put(key, d)
	}
	if err := d.checkTime(t.charter.Load().GraceTime(), now); err != nil {
		return Delegation{}, err
	}
	if t.board.DeviceRevoked(account.Digest(), d.Device) {
		return Delegation{}, fmt.Errorf("%w: the device", ErrRevoked)
	}
	return d, nil
}

// above verifies what stands above the leaf of a chain, and returns the cache
// key of the leaf under that issuer.
func (t *Trust) above(chain [][]byte, now time.Time) (*issuerEntry, digest, error) {
	if len(chain) < 2 || len(chain) > 3 || len(chain) == 3 && !bytes.Equal(chain[2], t.root.Raw) {
		return nil, digest{}, fmt.Errorf("%w: a chain is a certificate and its issuer's", ErrMalformed)
	}
	if len(chain[0]) > MaxCertificate {
		return nil, digest{}, fmt.Errorf("%w: certificate of %d bytes", ErrMalformed, len(chain[0]))
	}
	issuer, err := t.anyIssuer(chain[1], now)
	if err != nil {
		return nil, digest{}, err
	}
	return issuer, hash(issuer.out.Key[:], chain[0]), nil
}

func (t *Trust) issuer(der []byte, now time.Time) (*issuerEntry, error) {
	e, err := t.anyIssuer(der, now)
	if err == nil && t.board.IssuerRevoked(e.out.Key) {
		return nil, fmt.Errorf("%w: the issuing key", ErrRevoked)
	}
	return e, err
}

// anyIssuer is issuer without regard to what is revoked.
func (t *Trust) anyIssuer(der []byte, now time.Time) (*issuerEntry, error) {
	if len(der) > MaxCertificate {
		return nil, fmt.Errorf("%w: certificate of %d bytes", ErrMalformed, len(der))
	}
	key := sha256.Sum256(der)
	e, ok := t.issuers.Get(key)
	if !ok {
		cert, overlay, err := parseIssuer(bytes.Clone(der))
		if err != nil {
			return nil, err
		}
		if overlay != t.Overlay() {
			return nil, fmt.Errorf("%w: issuer of %s", ErrOtherOverlay, overlay)
		}
		t.Checks()
		if err := signedBy(cert, t.root); err != nil {
			return nil, err
		}
		e = &issuerEntry{cert: cert, out: &IssuerCertificate{
			Key: certKey(cert), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, DER: cert.Raw,
		}}
		t.issuers.Put(key, e)
	}
	if err := t.checkTime("issuing certificate", e.out.NotBefore, e.out.NotAfter, now); err != nil {
		return nil, err
	}
	return e, nil
}

func (t *Trust) checkTime(what string, notBefore, notAfter, now time.Time) error {
	return checkWindow(what, notBefore, notAfter, t.charter.Load().GraceTime(), now)
}

// signedBy checks issuer name and signature, RFC 5280 §6.1.3 (a)(1) and (a)(4);
// that parent may sign certificates was checked when it was parsed, and is
// checked again here by crypto/x509.
func signedBy(cert, parent *x509.Certificate) error {
	if !bytes.Equal(cert.RawIssuer, parent.RawSubject) {
		return fmt.Errorf("%w: the certificate names another issuer", ErrUntrusted)
	}
	if err := cert.CheckSignatureFrom(parent); err != nil {
		return fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
	}
	return nil
}

// checkWindow tells whether now lies within [from − ClockSkew, to + grace]; a
// zero now always does.
func checkWindow(what string, from, to time.Time, grace time.Duration, now time.Time) error {
	switch {
	case now.IsZero():
		return nil
	case now.Before(from.Add(-ClockSkew)):
		return fmt.Errorf("%w: %s begins at %s", ErrExpired, what, from.UTC().Format(time.RFC3339))
	case now.After(to.Add(grace)):
		return fmt.Errorf("%w: %s ended at %s", ErrExpired, what, to.UTC().Format(time.RFC3339))
	}
	return nil
}

func hash(prefix, rest []byte) digest {
	h := sha256.New()
	h.Write(prefix) // of fixed length
	h.Write(rest)
	return digest(h.Sum(nil))
}
