package directory

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/stack"
	"github.com/secp2psip/secp2psip/keyshare"
)

// flight is one resolution under way. Its own goroutine owns its state; those
// that ask positions send it replies.
type flight struct {
	d       *Directory
	aor     identity.AOR
	trust   *identity.Trust
	charter identity.Charter
	pin     *identity.Pin // of earlier calls, or nil
	floor   floor         // sequences seen before
	noPin   bool          // do not pin at first use
	start   time.Time

	ctx     context.Context // of the probes: ends with the flight
	cancel  context.CancelFunc
	replies chan reply
	settled atomic.Pointer[keyshare.Claim] // once the key is known

	same sync.Mutex // held while what is replicated is verified

	resources   map[record.Kind]identity.NodeID
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
	evidence    Evidence
	res         *Resolution
	err         error
	done        chan struct{} // closed when res and err are final
}

// heard is a holder that answered with a certificate.
type heard struct {
	kind   record.Kind
	holder Holder
	cert   *identity.AccountCertificate
}

// maxCerts bounds the different certificates of one name that are compared.
const maxCerts = 8

func (d *Directory) newFlight(aor identity.AOR, noPin bool) *flight {
	trust := d.Trust()
	c := trust.Charter()
	n, m := int(c.N), int(c.RegistrationReplicas)
	f := &flight{
		d: d, aor: aor, trust: trust, charter: c, noPin: noPin, start: time.Now(),
		replies: make(chan reply, n+2*m),
		resources: map[record.Kind]identity.NodeID{
			record.KindShare:        record.Resource(aor, record.KindShare),
			record.KindRegistration: record.Resource(aor, record.KindRegistration),
			record.KindAccount:      record.Resource(aor, record.KindAccount),
		},
		shares:   newQueue(record.KindShare, n),
		regs:     newQueue(record.KindRegistration, m),
		accts:    newQueue(record.KindAccount, m),
		col:      keyshare.NewCollector(aor, c.K, c.N),
		owners:   make(map[identity.NodeID]identity.OwnerTag),
		devices:  make(map[slot]*registration),
		evidence: Evidence{K: int(c.K), N: n, Asked: make([]Asked, 0, n+2*m)},
		done:     make(chan struct{}),
	}
	f.ctx, f.cancel = context.WithCancel(d.ctx)
	return f
}

// run resolves, answers those who wait, and listens on.
func (f *flight) run() {
	defer f.cancel()
	f.resolve()
	f.d.landed(f)
	close(f.done)
	f.listen()
	f.d.ended(f)
}

// resolve asks until there is a verdict.
func (f *flight) resolve() {
	deadline := time.NewTimer(f.d.cfg.Timeout)
	defer deadline.Stop()
	hedge := time.NewTimer(f.d.pace.hedge())
	defer hedge.Stop()

	f.loadPin()
	f.launch(f.shares, int(f.charter.K))
	f.launch(f.regs, sureRegistrations)
	f.launch(f.accts, sureAccounts)
	for {
		if done, err := f.verdict(); done {
			f.finish(err)
			return
		}
		select {
		case r := <-f.replies:
			f.take(r)
			f.refill()
		case <-hedge.C:
			f.late = true
			f.hedge()
			hedge.Reset(f.d.pace.hedge())
		case <-deadline.C:
			f.finish(f.giveUp(true))
			return
		case <-f.ctx.Done():
			f.finish(ErrClosed)
			return
		}
	}
}

func (f *flight) loadPin() {
	if pin, ok := f.d.pinOf(f.aor); ok {
		f.pin = &pin
	}
	f.floor = f.d.floorOf(f.aor)
}

// launch asks the next count positions of q, as far as there are any.
func (f *flight) launch(q *queue, count int) {
	for range count {
		replica, ok := q.take()
		if !ok {
			return
		}
		pos := record.Position(f.resource(q.kind), replica, q.size())
		p := probe{kind: q.kind, replica: replica, asked: len(f.evidence.Asked)}
		f.evidence.Asked = append(f.evidence.Asked, Asked{
			Kind: kindName(q.kind), Replica: replica, Position: pos, Outcome: OutcomePending,
		})
		f.d.work.Go(func() { // run is counted too, so Run cannot be past waiting
			stack.Deepen()
			f.ask(p, pos)
		})
	}
}

// refill asks elsewhere at once where answers did not help.
func (f *flight) refill() {
	if _, ok := f.col.Key(); !ok {
		need := max(int(f.charter.K)-f.col.Valid(), 1)
		if f.shares.absent+f.shares.failed >= 2 {
			need = f.shares.size() // more than bad luck: ask them all
		}
		f.launch(f.shares, need-f.shares.open)
	}
	regs, accts := sureRegistrations-f.regs.answered(), sureAccounts-f.accts.answered()
	if f.live() == 0 {
		regs = max(regs, 1)
		if f.regs.absent > 0 {
			regs = f.regs.size()
		}
	}
	if f.cert == nil {
		accts = max(accts, 1)
	}
	if f.unsure() {
		regs, accts = f.regs.size(), f.accts.size()
	}
	f.launch(f.regs, regs-f.regs.open)
	f.launch(f.accts, accts-f.accts.open)
}

// hedge asks one more of what has taken too long.
func (f *flight) hedge() {
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

func (f *flight) resource(k record.Kind) identity.NodeID { return f.resources[k] }

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
