package directory

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// Bounds of the records that are read out of one answer.
const (
	maxShareRecords = 3
	maxOtherRecords = 3
)

// finding is one record of an answer.
type finding struct {
	share  *keyshare.Share
	reg    *registration
	acct   *identity.AccountCertificate // of a registration, an account record, or a share that came with it
	agrees bool                         // a share that says what is known already
	x      uint8
	reason string // why it was refused, or ""
	err    error
}

// registration is a device's own record, verified.
type registration struct {
	device  Device
	account *identity.AccountCertificate
	time    time.Time
	gone    bool // a tombstone, expired, or sealed for others
	sealed  bool // for others
}

// examiner verifies the records of one name. It is safe for concurrent use.
type examiner struct {
	aor        identity.AOR
	trust      *identity.Trust
	maxDevices int
	now        func() time.Time
	keys       func() []identity.PrivateKey // nil: none

	settled atomic.Pointer[keyshare.Claim] // once the key is known
	same    sync.Mutex                     // held while records are verified
}

func (e *examiner) examine(c Call, recs []record.Record) Findings {
	limit, read := maxOtherRecords, e.readAccount
	switch c.Kind {
	case record.KindShare:
		limit, read = maxShareRecords, e.readShare
	case record.KindRegistration:
		limit, read = 2*e.maxDevices, e.readRegistration
	}
	// Replicas of one record, or one of a batch, or with one certificate: the
	// second to come finds the first one's signatures checked.
	e.same.Lock()
	defer e.same.Unlock()
	out := make([]finding, 0, min(len(recs), limit+1))
	for i, rec := range recs {
		if i == limit {
			out = append(out, finding{reason: ReasonTooMany})
			break
		}
		out = append(out, read(rec))
	}
	return Findings{list: out}
}

func (e *examiner) readShare(rec record.Record) finding {
	if s := e.settled.Load(); s != nil {
		// The key is known: a share that claims the same key needs no signature
		// check, whoever made it. One that claims another does.
		aor, c, err := keyshare.Claimed(rec)
		if err == nil && aor == e.aor.String() && c.Version == s.Version && c.Digest == s.Digest {
			return finding{agrees: true, x: c.X}
		}
	}
	s, err := keyshare.Verify(rec, e.trust, e.now())
	if err != nil {
		out := finding{reason: ReasonBadRecord, err: err}
		var bad *keyshare.BadShare
		if errors.As(err, &bad) {
			out.x, out.reason, out.err = bad.X, bad.Reason, bad.Err
		}
		return out
	}
	return finding{share: s, x: s.X, acct: s.Account}
}

// readRegistration checks the record and that it is a registration of this
// name. That device and node are those to which the account has delegated,
// record.Verify has checked.
func (e *examiner) readRegistration(rec record.Record) finding {
	now := e.now()
	v, err := record.Verify(rec, e.trust, now)
	if err != nil {
		return finding{reason: reasonOf(err), err: err}
	}
	if v.Body.Kind != record.KindRegistration || v.AOR != e.aor {
		return finding{reason: ReasonOtherName}
	}
	reg := &registration{
		account: v.Account, time: time.UnixMilli(v.Body.Time), gone: v.Body.Tombstone,
		device: Device{
			Part: v.Body.Part, Seq: v.Body.Seq, Expires: time.UnixMilli(v.Body.Expires), Seen: time.UnixMilli(v.Body.Time), Delegation: *v.Delegation,
			Node: v.Delegation.Node, Key: v.Delegation.Device,
		},
	}
	where := v.Registration
	if v.Sealed != nil {
		if where, err = e.open(v); err != nil && !errors.Is(err, record.ErrNotForUs) {
			return finding{reason: reasonOf(err), err: err}
		}
		reg.gone, reg.sealed = where == nil, where == nil
	}
	if where != nil {
		reg.device.Node, reg.device.Key = where.Node, where.Device
		reg.device.Addrs, reg.device.Features, reg.device.Via = where.Addrs, where.Features, where.Via
	}
	return finding{reg: reg, acct: v.Account}
}

// open reads a sealed registration, if it is sealed for somebody here. Its
// writer has the account's delegation and so says which device it is for; one
// that is revoked is none.
func (e *examiner) open(v *record.Verified) (*record.Registration, error) {
	if e.keys == nil {
		return nil, record.ErrNotForUs
	}
	reg, err := v.Open(e.keys())
	if err == nil && e.trust.Board().DeviceRevoked(v.Account.Key.Digest(), reg.Device) {
		err = fmt.Errorf("%w: the device of a sealed registration", identity.ErrRevoked)
	}
	return reg, err
}

// readAccount checks an account record; record.Verify has checked the
// certificate in it.
func (e *examiner) readAccount(rec record.Record) finding {
	v, err := record.Verify(rec, e.trust, e.now())
	switch {
	case err != nil:
		return finding{reason: reasonOf(err), err: err}
	case v.Body.Kind != record.KindAccount || v.AOR != e.aor:
		return finding{reason: ReasonOtherName}
	}
	return finding{acct: v.Account} // nil: the account was closed
}

func reasonOf(err error) string {
	if errors.Is(err, identity.ErrExpired) {
		return keyshare.ReasonExpired
	}
	return ReasonBadRecord
}
