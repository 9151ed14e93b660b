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

// listen takes in what still comes after the result: answers under way, and
// those of a few more share positions. A second key for the name is an alarm
// and closes the name; a newer registration ends the use of the cached one.
func (f *flight) listen() {
	if f.settled.Load() == nil || f.d.overfull() {
		return
	}
	end := time.NewTimer(f.d.cfg.Listen)
	defer end.Stop()
	watch := time.NewTimer(watchAfter)
	defer watch.Stop()
	watching := f.d.cfg.Watch > 0
	for watching || f.shares.open+f.regs.open+f.accts.open > 0 {
		select {
		case r := <-f.replies:
			f.overhear(r)
		case <-watch.C:
			f.watch()
			watching = false
		case <-end.C:
			return
		case <-f.ctx.Done():
			return
		}
	}
}

// watch asks Watch more share positions, or as many as it takes for k people
// to have been heard.
func (f *flight) watch() {
	f.launch(f.shares, max(f.d.cfg.Watch, int(f.charter.K)-f.evidence.DistinctOwners))
}

func (f *flight) overhear(r reply) {
	known := f.conflict
	f.take(r)
	if later, ok := f.col.Newer(); ok && f.conflict == nil && f.cert != nil && later.Digest != f.cert.Key.Digest() {
		f.conflict = &keyshare.Conflict{AOR: f.aor, First: keyshare.ClaimOf(f.cert), Second: later}
	}
	if f.conflict != nil && known == nil {
		f.d.alarm(f)
	}
	if r.err == nil && f.outdated(r.findings) {
		f.d.Invalidate(f.aor)
	}
}

// outdated tells whether an answer has a newer word of a device than the
// result.
func (f *flight) outdated(found []finding) bool {
	for _, x := range found {
		if x.reg == nil || x.reg.account.Key != f.res.Key {
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
func (f *flight) sequences(now time.Time) floor {
	seen := make(floor, len(f.devices))
	for at, l := range f.floor {
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
