package directory

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// Resolving is one resolution as a step function: it asks positions, weighs the
// answers, comes to a verdict, and listens on. One goroutine owns it; Examine
// alone may be called from others.
type Resolving struct {
	aor     identity.AOR
	look    *examiner
	set     Setting
	charter identity.Charter
	known   Known

	began   time.Time
	hedgeAt time.Time // when positions are asked beside those that take long
	end     time.Time // of resolving, then of listening
	watchAt time.Time // while listening: when more share positions are read

	asked       []Call // by ID
	regs, accts *queue
	shares      *queue
	col         *keyshare.Collector
	owners      map[identity.NodeID]identity.OwnerTag // of holders that answered
	devices     map[slot]*registration                // the newest valid one of each
	certs       []*identity.AccountCertificate        // every different key and version seen
	heard       []heard                               // who said which
	cert        *identity.AccountCertificate          // the one that counts, or nil
	conflict    *keyshare.Conflict
	locked      bool // a conflict, but the pin decides it
	existing    bool // some valid record of the name was seen
	late        bool // an answer has taken longer than answers do
	noWay       bool // a question could not be asked without saying who asks
	rounds      int  // in which all were asked again
	outdated    bool // the last answer had a newer word of a device than the result
	evidence    Evidence

	res   *Resolution
	err   error
	done  bool // res and err are final
	ended bool // listening is over
}

// Known is what earlier resolutions leave to the next one.
type Known struct {
	Pin   *identity.Pin   // of earlier calls, or nil
	NoPin bool            // do not pin at first use
	Want  identity.KeyTag // of the key that the address names; "" = none
	floor floor           // sequences seen before
}

// heard is a holder that answered with a certificate.
type heard struct {
	kind   record.Kind
	holder Holder
	cert   *identity.AccountCertificate
}

// maxCerts bounds the different certificates of one name that are compared.
const maxCerts = 8

// NewResolving returns a resolution of a name, which is not a number. Its first
// step, with a Tick, begins it.
func NewResolving(set Setting, aor identity.AOR, known Known) *Resolving {
	c := set.Trust.Charter()
	n, m := int(c.N), int(c.RegistrationReplicas)
	return &Resolving{
		aor:      aor,
		look:     &examiner{aor: aor, trust: set.Trust, maxDevices: int(c.MaxDevices), now: set.Now, keys: set.Keys},
		set:      set,
		charter:  c,
		known:    known,
		shares:   newQueue(record.KindShare, aor, n, set.Rand),
		regs:     newQueue(record.KindRegistration, aor, m, set.Rand),
		accts:    newQueue(record.KindAccount, aor, m, set.Rand),
		col:      keyshare.NewCollector(aor, c.K, c.N),
		owners:   make(map[identity.NodeID]identity.OwnerTag),
		devices:  make(map[slot]*registration),
		evidence: Evidence{K: int(c.K), N: n, Asked: make([]Asked, 0, n+2*m)},
		asked:    make([]Call, 0, n+2*m),
	}
}

// Step implements errand. Call IDs count from 0 in the order of asking.
func (f *Resolving) Step(now time.Time, ev Event) []Call {
	first := len(f.asked)
	switch {
	case f.ended:
	case f.done:
		f.listen(now, ev)
	default:
		f.resolve(now, ev)
	}
	if f.ended {
		return nil
	}
	return f.asked[first:]
}

// resolve is a step until there is a verdict.
func (f *Resolving) resolve(now time.Time, ev Event) {
	if f.began.IsZero() {
		f.began, f.end, f.hedgeAt = now, now.Add(f.set.Timeout), now.Add(f.hedgeTime())
		f.launch(f.shares, int(f.charter.K))
		f.launch(f.regs, f.sureRegistrations())
		f.launch(f.accts, f.sureAccounts())
	}
	switch ev := ev.(type) {
	case Read:
		f.take(ev)
		f.refill()
	case GiveUp:
		f.finish(now, ev.Err)
		f.ended = true
		return
	default:
		if !now.Before(f.end) {
			f.finish(now, f.giveUp(true))
			return
		}
		if !now.Before(f.hedgeAt) {
			f.late = true
			f.hedge()
			if f.behind() {
				f.refill()
			}
			f.hedgeAt = now.Add(f.hedgeTime())
		}
	}
	if done, err := f.verdict(); done {
		f.finish(now, err)
	}
}

func (f *Resolving) hedgeTime() time.Duration { return f.set.Pace.hedge(f.set.Rand) }

// Deadline implements errand.
func (f *Resolving) Deadline() time.Time {
	switch {
	case f.ended:
		return time.Time{}
	case f.done:
		return sooner(f.watchAt, f.end)
	}
	return sooner(f.hedgeAt, f.end)
}

// Result returns the outcome once done is true. The resolution listens on until
// it has Ended; Conflict and Outdated say what it hears.
func (f *Resolving) Result() (res *Resolution, done bool, err error) { return f.res, f.done, f.err }

// Conflict returns the evidence against the issuer that has been found, or
// nil.
func (f *Resolving) Conflict() *keyshare.Conflict { return f.conflict }

// Outdated reports whether the last step took in an answer with a newer word of
// a device than the result has.
func (f *Resolving) Outdated() bool { return f.outdated }

// Examine implements errand.
func (f *Resolving) Examine(c Call, recs []record.Record) Findings { return f.look.examine(c, recs) }

// Ended implements errand.
func (f *Resolving) Ended() bool { return f.ended }

// launch asks the next count positions of q, as far as there are any.
func (f *Resolving) launch(q *queue, count int) {
	for range count {
		replica, ok := q.take()
		if !ok {
			return
		}
		c := Call{
			ID: len(f.asked), Position: record.Position(q.resource, replica, q.size()),
			Kind: q.kind, Resource: q.resource, replica: replica,
		}
		if q.kind == record.KindShare {
			x := uint64(replica + 1)
			c.Part = &x
		}
		f.evidence.Asked = append(f.evidence.Asked, Asked{
			Kind: kindName(q.kind), Replica: replica, Position: c.Position, Outcome: OutcomePending,
		})
		f.asked = append(f.asked, c)
	}
}

// refill asks elsewhere at once where answers did not help.
func (f *Resolving) refill() {
	if _, ok := f.col.Key(); !ok || f.behind() {
		need := max(int(f.charter.K)-f.col.Valid(), 1)
		if f.shares.absent+f.shares.failed >= 2 || f.behind() {
			need = f.shares.size() // more than bad luck: ask them all
		}
		f.launch(f.shares, need-f.shares.open)
	}
	regs, accts := f.sureRegistrations()-f.regs.answered(), f.sureAccounts()-f.accts.answered()
	if f.live() == 0 {
		regs = max(regs, 1)
		if f.regs.absent > 0 {
			regs = f.regs.size()
		}
	}
	if f.cert == nil && (!f.set.Hidden || f.regs.open == 0) {
		accts = max(accts, 1)
	}
	if f.unsure() || f.behind() {
		regs, accts = f.regs.size(), f.accts.size()
	}
	f.launch(f.regs, regs-f.regs.open)
	f.launch(f.accts, accts-f.accts.open)
}

// hedge asks one more of what has taken too long.
func (f *Resolving) hedge() {
	if f.set.Hidden { // where one does not answer, its successor is asked anyway
		return
	}
	if _, ok := f.col.Key(); !ok {
		f.launch(f.shares, 1)
	}
	if f.live() == 0 {
		f.launch(f.regs, 1)
	}
	if f.cert == nil {
		f.launch(f.accts, 1)
	}
}

func kindName(k record.Kind) string {
	switch k {
	case record.KindShare:
		return "share"
	case record.KindRegistration:
		return "registration"
	case record.KindAccount:
		return "account"
	case record.KindNumber:
		return "number"
	}
	return "other"
}
