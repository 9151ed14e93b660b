package simnet

import (
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
)

// tendEvery is how often an adapter looks what is due (adapter, keepPublished and
// repairIfDue).
const tendEvery = 10 * time.Second

// The directory's own defaults.
const (
	resolveTime = 3 * time.Second
	listenTime  = 2 * time.Second
	watchShares = 2
)

func (s *shard) setting(n *node) directory.Setting {
	return directory.Setting{
		Trust: s.overlay.trust, Now: func() time.Time { return s.at(s.now) },
		Members: func() int { return n.viewOf().Members() + 1 },
		Self:    n.peer.Owner, Refused: s.stats.refuse, Pace: &n.person.pace, Rand: n.person.rng,
		Timeout: resolveTime, Listen: listenTime, Watch: watchShares,
	}
}

// tend is what a device does for its owner when it has joined, and every ten
// seconds: it publishes and repairs what is due.
func (s *shard) tend(e event) {
	n := s.nodes[e.ref]
	if n.gen != e.gen || !n.member && !n.nat {
		return
	}
	s.after(tendEvery, n, e)
	if !n.serving() {
		return
	}
	if n.nat {
		s.reattach(n)
	}
	p := n.person
	if n.publishDue <= s.now {
		n.publishDue = s.now + int64(resolveTime) // nobody else meanwhile
		rec, err := s.registration(n)
		if err != nil {
			s.stats.refuse("not_signed")
			return
		}
		p.last = &rec
		s.publish(n, rec, func(s *shard, n *node, err error) {
			if p.registered = p.registered || err == nil; err == nil {
				n.publishDue = s.now + int64(s.overlay.trust.Charter().RegistrationRefresh)*int64(time.Second)
			}
		})
	}
	v := n.viewOf()
	members := v.Members() + 1
	if v.Thin {
		members = -1
	}
	if p.repair.Due(s.at(s.now), members) {
		p.repair.Begin(s.at(s.now), members)
		s.repair(n)
	}
}

func (s *shard) publish(n *node, rec record.Record, then func(s *shard, n *node, err error)) {
	pub, err := directory.NewPublishing(s.setting(n), rec)
	if err != nil {
		s.stats.refuse("not_publishable")
		return
	}
	told := false
	s.begin(n, &inDirectory{errand: pub, after: func(s *shard, n *node) {
		if _, done, err := pub.Result(); done && !told {
			told = true
			if err != nil {
				s.stats.unpublished++
			}
			then(s, n, err)
		}
	}})
}

func (s *shard) repair(n *node) {
	records := n.person.records
	if n.person.last != nil {
		records = append(records[:len(records):len(records)], *n.person.last)
	}
	r := directory.NewRepairing(s.setting(n), records)
	s.begin(n, &inDirectory{errand: r, after: func(s *shard, n *node) {
		if !r.Ended() {
			return
		}
		n.person.repair.Done(s.at(s.now), r.Result())
	}})
}

// resolve lets a member resolve the name of another one: any that is a member
// now and whose registration the ring has taken.
func (s *Sim) resolve(n *node) {
	target := n
	for range 256 {
		t := s.nodes[s.live[s.rng.IntN(len(s.live))]]
		if t != n && t.serving() && t.person.registered {
			target = t
			break
		}
	}
	if target == n {
		return
	}
	s.stats.pending++
	began, over := s.now, false
	sh := s.of(n)
	r := directory.NewResolving(sh.setting(n), target.person.aor, directory.Known{NoPin: true})
	sh.begin(n, &inDirectory{
		errand: r,
		after: func(s *shard, _ *node) {
			if res, done, err := r.Result(); done && !over {
				over = true
				s.tell(n, func(s *Sim) { s.judgeName(target, res, err, began) })
			}
		},
		gone: func(s *shard) {
			if !over {
				s.tell(n, abandon)
			}
		},
	})
}

// judgeName holds a resolution against what is so: the key and the device.
func (s *Sim) judgeName(target *node, res *directory.Resolution, err error, began int64) {
	st := &s.stats
	st.pending--
	st.judged++
	st.longest = max(st.longest, s.now-began)
	if err != nil {
		st.refused++
		st.refuse("look-up: " + reason(err))
		return
	}
	st.took = append(st.took, s.now-began)
	right := res.Key == target.person.account.Public() && len(res.Devices) == 1 && res.Devices[0].Node == target.peer.ID && (!target.nat || s.relayed(res.Devices[0].Via))
	if !right {
		st.wrong++
		return
	}
	st.right++
}

// reason names why a look-up was refused.
func reason(err error) string {
	for _, e := range []error{
		directory.ErrNoSuchName, directory.ErrNotRegistered, directory.ErrTimeout, directory.ErrRingDown,
		directory.ErrNotEnoughShares, directory.ErrKeyConflict, directory.ErrKeyChanged,
	} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return "other"
}

// keeping is a node's keeper with its timer.
type keeping struct {
	keeper  *chord.Keeper
	timerAt int64
}

// keep runs a step of a node's keeper.
func (s *shard) keep(n *node, ev chord.Event) {
	k := n.keeping
	if k == nil {
		return
	}
	for _, e := range k.keeper.Step(s.at(s.now), s.vantage(n), ev) {
		if e.Kind == chord.Send {
			s.send(n, e.To, e.Msg, e.Timeout, e.ID, byKeeper)
		}
	}
	if at := k.keeper.Deadline(); !at.IsZero() {
		s.wakeKeeper(n, int64(at.Sub(s.start)))
	}
}

func (s *shard) wakeKeeper(n *node, at int64) {
	k := n.keeping
	at = max(at, s.now)
	if k.timerAt != 0 && k.timerAt <= at {
		return
	}
	k.timerAt = at
	s.push(n, event{at: at, kind: evKeep, ref: n.num, gen: n.gen})
}

func (s *shard) keepTimer(e event) {
	n := s.nodes[e.ref]
	if n.gen != e.gen || n.keeping.timerAt != e.at {
		return
	}
	n.keeping.timerAt = 0
	s.keep(n, chord.Tick{})
}
