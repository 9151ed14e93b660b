package sipbridge

import (
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// owners knows which user of this host a name belongs to: the one whose
// socket registered it first, for as long as the front runs. Other users of
// the host can neither register nor call nor write in that name, unless they
// know its password; root and the adapter's own user can read its keys anyway.
//
// A name that nobody has registered yet belongs to nobody: then the first one
// gets it.
type owners struct {
	userOf func(carry.Flow) (uint32, error) // nil where the system does not tell
	self   uint32

	mu sync.Mutex
	of map[identity.AOR]uint32
}

func newOwners() *owners {
	return &owners{self: uint32(os.Geteuid()), of: make(map[identity.AOR]uint32)}
}

// bound learns how to find out, from one of our own sockets.
func (o *owners) bound(udp []*udpSocket) {
	for _, s := range udp {
		if s.local.Addr().IsLoopback() {
			o.userOf = socketUsers(carry.Flow{Transport: "udp", Remote: s.local, Local: s.local})
			return
		}
	}
	o.userOf = socketUsers(carry.Flow{})
}

// may tells whether what comes from a flow on this host may use a name.
func (o *owners) may(aor identity.AOR, f carry.Flow) bool {
	o.mu.Lock()
	owner, owned := o.of[aor]
	o.mu.Unlock()
	if !owned || o.userOf == nil {
		return true
	}
	uid, err := o.userOf(f)
	return err == nil && o.mayBe(uid, owner)
}

func (o *owners) mayBe(uid, owner uint32) bool { return uid == owner || uid == 0 || uid == o.self }

// claim is what one REGISTER says of a name's owner. The zero claim says
// nothing.
type claim struct {
	aor      identity.AOR
	uid, old uint32
	made     bool // it changed the owner
	owned    bool // there was one before
}

// claim makes the user behind a flow on this host the owner of a name that has
// none, or, with its password, in place of the old one.
func (o *owners) claim(aor identity.AOR, f carry.Flow, proved bool) (c claim, r *Refusal) {
	if o.userOf == nil {
		return c, nil
	}
	uid, err := o.userOf(f)
	if err != nil {
		return c, otherUser()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c = claim{aor: aor, uid: uid}
	c.old, c.owned = o.of[aor]
	switch {
	case c.owned && !proved:
		if !o.mayBe(uid, c.old) {
			return c, otherUser()
		}
		return c, nil
	case len(o.of) >= MaxAccounts && !c.owned:
		return c, Overloaded("too many accounts have a phone here", time.Minute)
	}
	o.of[aor] = uid
	c.made = true
	return c, nil
}

// settle is told how many phones the name has after its REGISTER. One that
// registered nothing gives nobody a name; one that did owns it even if the
// failure of another took that back meanwhile.
func (o *owners) settle(c claim, phones int) {
	if c.aor.IsZero() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, owned := o.of[c.aor]
	switch {
	case phones > 0 && !owned:
		o.of[c.aor] = c.uid
	case phones == 0 && c.made && c.owned:
		o.of[c.aor] = c.old
	case phones == 0 && c.made:
		delete(o.of, c.aor)
	}
}

// name returns an account's owner as it is kept with its bindings, "" if it has
// none.
func (o *owners) name(aor identity.AOR) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if uid, owned := o.of[aor]; owned {
		return strconv.FormatUint(uint64(uid), 10)
	}
	return ""
}

// restore takes the owner from bindings of before a restart.
func (o *owners) restore(aor identity.AOR, list []Binding) {
	for _, b := range list {
		uid, err := strconv.ParseUint(b.Owner, 10, 32)
		if err != nil {
			continue
		}
		o.mu.Lock()
		if _, owned := o.of[aor]; !owned && len(o.of) < MaxAccounts {
			o.of[aor] = uint32(uid)
		}
		o.mu.Unlock()
	}
}

// otherUser refuses a name that belongs to somebody else on this host.
func otherUser() *Refusal {
	return Forbidden("this name belongs to another user of this computer; use its password")
}
