package directory

import (
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/keyshare"
)

// verdict tells whether the resolution can end, and how. Once an answer has
// taken longer than answers do, what was only being waited for to be surer is
// not waited for any more.
func (f *Resolving) verdict() (done bool, err error) {
	if f.conflict != nil && !f.locked {
		return true, f.conflict
	}
	if _, ok := f.col.Key(); ok && f.cert != nil && !f.unsure() && !f.behind() {
		if f.live() > 0 && (f.late || f.sure()) {
			return true, nil
		}
		if f.live() == 0 && f.unregistered() {
			return true, ErrNotRegistered
		}
	}
	if f.absent() {
		return true, ErrNoSuchName
	}
	if f.shares.open+f.regs.open+f.accts.open == 0 { // and refill had nothing to add
		if f.behind() && f.anew() {
			return false, nil
		}
		return true, f.giveUp(false)
	}
	return false, nil
}

// maxAnew is how often all positions are asked once more.
const maxAnew = 3

// anew has shares and account records asked for again, with the next tick: while a
// new key spreads, few holders have it, and where these are busy, those beside them
// answer, and all that is seen is the old key, of which the pinned one may well be
// the successor.
func (f *Resolving) anew() bool {
	waiting := len(f.shares.again)+len(f.accts.again) > 0
	if waiting || f.set.Hidden || f.rounds >= maxAnew {
		return waiting
	}
	f.rounds++
	f.shares.restart()
	f.accts.restart()
	return true
}

// How many answers make a resolution sure: of registrations, and of account
// records, where what the registrations show is enough when nobody is to be asked
// without need.
func (f *Resolving) sureRegistrations() int {
	if f.set.Hidden {
		return 1
	}
	return 2
}

func (f *Resolving) sureAccounts() int {
	if f.set.Hidden {
		return 0
	}
	return 1
}

// sure tells whether enough has been heard that one holder which answers first
// with an old record does not decide.
func (f *Resolving) sure() bool {
	return (f.regs.answered() >= f.sureRegistrations() || f.regs.spent()) && (f.accts.answered() >= f.sureAccounts() || f.accts.spent())
}

// unregistered: by the word of as many replicas as absence needs.
func (f *Resolving) unregistered() bool {
	return f.regs.absent+f.regs.gone >= enough(f.regs.size())
}

// absent tells whether it is proved that the name does not exist: at three of
// four registration (or account) replicas and at more than n−k share
// positions, by at least three nodes where the ring has them; or at every
// position there is.
func (f *Resolving) absent() bool {
	if f.existing {
		return false
	}
	low := max(f.regs.absent, f.accts.absent) >= enough(f.regs.size())
	if !low || f.shares.absent <= f.shares.size()-int(f.charter.K) {
		return false
	}
	if f.witnesses() >= min(3, f.set.Members()) {
		return true
	}
	return f.shares.absent == f.shares.size() && f.regs.absent == f.regs.size() && f.accts.absent == f.accts.size()
}

// witnesses counts the nodes that said "none".
func (f *Resolving) witnesses() int {
	nodes := make(map[identity.NodeID]bool)
	for _, q := range []*queue{f.shares, f.regs, f.accts} {
		for node := range q.none {
			nodes[node] = true
		}
	}
	return len(nodes)
}

// giveUp names the error when nothing more can be asked, or waited for.
func (f *Resolving) giveUp(timeout bool) error {
	_, haveKey := f.col.Key()
	if err := f.notDialled(); err != nil {
		return err
	}
	switch {
	case f.conflict != nil && !f.locked:
		return f.conflict
	case haveKey && f.cert != nil && f.live() > 0 && !f.unsure():
		return nil // only surer was being waited for
	case f.conflict != nil:
		return f.conflict // the pin decides, but its key is not to be had
	case f.noWay:
		return ErrHidden
	case f.answered() == 0 && (!timeout || f.set.Members() == 0):
		return ErrRingDown
	case f.unsure() && !timeout:
		return f.laterKey()
	case f.known.Pin != nil && f.cert != nil && !f.cert.Follows(f.known.Pin.Key) && !timeout:
		return f.changed(f.cert.Key, f.cert.Version) // if not all shares follow
	case haveKey && f.regs.spent() && f.unregistered():
		return ErrNotRegistered
	case !haveKey && f.existing && f.shares.spent():
		return fmt.Errorf("%w: %d of %d", ErrNotEnoughShares, f.col.Valid(), f.charter.K)
	}
	return fmt.Errorf("%w: %d of %d positions asked answered", ErrTimeout, f.answered(), len(f.evidence.Asked))
}

// laterKey is the conflict of a certificate with shares of a later key for
// which nobody has a certificate: a change of key that was never announced.
func (f *Resolving) laterKey() error {
	later, _ := f.col.Newer()
	c := &keyshare.Conflict{AOR: f.aor, First: keyshare.ClaimOf(f.cert), Second: later}
	if c.First.Digest == c.Second.Digest {
		return fmt.Errorf("%w: the certificate is of an earlier version than the shares", ErrNotEnoughShares)
	}
	f.conflict = c
	return c
}

func (f *Resolving) answered() int {
	return f.shares.answered() + f.regs.answered() + f.accts.answered()
}
