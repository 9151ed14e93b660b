package directory

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/keyshare"
)

// watchAfter is how long a finished resolution waits before it reads share
// positions that it did not need: the call that it was for goes first.
const watchAfter = 100 * time.Millisecond

func claimOf(k keyshare.Key) keyshare.Claim {
	return keyshare.Claim{Version: k.Version, Digest: k.Key.Digest()}
}

// beginListening ends the resolution where nothing is left to be heard.
func (f *Resolving) beginListening(now time.Time) {
	f.end, f.watchAt = now.Add(f.set.Listen), time.Time{}
	if f.set.Watch > 0 {
		f.watchAt = now.Add(watchAfter)
	}
	f.ended = f.look.settled.Load() == nil || f.heardAll()
}

func (f *Resolving) heardAll() bool {
	return f.watchAt.IsZero() && f.shares.open+f.regs.open+f.accts.open == 0
}

// listen is a step after the result: it takes in answers under way, and those
// of a few more share positions. A second key for the name is a conflict; a
// newer registration makes the result outdated.
func (f *Resolving) listen(now time.Time, ev Event) {
	f.outdated = false
	switch ev := ev.(type) {
	case Read:
		f.overhear(ev)
	case GiveUp:
		f.ended = true
	default:
		f.ended = !now.Before(f.end)
		if !f.watchAt.IsZero() && !now.Before(f.watchAt) {
			f.watchAt = time.Time{}
			f.watch()
		}
	}
	f.ended = f.ended || f.heardAll()
}

// watch asks Watch more share positions, or as many as it takes for k people
// to have been heard.
func (f *Resolving) watch() {
	count := f.set.Watch
	if f.set.Hidden {
		count = 0
	}
	f.launch(f.shares, max(count, int(f.charter.K)-f.evidence.DistinctOwners))
}

func (f *Resolving) overhear(r Read) {
	f.take(r)
	if later, ok := f.col.Newer(); ok && f.conflict == nil && f.cert != nil && later.Digest != f.cert.Key.Digest() {
		f.conflict = &keyshare.Conflict{AOR: f.aor, First: keyshare.ClaimOf(f.cert), Second: later}
	}
	f.outdated = r.Err == nil && (f.newer(r.Found.list) || f.res.Account != nil && f.cert != nil && f.cert.Version > f.res.Version)
}

// newer tells whether an answer has a newer word of a device than the
// result.
func (f *Resolving) newer(found []finding) bool {
	for _, x := range found {
		if x.reg == nil || !f.speaks(x.reg) {
			continue
		}
		if i, ok := findPart(f.res.Devices, x.reg.device.Part); !ok && !x.reg.gone || ok && x.reg.device.Seq > f.res.Devices[i].Seq {
			return true
		}
	}
	return false
}

func findPart(devices []Device, part uint64) (int, bool) {
	for i := range devices {
		if devices[i].Part == part {
			return i, true
		}
	}
	return 0, false
}

// slot is one device's registration under one key.
type slot struct {
	part uint64
	key  identity.PublicKey
}

// floor is the highest sequence of each registration that this node has seen,
// until that registration expires: nothing older is believed before then.
type floor map[slot]low

type low struct {
	seq     uint64
	expires time.Time
}

// sequences returns the floor for the next resolution: what this one has seen
// and what earlier ones had, without what has expired.
func (f *Resolving) sequences(now time.Time) floor {
	seen := make(floor, len(f.devices))
	for at, l := range f.known.floor {
		if now.Before(l.expires) {
			seen[at] = l
		}
	}
	for at, reg := range f.devices {
		if now.Before(reg.device.Expires) && reg.device.Seq >= seen[at].seq {
			seen[at] = low{reg.device.Seq, reg.device.Expires}
		}
	}
	return seen
}
