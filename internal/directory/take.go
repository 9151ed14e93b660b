package directory

import (
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// rotationSlack is how long after a newer certificate's start a registration
// under the older key is still no contradiction: certificates are dated back,
// clocks differ, and a registration in flight is nobody's lie.
const rotationSlack = time.Hour

// maxBad bounds the refused answers that are named.
const maxBad = 64

// take counts one reply.
func (f *flight) take(r reply) {
	q := f.queue(r.kind)
	a := &f.evidence.Asked[r.asked]
	a.RTTMS = millis(r.took)
	if r.err != nil {
		a.Outcome, a.Error = OutcomeFailed, r.err.Error()
		q.count(OutcomeFailed, identity.NodeID{})
		return
	}
	f.d.pace.observe(r.took)
	a.Holder = &r.holder
	f.owners[r.holder.Node] = r.holder.Owner
	a.Outcome = f.weigh(r)
	q.count(a.Outcome, r.holder.Node)
	f.choose()
}

func (f *flight) queue(k record.Kind) *queue {
	switch k {
	case record.KindShare:
		return f.shares
	case record.KindRegistration:
		return f.regs
	}
	return f.accts
}

// weigh counts what was found and returns the outcome of the position.
func (f *flight) weigh(r reply) string {
	if len(r.findings) == 0 {
		if r.responsible {
			return OutcomeAbsent
		}
		return OutcomeNotResponsible
	}
	best := OutcomeRefused
	for i := range r.findings {
		switch outcome := f.weighOne(r, &r.findings[i]); {
		case outcome == OutcomeFound:
			best = OutcomeFound
		case outcome == OutcomeGone && best != OutcomeFound:
			best = OutcomeGone
		}
	}
	return best
}

func (f *flight) weighOne(r reply, x *finding) string {
	switch {
	case x.reason != "" && r.kind == record.KindShare:
		f.d.cfg.Refused(x.reason)
		_ = f.col.Refuse(r.holder.Node, x.x, x.reason, x.err) // says what it was told
		return OutcomeRefused
	case x.reason != "":
		f.bad(r, x.reason)
		if r.kind == record.KindRegistration && x.reason == keyshare.ReasonExpired && r.responsible {
			return OutcomeGone
		}
		return OutcomeRefused
	case x.agrees:
		return OutcomeFound
	case x.share != nil:
		return f.weighShare(r, x.share)
	case x.reg != nil:
		return f.weighRegistration(r, x.reg)
	case x.acct == nil:
		return OutcomeGone
	}
	f.existing = true
	f.addCert(r, x.acct)
	return OutcomeFound
}

func (f *flight) weighShare(r reply, s *keyshare.Share) string {
	var err error
	if int(s.X) != r.replica+1 {
		err = f.col.Refuse(r.holder.Node, s.X, keyshare.ReasonMisplaced, nil)
	} else {
		err = f.col.Add(r.holder.Node, s)
	}
	f.existing = f.existing || f.col.Seen()
	var bad *keyshare.BadShare
	switch {
	case err == nil:
		return OutcomeFound
	case errors.As(err, &bad):
		f.d.cfg.Refused(bad.Reason)
	default: // a conflict: choose takes it up
		f.d.cfg.Refused(keyshare.ReasonOtherKey)
	}
	return OutcomeRefused
}

func (f *flight) weighRegistration(r reply, reg *registration) string {
	f.existing = true
	f.addCert(r, reg.account)
	at := slot{reg.device.Part, reg.account.Key}
	if low, ok := f.floor[at]; ok && reg.device.Seq < low.seq && f.d.cfg.Now().Before(low.expires) {
		f.bad(r, ReasonOldSequence)
		return OutcomeRefused
	}
	old := f.devices[at]
	if old == nil && len(f.devices) < 2*int(f.charter.MaxDevices) || old != nil && reg.device.Seq > old.device.Seq {
		f.devices[at] = reg
	}
	if reg.gone {
		return OutcomeGone
	}
	return OutcomeFound
}

func (f *flight) addCert(r reply, a *identity.AccountCertificate) {
	if len(f.heard) < maxBad {
		f.heard = append(f.heard, heard{r.kind, r.holder, a})
	}
	for _, c := range f.certs {
		if c.Key == a.Key && c.Version == a.Version {
			return
		}
	}
	if len(f.certs) < maxCerts {
		f.certs = append(f.certs, a)
	}
}

// bad names a refused answer. Those of shares the collector names.
func (f *flight) bad(r reply, reason string) {
	f.d.cfg.Refused(reason)
	if len(f.evidence.Bad) < maxBad {
		f.evidence.Bad = append(f.evidence.Bad, Bad{Kind: kindName(r.kind), Holder: r.holder, Reason: reason})
	}
}

// choose decides which certificate counts: the pinned key's if there is a
// conflict and a pin, else that of the latest key.
func (f *flight) choose() {
	f.cert = f.latest()
	if f.cert != nil {
		f.col.Expect(keyshare.ClaimOf(f.cert))
	}
	if f.conflict == nil {
		if f.conflict = f.certConflict(); f.conflict == nil {
			f.conflict = f.col.Conflict()
		}
	}
	if f.conflict == nil || f.pin == nil {
		return
	}
	f.locked = f.conflict.First.Digest == f.pin.Key.Digest() || f.conflict.Second.Digest == f.pin.Key.Digest()
	if !f.locked {
		return
	}
	f.cert = nil
	claim := keyshare.Claim{Version: f.pin.Version, Digest: f.pin.Key.Digest()}
	for _, c := range f.certs {
		if c.Key == f.pin.Key && (f.cert == nil || c.Version > f.cert.Version) {
			f.cert, claim = c, keyshare.ClaimOf(c)
		}
	}
	f.col.Expect(claim)
}

func (f *flight) latest() (best *identity.AccountCertificate) {
	for _, c := range f.certs {
		if best == nil || c.Version > best.Version {
			best = c
		}
	}
	return best
}

// certConflict finds two certificates that cannot both be honest: two keys
// under one version, or an older key that is still in use long after a newer
// one was certified.
func (f *flight) certConflict() *keyshare.Conflict {
	for i, a := range f.certs {
		for _, b := range f.certs[i+1:] {
			old, later := a, b
			if old.Version > later.Version {
				old, later = b, a
			}
			if old.Key != later.Key && (old.Version == later.Version || f.usedAfter(old, later.NotBefore)) {
				return &keyshare.Conflict{AOR: f.aor, First: keyshare.ClaimOf(old), Second: keyshare.ClaimOf(later)}
			}
		}
	}
	return nil
}

func (f *flight) usedAfter(c *identity.AccountCertificate, then time.Time) bool {
	for _, reg := range f.devices {
		if reg.account.Key == c.Key && !reg.gone && reg.time.After(then.Add(rotationSlack)) {
			return true
		}
	}
	return false
}

// live counts the devices that are registered under the certificate that
// counts.
func (f *flight) live() int {
	n := 0
	for _, reg := range f.devices {
		if !reg.gone && f.cert != nil && reg.account.Key == f.cert.Key {
			n++
		}
	}
	return n
}

// unsure tells whether shares speak of a later key than any certificate seen
// so far: then all who might have that certificate are asked.
func (f *flight) unsure() bool {
	_, newer := f.col.Newer()
	return newer && !f.locked
}
