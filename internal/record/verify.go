package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Verified is a record whose signature, chain and data have been checked. It
// is shared: not to be changed. Of the four kinds' data the one of Body.Kind is
// set, or Sealed in the place of a Registration, unless it is a tombstone.
type Verified struct {
	Record Record
	Body   Body
	AOR    identity.AOR
	Owner  identity.OwnerTag // of the account; zero where the record does not say

	Issuer     *identity.IssuerCertificate
	Account    *identity.AccountCertificate // registration and account records, and shares of a key that follows another
	Delegation *identity.Delegation         // registrations

	Registration *Registration
	Sealed       *Sealed // a registration that only its readers can open
	Share        *Share
	Lookup       *Account
	Number       *Number

	windows []window
}

// window is a time that must hold, [from, to] with all allowances made.
type window struct {
	what     string
	from, to time.Time
}

// Resource names the resource that the record is a part of.
func (v *Verified) Resource() identity.NodeID { return resource(v.Body.AOR, v.Body.Kind) }

// KeyDigest returns SHA-256 of the account key that the record binds to its
// name, and whether it does.
func (v *Verified) KeyDigest() ([sha256.Size]byte, bool) {
	switch {
	case v.Share != nil:
		return v.Share.Digest, true
	case v.Account != nil:
		return v.Account.Key.Digest(), true
	}
	return [sha256.Size]byte{}, false
}

// Follows tells whether the record's key follows another one, by rotations that
// its account's certificate carries; then until is when that one ends.
func (v *Verified) Follows(key [sha256.Size]byte) (until time.Time, ok bool) {
	if v.Account == nil {
		return time.Time{}, false
	}
	r, _ := v.Account.Before(key)
	if r == nil {
		return time.Time{}, false
	}
	return r.Until(), true
}

// Verify checks a record, up to the root key of t, at time now; a zero now
// skips what depends on the time. What t has verified before costs a hash. The
// error wraps ErrMalformed, ErrTooLarge, ErrFuture or one of package identity.
func Verify(r Record, t *identity.Trust, now time.Time) (*Verified, error) {
	if len(r.Chain.Certificates) > maxCertificates || len(r.Chain.Delegation) > maxDelegation || r.Size() > MaxRecord {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, r.Size())
	}
	key := r.name()
	if known, ok := t.Recall(key); ok {
		if v, ok := known.(*Verified); ok {
			return v.at(t, now)
		}
	}
	v, err := verify(r.clone(), key, t)
	if err != nil {
		return nil, err
	}
	t.Remember(key, v)
	return v.at(t, now)
}

// at returns v if its time is right and none of its keys is revoked by now.
func (v *Verified) at(t *identity.Trust, now time.Time) (*Verified, error) {
	if err := v.checkTime(now); err != nil {
		return nil, err
	}
	if t.Board().Len() > 0 {
		if err := v.checkStanding(t.Board(), now); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// checkStanding refuses records by or about keys that are revoked. Tombstones
// of a revoked name stay: they say no more than that.
func (v *Verified) checkStanding(b *identity.Board, now time.Time) error {
	if b.IssuerRevoked(v.Issuer.Key) {
		return fmt.Errorf("%w: the issuing key of a record", identity.ErrRevoked)
	}
	if v.Delegation != nil && b.DeviceRevoked(v.Account.Key.Digest(), v.Delegation.Device) {
		return fmt.Errorf("%w: the device of a record", identity.ErrRevoked)
	}
	if digest, ok := v.KeyDigest(); ok {
		return b.CheckName(v.AOR, digest, now)
	}
	if v.Number == nil {
		return nil
	}
	target, err := identity.ParseAOR(v.Number.AOR)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return b.CheckName(target, identity.KeyDigest{}, now)
}

func verify(r Record, name [sha256.Size]byte, t *identity.Trust) (*Verified, error) {
	payload, batch, err := r.open()
	if err != nil {
		return nil, err
	}
	b, err := decodeBody(payload)
	if err != nil {
		return nil, err
	}
	r.remember(b, t.Charter(), name)
	v := &Verified{Record: r, Body: b}
	if v.AOR, err = identity.ParseAOR(b.AOR); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if v.AOR.Overlay() != t.Overlay() {
		return nil, fmt.Errorf("%w: %s", identity.ErrOtherOverlay, b.AOR)
	}
	switch {
	case b.Kind != KindRegistration:
		err = v.verifyIssued(t, batch)
	case batch != nil:
		err = fmt.Errorf("%w: a registration of a batch", ErrMalformed)
	default:
		err = v.verifyRegistration(t)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// verifyRegistration follows issuer → account key → delegation → device key.
func (v *Verified) verifyRegistration(t *identity.Trust) (err error) {
	chain := v.Record.Chain
	if len(chain.Certificates) != 2 {
		return fmt.Errorf("%w: a registration carries the account's and the issuer's certificate", ErrMalformed)
	}
	if v.Body.Lifetime > min(registrationMax, t.Charter().RegistrationLifetime) {
		return fmt.Errorf("%w: a registration of %d s", ErrMalformed, v.Body.Lifetime)
	}
	if err := v.verifyIssuer(t, chain.Certificates[1]); err != nil {
		return err
	}
	if err := v.verifyAccount(t, chain.Certificates); err != nil {
		return err
	}
	d, err := t.VerifyDelegation(chain.Delegation, v.Account.Key, time.Time{})
	if err != nil {
		return err
	}
	if d.AOR != v.Body.AOR || d.Part != v.Body.Part {
		return fmt.Errorf("%w: the delegation is for another name or part", identity.ErrUntrusted)
	}
	v.Delegation, v.Owner = &d, v.Account.Owner
	v.hold("delegation", time.UnixMilli(d.Issued), time.UnixMilli(d.Expires).Add(t.Charter().GraceTime()))
	v.hold("registration", time.UnixMilli(v.Body.Time), time.UnixMilli(v.Body.Expires))
	t.Checks()
	if _, err := d.Device.Verify(contextRecord, v.Record.Signed); err != nil {
		return err
	}
	if v.Body.Tombstone {
		return nil
	}
	if d.Node == (identity.NodeID{}) { // the delegation of a writer that does not say where it is
		v.Sealed, err = decodeData[Sealed](v.Body.Data)
		return err
	}
	if v.Registration, err = decodeData[Registration](v.Body.Data); err != nil {
		return err
	}
	if v.Registration.Device != d.Device || v.Registration.Node != d.Node {
		return fmt.Errorf("%w: the delegation is for another device or node", identity.ErrUntrusted)
	}
	return nil
}

// verifyIssued checks the kinds that the issuing key signs. Like certificates,
// they stay valid for the charter's grace.
func (v *Verified) verifyIssued(t *identity.Trust, batch *batched) error {
	chain := v.Record.Chain
	most := 1
	if v.Body.Kind == KindShare {
		most = 2 // of a key that follows another one: the account's certificate says so
	}
	certs := len(chain.Certificates)
	if certs < 1 || certs > most || len(chain.Delegation) != 0 {
		return fmt.Errorf("%w: a record by the issuer carries its certificate and no more", ErrMalformed)
	}
	if v.Body.Lifetime > maxIssuedLife {
		return fmt.Errorf("%w: a lifetime of %d s", ErrMalformed, v.Body.Lifetime)
	}
	if err := v.verifyIssuer(t, chain.Certificates[certs-1]); err != nil {
		return err
	}
	v.hold(v.Body.Kind.String(), time.UnixMilli(v.Body.Time), time.UnixMilli(v.Body.Expires).Add(t.Charter().GraceTime()))
	if err := v.verifySignature(t, batch); err != nil {
		return err
	}
	switch v.Body.Kind {
	case KindShare:
		return v.verifyShare(t)
	case KindAccount:
		return v.verifyLookup(t)
	case KindNumber:
		return v.verifyNumber(t)
	}
	return fmt.Errorf("%w: %s", ErrMalformed, v.Body.Kind)
}

func (v *Verified) verifySignature(t *identity.Trust, batch *batched) error {
	if batch != nil {
		return batch.verify(v.Issuer.Key, t)
	}
	t.Checks()
	_, err := v.Issuer.Key.Verify(contextRecord, v.Record.Signed)
	return err
}

func (v *Verified) verifyShare(t *identity.Trust) (err error) {
	if v.Body.Part < 1 || v.Body.Part > uint64(t.Charter().N) {
		return fmt.Errorf("%w: share %d of %d", ErrMalformed, v.Body.Part, t.Charter().N)
	}
	if v.Body.Tombstone {
		return nil
	}
	if v.Share, err = decodeData[Share](v.Body.Data); err != nil {
		return err
	}
	if v.Body.Part != uint64(v.Share.X) {
		return fmt.Errorf("%w: share %d in the place of %d", ErrMalformed, v.Share.X, v.Body.Part)
	}
	v.Owner = v.Share.Owner
	if chain := v.Record.Chain.Certificates; len(chain) == 2 {
		if err := v.verifyAccount(t, chain); err != nil {
			return err
		}
		if v.Account.Version != v.Share.Version || v.Account.Key.Digest() != v.Share.Digest || v.Account.Owner != v.Share.Owner {
			return fmt.Errorf("%w: a share and a certificate of different keys", ErrMalformed)
		}
	}
	return nil
}

func (v *Verified) verifyLookup(t *identity.Trust) (err error) {
	if v.Body.Part != 0 {
		return fmt.Errorf("%w: part %d of an account", ErrMalformed, v.Body.Part)
	}
	if v.Body.Tombstone {
		return nil
	}
	if v.Lookup, err = decodeData[Account](v.Body.Data); err != nil {
		return err
	}
	if err := v.verifyAccount(t, [][]byte{v.Lookup.Certificate, v.Record.Chain.Certificates[0]}); err != nil {
		return err
	}
	number := ""
	if !v.Account.Number.IsZero() {
		number = v.Account.Number.String()
	}
	if v.Lookup.Version != v.Account.Version || v.Lookup.Number != number {
		return fmt.Errorf("%w: the account differs from its certificate", ErrMalformed)
	}
	v.Owner = v.Account.Owner
	return nil
}

func (v *Verified) verifyNumber(t *identity.Trust) (err error) {
	if v.Body.Part != 0 {
		return fmt.Errorf("%w: part %d of a number", ErrMalformed, v.Body.Part)
	}
	if v.Body.Tombstone {
		return nil
	}
	if v.Number, err = decodeData[Number](v.Body.Data); err != nil {
		return err
	}
	target, err := identity.ParseAOR(v.Number.AOR)
	if err != nil || target.Overlay() != t.Overlay() || target == v.AOR {
		return fmt.Errorf("%w: a number that stands for %q", ErrMalformed, v.Number.AOR)
	}
	v.Owner = v.Number.Owner
	return nil
}

func (v *Verified) verifyIssuer(t *identity.Trust, der []byte) (err error) {
	if v.Issuer, err = t.VerifyIssuer(der, time.Time{}); err != nil {
		return err
	}
	v.hold("issuing certificate", v.Issuer.NotBefore, v.Issuer.NotAfter.Add(t.Charter().GraceTime()))
	return nil
}

func (v *Verified) verifyAccount(t *identity.Trust, chain [][]byte) error {
	account, err := t.VerifyAccount(chain, time.Time{})
	if err != nil {
		return err
	}
	if account.AOR != v.AOR {
		return fmt.Errorf("%w: the certificate is for another name", identity.ErrUntrusted)
	}
	v.Account = account
	v.hold("account certificate", account.NotBefore, account.NotAfter.Add(t.Charter().GraceTime()))
	return nil
}

func (v *Verified) hold(what string, from, to time.Time) {
	v.windows = append(v.windows, window{what, from.Add(-identity.ClockSkew), to})
}

func (v *Verified) checkTime(now time.Time) error {
	if now.IsZero() {
		return nil
	}
	if time.UnixMilli(v.Body.Time).After(now.Add(identity.ClockSkew)) {
		return fmt.Errorf("%w: signed at %s", ErrFuture, time.UnixMilli(v.Body.Time).UTC().Format(time.RFC3339))
	}
	for _, w := range v.windows {
		if now.Before(w.from) {
			return fmt.Errorf("%w: %s of a record begins at %s", identity.ErrExpired, w.what, w.from.UTC().Format(time.RFC3339))
		}
		if now.After(w.to) {
			return fmt.Errorf("%w: %s of a record ended at %s", identity.ErrExpired, w.what, w.to.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// hash covers every byte of the record, each piece with its length.
func (r Record) hash() [sha256.Size]byte {
	h := sha256.New()
	piece := func(b []byte) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	piece([]byte(contextRecord))
	piece(r.Signed)
	piece(r.Chain.Delegation)
	for _, c := range r.Chain.Certificates {
		piece(c)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// clone copies the record out of whatever buffer it came in.
func (r Record) clone() Record {
	out := Record{Signed: bytes.Clone(r.Signed), Chain: Chain{Delegation: bytes.Clone(r.Chain.Delegation)}}
	for _, c := range r.Chain.Certificates {
		out.Chain.Certificates = append(out.Chain.Certificates, bytes.Clone(c))
	}
	return out
}
