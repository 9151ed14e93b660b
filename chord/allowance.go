package chord

import (
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// StoreLimits bounds how many records that a holder lacks one person's nodes may
// bring to it. What it holds already counts nothing, so owners and holders may
// look after their records as often as they like. A zero field takes the default
// in brackets.
type StoreLimits struct {
	Rate     int // of one name, a second [2]
	Burst    int // of one name, at once; at least what a name has under the charter [20]
	AllRate  int // of all names, a second: handover, repair, and what an issuer deals [200]
	AllBurst int // of all names, at once [4,096]
}

// maxAllowances bounds the pairs of senders and names that are counted. One that
// brings a record now and then is forgotten half a second later.
const maxAllowances = 16384

// allowances remembers how much each person has stored of each name. The name is
// what decides: who holds one identity has valid records of one name to bring,
// while a holder that hands over, and a bootstrap server that deals, bring those
// of many. It may be used from many goroutines.
type allowances struct {
	one, all pace

	mu    sync.Mutex
	until map[allowanceKey]time.Time // when the whole burst is there again
	swept time.Time
}

// pace is a token bucket kept as one time (GCRA, ITU-T I.371 Annex A).
type pace struct {
	every time.Duration // for one more
	ahead time.Duration // that the bucket may be behind
}

// allowanceKey is whom a bucket is of: one person, and one name or all.
type allowanceKey struct {
	from ID     // the person's tag, or the node where it has none
	name string // "" = all of them
}

func newAllowances(l StoreLimits, least int) *allowances {
	or := func(n, def int) int {
		if n <= 0 {
			return def
		}
		return n
	}
	bucket := func(rate, burst int) pace {
		every := time.Second / time.Duration(rate)
		return pace{every, every * time.Duration(burst-1)}
	}
	return &allowances{
		one:   bucket(or(l.Rate, limits.StoreRate), max(or(l.Burst, limits.StoreBurst), least)),
		all:   bucket(or(l.AllRate, limits.HandoverRate), or(l.AllBurst, limits.HandoverBurst)),
		until: make(map[allowanceKey]time.Time),
	}
}

// of names the buckets of a sender.
func (a *allowances) of(from wire.Peer) (key ID) {
	if from.Owner == (wire.Peer{}).Owner {
		return from.ID
	}
	copy(key[:], from.Owner[:])
	return key
}

// take counts a record that a sender brings, and returns 0, or how long it has to
// wait with it.
func (a *allowances) take(now time.Time, from ID, name string) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, all := allowanceKey{from, name}, allowanceKey{from: from}
	if wait = max(a.one.wait(now, a.until[one]), a.all.wait(now, a.until[all])); wait > 0 {
		return wait
	}
	if len(a.until)+2 > maxAllowances && !a.sweep(now) {
		return a.one.every
	}
	a.until[one], a.until[all] = a.one.add(now, a.until[one]), a.all.add(now, a.until[all])
	return 0
}

// giveBack undoes a take: the record was there.
func (a *allowances) giveBack(from ID, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, every := range map[allowanceKey]time.Duration{{from, name}: a.one.every, {from: from}: a.all.every} {
		if at, ok := a.until[key]; ok {
			a.until[key] = at.Add(-every)
		}
	}
}

// sweep forgets the buckets that are full, and reports whether there is room. It
// looks at most once in the time that one record takes to count no more.
func (a *allowances) sweep(now time.Time) bool {
	if now.Sub(a.swept) < a.one.every {
		return false
	}
	a.swept = now
	for key, at := range a.until {
		if !at.After(now) {
			delete(a.until, key)
		}
	}
	return len(a.until)+2 <= maxAllowances
}

func (p pace) wait(now, until time.Time) time.Duration {
	if !until.After(now) {
		return 0
	}
	return max(0, until.Sub(now)-p.ahead)
}

func (p pace) add(now, until time.Time) time.Time { return later(now, until).Add(p.every) }
