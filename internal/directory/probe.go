package directory

import (
	"errors"
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

// probe is one position to be asked.
type probe struct {
	kind    record.Kind
	replica int
	asked   int // index in the evidence
}

// reply is what came back, verified as far as one answer alone can be.
type reply struct {
	probe
	holder      Holder
	responsible bool
	findings    []finding
	err         error
	took        time.Duration
}

// finding is one record of an answer.
type finding struct {
	share  *keyshare.Share
	reg    *registration
	acct   *identity.AccountCertificate // of a registration or an account record
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
	gone    bool // a tombstone, or expired
}

// ask fetches and verifies. It runs in its own goroutine; everything it reads
// of the flight is immutable or made for sharing.
func (f *flight) ask(p probe, pos identity.NodeID) {
	var part *uint64
	if p.kind == record.KindShare {
		x := uint64(p.replica + 1)
		part = &x
	}
	start := time.Now()
	ans, err := f.d.cfg.Ring.Fetch(f.ctx, pos, f.resource(p.kind), part)
	r := reply{probe: p, err: err, took: time.Since(start)}
	if err == nil {
		r.holder, r.responsible = ans.Holder, ans.Responsible
		r.findings = f.examine(p, ans.Records)
	}
	f.replies <- r // has room for every probe there can be
}

func (f *flight) examine(p probe, recs []record.Record) []finding {
	limit, read := maxOtherRecords, f.readAccount
	switch p.kind {
	case record.KindShare:
		limit, read = maxShareRecords, f.readShare
	case record.KindRegistration:
		limit, read = 2*int(f.charter.MaxDevices), f.readRegistration
	}
	if p.kind != record.KindShare {
		// Replicas of one record, with one certificate: the second to come finds
		// the first one's signatures checked.
		f.same.Lock()
		defer f.same.Unlock()
	}
	out := make([]finding, 0, min(len(recs), limit+1))
	for i, rec := range recs {
		if i == limit {
			out = append(out, finding{reason: ReasonTooMany})
			break
		}
		out = append(out, read(rec))
	}
	return out
}

func (f *flight) readShare(rec record.Record) finding {
	if s := f.settled.Load(); s != nil {
		// The key is known: a share that claims the same key needs no signature
		// check, whoever made it. One that claims another does.
		aor, c, err := keyshare.Claimed(rec)
		if err == nil && aor == f.aor.String() && c.Version == s.Version && c.Digest == s.Digest {
			return finding{agrees: true, x: c.X}
		}
	}
	s, err := keyshare.Verify(rec, f.trust, f.d.cfg.Now())
	if err != nil {
		out := finding{reason: ReasonBadRecord, err: err}
		var bad *keyshare.BadShare
		if errors.As(err, &bad) {
			out.x, out.reason, out.err = bad.X, bad.Reason, bad.Err
		}
		return out
	}
	return finding{share: s, x: s.X}
}

// readRegistration checks the record and that it is a registration of this
// name. That device and node are those to which the account has delegated,
// record.Verify has checked.
func (f *flight) readRegistration(rec record.Record) finding {
	now := f.d.cfg.Now()
	v, err := record.Verify(rec, f.trust, now)
	if err != nil {
		return finding{reason: reasonOf(err), err: err}
	}
	if v.Body.Kind != record.KindRegistration || v.AOR != f.aor {
		return finding{reason: ReasonOtherName}
	}
	reg := &registration{
		account: v.Account, time: time.UnixMilli(v.Body.Time), gone: v.Registration == nil,
		device: Device{
			Part: v.Body.Part, Seq: v.Body.Seq, Expires: time.UnixMilli(v.Body.Expires), Delegation: *v.Delegation,
			Node: v.Delegation.Node, Key: v.Delegation.Device,
		},
	}
	if v.Registration != nil {
		reg.device.Addrs, reg.device.Features = v.Registration.Addrs, v.Registration.Features
	}
	return finding{reg: reg, acct: v.Account}
}

// readAccount checks an account record; record.Verify has checked the
// certificate in it.
func (f *flight) readAccount(rec record.Record) finding {
	v, err := record.Verify(rec, f.trust, f.d.cfg.Now())
	switch {
	case err != nil:
		return finding{reason: reasonOf(err), err: err}
	case v.Body.Kind != record.KindAccount || v.AOR != f.aor:
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
