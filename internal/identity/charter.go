package identity

import (
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/limits"
)

// ProtocolVersion is the only version of the protocol there is.
const ProtocolVersion = 1

// Bounds of a charter.
const (
	MaxShares       = 64 // n
	MaxReplicas     = 16
	maxPaths        = 8
	maxPathName     = 32       // bytes
	maxCharter      = 4 << 10  // bytes, signed
	maxLifetime     = 10 * 365 // days
	contextCharter  = "secp2psip/1 charter"
	secondsOfOneDay = 24 * 60 * 60
)

// Charter holds the rules that every member of an overlay follows. The root
// key signs it; a newer one has a higher Seq. It travels as a CBOR array of
// its fields in this order.
type Charter struct {
	_       struct{}  `cbor:",toarray"`
	Version uint      // ProtocolVersion
	Overlay string    // its name, canonical
	Root    PublicKey // the key that signs charter and issuing keys
	Seq     uint64    // rises with every edition, from 1
	Issued  int64     // Unix ms

	N, K                 uint8  // a key is split into N shares, K of which give it back
	RegistrationReplicas uint8  // places of registrations, accounts and numbers
	OwnerRecords         uint32 // of one owner with one holder
	OwnerBytes           uint32 // likewise
	StoreBytes           uint64 // of all owners with one holder

	RegistrationLifetime, RegistrationRefresh uint32   // s
	CertificateLifetime, RenewAfter           uint32   // s
	Grace                                     uint32   // s that expired certificates, delegations and shares stay valid
	ShareLifetime                             uint32   // s
	MaxDevices                                uint8    // of one person
	Paths                                     []string // how calls may go on, in order of preference
}

// DefaultCharter returns the first charter of a new overlay.
func DefaultCharter(overlay string, root PublicKey, now time.Time) Charter {
	return Charter{
		Version: ProtocolVersion, Overlay: overlay, Root: root, Seq: 1, Issued: now.UnixMilli(),
		N: 10, K: 4, RegistrationReplicas: 4,
		OwnerRecords: limits.OwnerRecords, OwnerBytes: limits.OwnerBytes, StoreBytes: limits.StoreBytes,
		RegistrationLifetime: 900, RegistrationRefresh: 300,
		CertificateLifetime: 90 * secondsOfOneDay, RenewAfter: 30 * secondsOfOneDay,
		Grace: 180 * secondsOfOneDay, ShareLifetime: 90 * secondsOfOneDay,
		MaxDevices: limits.Devices, Paths: []string{"protected", "direct", "carried"},
	}
}

// Validate checks that every field is in range and that they fit together. The
// error wraps ErrMalformed.
func (c Charter) Validate() error {
	overlay, err := NormalizeOverlay(c.Overlay)
	if err != nil {
		return err
	}
	for _, rule := range []struct {
		ok   bool
		must string
	}{
		{c.Version == ProtocolVersion, "the protocol version must be 1"},
		{overlay == c.Overlay, "the overlay's name must be in lower case"},
		{!c.Root.IsZero(), "there must be a root key"},
		{c.Seq > 0 && c.Issued > 0, "it must have a number and a date"},
		{2 <= c.K && c.K <= c.N && c.N <= MaxShares, "shares must be 2 ≤ k ≤ n ≤ 64"},
		{1 <= c.RegistrationReplicas && c.RegistrationReplicas <= MaxReplicas, "replicas must be 1 to 16"},
		{1 <= c.MaxDevices && c.MaxDevices <= 64, "devices must be 1 to 64"},
		{uint32(c.N)+uint32(c.MaxDevices)+2 <= c.OwnerRecords && c.OwnerRecords <= 4096,
			"an owner's records must hold all shares, all devices, the account and a number, and be at most 4096"},
		{4<<10 <= c.OwnerBytes && c.OwnerBytes <= 16<<20, "an owner's bytes must be 4 KiB to 16 MiB"},
		{uint64(c.OwnerBytes) <= c.StoreBytes && c.StoreBytes <= 16<<30, "a store must hold one owner, and at most 16 GiB"},
		{1 <= c.RegistrationRefresh && c.RegistrationRefresh < c.RegistrationLifetime &&
			c.RegistrationLifetime <= secondsOfOneDay, "registrations must be refreshed within their lifetime, of at most a day"},
		{1 <= c.RenewAfter && c.RenewAfter < c.CertificateLifetime, "certificates must be renewed within their lifetime"},
		{max(c.CertificateLifetime, c.Grace, c.ShareLifetime) <= maxLifetime*secondsOfOneDay, "lifetimes must be at most 10 years"},
		{c.ShareLifetime >= 1, "shares must live at least a second"},
		{validPaths(c.Paths), "paths must be 1 to 8 different short words"},
	} {
		if !rule.ok {
			return fmt.Errorf("%w: charter: %s", ErrMalformed, rule.must)
		}
	}
	return nil
}

func validPaths(paths []string) bool {
	if len(paths) == 0 || len(paths) > maxPaths {
		return false
	}
	for i, p := range paths {
		if p == "" || len(p) > maxPathName || slices.Contains(paths[:i], p) {
			return false
		}
		for _, c := range p {
			if (c < 'a' || c > 'z') && c != '-' {
				return false
			}
		}
	}
	return true
}

// GraceTime returns Grace as a duration.
func (c Charter) GraceTime() time.Duration { return time.Duration(c.Grace) * time.Second }

// SignedCharter is a charter as a COSE_Sign1 by the root key.
type SignedCharter []byte

// Sign validates c and signs it.
func (c Charter) Sign(root PrivateKey) (SignedCharter, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if !c.Root.Equal(root.Public()) {
		return nil, fmt.Errorf("%w: the charter names another root key", ErrUntrusted)
	}
	payload, err := canon.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return root.Sign(contextCharter, payload)
}

// Verify returns the charter if root signed it and it is valid. The error
// wraps ErrUntrusted or ErrMalformed.
func (s SignedCharter) Verify(root PublicKey) (Charter, error) {
	if len(s) > maxCharter {
		return Charter{}, fmt.Errorf("%w: charter of %d bytes", ErrMalformed, len(s))
	}
	payload, err := root.Verify(contextCharter, s)
	if err != nil {
		return Charter{}, fmt.Errorf("charter: %w", err)
	}
	var c Charter
	if err := canon.Unmarshal(payload, &c); err != nil {
		return Charter{}, fmt.Errorf("%w: charter: %w", ErrMalformed, err)
	}
	if err := c.Validate(); err != nil {
		return Charter{}, err
	}
	if !c.Root.Equal(root) {
		return Charter{}, fmt.Errorf("%w: the charter names another root key", ErrUntrusted)
	}
	return c, nil
}

// Succeed tells whether next may replace c: nil if it is a later edition,
// nil if it is the same, else ErrOtherOverlay or ErrDowngrade, or ErrFixed where
// it says otherwise how many shares and replicas there are: that decides where
// all records lie.
func (c Charter) Succeed(next Charter) error {
	if next.Overlay != c.Overlay || !next.Root.Equal(c.Root) {
		return fmt.Errorf("%w: charter of %s", ErrOtherOverlay, next.Overlay)
	}
	if next.Seq > c.Seq {
		if next.N != c.N || next.K != c.K || next.RegistrationReplicas != c.RegistrationReplicas {
			return fmt.Errorf("%w: k, n and the replicas of registrations", ErrFixed)
		}
		return nil
	}
	a, errA := canon.Marshal(c)
	b, errB := canon.Marshal(next)
	if next.Seq == c.Seq && errA == nil && errB == nil && string(a) == string(b) {
		return nil
	}
	return fmt.Errorf("%w: edition %d after %d", ErrDowngrade, next.Seq, c.Seq)
}
