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

// answer is a Read with what was asked.
type answer struct {
	Read
	asked *Call
}

// take counts one answer, unless nobody asked for it.
func (f *Resolving) take(r Read) {
	if r.Call < 0 || r.Call >= len(f.asked) || f.evidence.Asked[r.Call].Outcome != OutcomePending {
		return
	}
	in := answer{r, &f.asked[r.Call]}
	q := f.queue(in.asked.Kind)
	a := &f.evidence.Asked[r.Call]
	a.RTTMS = millis(in.Took)
	if in.Err != nil {
		a.Outcome, a.Error = OutcomeFailed, in.Err.Error()
		f.noWay = f.noWay || errors.Is(in.Err, ErrHidden)
		q.count(OutcomeFailed, identity.NodeID{})
		return
	}
	f.set.Pace.observe(in.Took)
	a.Holder = &in.Holder
	f.owners[in.Holder.Node] = in.Holder.Owner
	a.Outcome = f.weigh(&in)
	q.count(a.Outcome, in.Holder.Node)
	f.choose()
}

func (f *Resolving) queue(k record.Kind) *queue {
	switch k {
	case record.KindShare:
		return f.shares
	case record.KindRegistration:
		return f.regs
	}
	return f.accts
}

// weigh counts what was found and returns the outcome of the position.
func (f *Resolving) weigh(in *answer) string {
	if len(in.Found.list) == 0 {
		if in.Responsible {
			return OutcomeAbsent
		}
		return OutcomeNotResponsible
	}
	best := OutcomeRefused
	for i := range in.Found.list {
		switch outcome := f.weighOne(in, &in.Found.list[i]); {
		case outcome == OutcomeFound:
			best = OutcomeFound
		case (outcome == OutcomeGone || outcome == OutcomeSealed) && best != OutcomeFound:
			best = outcome
		}
	}
	return best
}

func (f *Resolving) weighOne(in *answer, x *finding) string {
	switch {
	case x.reason != "" && in.asked.Kind == record.KindShare:
		f.set.Refused(x.reason)
		_ = f.col.Refuse(in.Holder.Node, x.x, x.reason, x.err) // says what it was told
		return OutcomeRefused
	case x.reason != "":
		f.bad(in, x.reason)
		if in.asked.Kind == record.KindRegistration && x.reason == keyshare.ReasonExpired && in.Responsible {
			return OutcomeGone
		}
		return OutcomeRefused
	case x.agrees:
		return OutcomeFound
	case x.share != nil:
		if x.acct != nil {
			f.addCert(in, x.acct)
			f.choose()
		}
		return f.weighShare(in, x.share)
	case x.reg != nil:
		return f.weighRegistration(in, x.reg)
	case x.acct == nil:
		return OutcomeGone
	}
	f.existing = true
	f.addCert(in, x.acct)
	return OutcomeFound
}

func (f *Resolving) weighShare(in *answer, s *keyshare.Share) string {
	var err error
	if f.rounds > 0 && f.col.Has(s) { // heard in an earlier round
		return OutcomeFound
	}
	if int(s.X) != in.asked.replica+1 {
		err = f.col.Refuse(in.Holder.Node, s.X, keyshare.ReasonMisplaced, nil)
	} else {
		err = f.col.Add(in.Holder.Node, s)
	}
	f.existing = f.existing || f.col.Seen()
	var bad *keyshare.BadShare
	switch {
	case err == nil:
		return OutcomeFound
	case errors.As(err, &bad):
		f.set.Refused(bad.Reason)
	default: // a conflict: choose takes it up
		f.set.Refused(keyshare.ReasonOtherKey)
	}
	return OutcomeRefused
}

func (f *Resolving) weighRegistration(in *answer, reg *registration) string {
	f.existing = true
	f.addCert(in, reg.account)
	at := slot{reg.device.Part, reg.account.Key}
	if low, ok := f.known.floor[at]; ok && reg.device.Seq < low.seq && f.set.Now().Before(low.expires) {
		f.bad(in, ReasonOldSequence)
		return OutcomeRefused
	}
	old := f.devices[at]
	if old == nil && len(f.devices) < 2*int(f.charter.MaxDevices) || old != nil && reg.device.Seq > old.device.Seq {
		f.devices[at] = reg
	}
	switch {
	case reg.sealed:
		return OutcomeSealed
	case reg.gone:
		return OutcomeGone
	}
	return OutcomeFound
}

func (f *Resolving) addCert(in *answer, a *identity.AccountCertificate) {
	if len(f.heard) < maxBad {
		f.heard = append(f.heard, heard{in.asked.Kind, in.Holder, a})
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
func (f *Resolving) bad(in *answer, reason string) {
	f.set.Refused(reason)
	if len(f.evidence.Bad) < maxBad {
		f.evidence.Bad = append(f.evidence.Bad, Bad{Kind: kindName(in.asked.Kind), Holder: in.Holder, Reason: reason})
	}
}

// choose decides which certificate counts: the pinned key's if there is a
// conflict and a pin, else that of the latest key.
func (f *Resolving) choose() {
	f.cert = f.latest()
	if !f.known.Want.IsZero() {
		f.cert = f.dialled()
	}
	if f.cert != nil {
		f.col.Expect(keyshare.ClaimOf(f.cert))
		f.col.Also(f.earlier(f.cert))
		if key, ok := f.col.Key(); ok && key.Version < f.cert.Version {
			f.cert = f.certOf(key.Key)
		}
	}
	if f.conflict == nil {
		if f.conflict = f.certConflict(); f.conflict == nil {
			f.conflict = f.col.Conflict()
		}
	}
	if !f.known.Want.IsZero() {
		f.locked = true // the address decides
		return
	}
	if f.conflict == nil || f.known.Pin == nil {
		return
	}
	f.locked = f.pinned(f.conflict.First.Digest) || f.pinned(f.conflict.Second.Digest)
	if !f.locked {
		return
	}
	f.cert = nil
	claim := keyshare.Claim{Version: f.known.Pin.Version, Digest: f.known.Pin.Key.Digest()}
	for _, c := range f.certs {
		if c.Follows(f.known.Pin.Key) && (f.cert == nil || c.Version > f.cert.Version) {
			f.cert, claim = c, keyshare.ClaimOf(c)
		}
	}
	f.col.Expect(claim)
}

func (f *Resolving) latest() (best *identity.AccountCertificate) {
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
func (f *Resolving) certConflict() *keyshare.Conflict {
	for i, a := range f.certs {
		for _, b := range f.certs[i+1:] {
			old, later := a, b
			if old.Version > later.Version {
				old, later = b, a
			}
			if old.Key != later.Key && !later.Follows(old.Key) && (old.Version == later.Version || f.usedAfter(old, later.NotBefore)) {
				return &keyshare.Conflict{AOR: f.aor, First: keyshare.ClaimOf(old), Second: keyshare.ClaimOf(later)}
			}
		}
	}
	return nil
}

func (f *Resolving) usedAfter(c *identity.AccountCertificate, then time.Time) bool {
	for _, reg := range f.devices {
		if reg.account.Key == c.Key && !reg.gone && reg.time.After(then.Add(rotationSlack)) {
			return true
		}
	}
	return false
}

// live counts the devices that are registered under the certificate that
// counts.
func (f *Resolving) live() int {
	n := 0
	for _, reg := range f.current() {
		if !reg.gone {
			n++
		}
	}
	return n
}

// unsure tells whether shares speak of a later key than any certificate seen
// so far: then all who might have that certificate are asked.
func (f *Resolving) unsure() bool {
	_, newer := f.col.Newer()
	return newer && !f.locked
}
