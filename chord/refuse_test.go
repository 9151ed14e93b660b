package chord

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestRefusals: what a stranger may not do has no effect and is counted.
func TestRefusals(t *testing.T) {
	bubble(t, 11, func(t *testing.T, w *virtual) {
		nodes := w.ring(30)
		w.await(5*time.Second, w.ideal)
		pause(t.Context(), 5*time.Second)
		v, other := nodes[3], nodes[20]
		stranger := vpeer(w.randomID(), 200)
		s := share(t, "alice", 1, 1)
		far := w.live()[0]
		for _, n := range w.live() { // somebody half the ring away from the record
			if d := s.pos.Distance(n.self.ID); d[0] >= 0x70 && d[0] < 0x90 {
				far = n
			}
		}
		cases := []struct {
			name   string
			to     *vnode
			from   wire.Peer
			msg    wire.Message
			code   wire.Code
			reason string
		}{
			{"joins for another", v, stranger, &wire.Join{Self: other.self}, wire.CodeForbidden, RefusedWrongSender},
			{"notifies for another", v, stranger, &wire.Notify{Self: other.self}, wire.CodeForbidden, RefusedWrongSender},
			{"says goodbye for another", v, stranger, &wire.Leave{Self: nodes[4].self}, wire.CodeForbidden, RefusedWrongSender},
			{"claims to be the node itself", v, v.self, &wire.GetState{}, wire.CodeForbidden, RefusedWrongSender},
			{"asks what is not the ring's", v, stranger, &wire.GetTime{}, wire.CodeUnsupported, RefusedUnsupported},
			{"stores out of range", far, stranger, &wire.Store{Position: s.pos, Record: s.rec}, wire.CodeForbidden, RefusedNotResponsible},
			{"stores many out of range", far, stranger, &wire.StoreMany{Items: []wire.Placed{{Position: s.pos, Record: s.rec}}}, 0, RefusedNotResponsible},
			{"stores elsewhere than it belongs", v, stranger, &wire.Store{Position: v.self.ID, Record: s.rec}, 0, RefusedBadPosition},
			{"stores no record", v, stranger, &wire.Store{Position: v.self.ID, Record: record.Record{Signed: []byte{1}}}, 0, RefusedBadRecord},
		}
		for _, c := range cases {
			before := w.count(c.reason)
			answer := c.to.Serve(t.Context(), c.from, c.msg)
			e, _ := answer.(*wire.Error)
			if c.code != 0 && (e == nil || e.Code != c.code) {
				t.Errorf("%s: answer %+v, want code %d", c.name, answer, c.code)
			}
			if w.count(c.reason) != before+1 {
				t.Errorf("%s: not counted as %s", c.name, c.reason)
			}
		}
		for _, n := range w.live() {
			if len(n.store.All()) > 0 {
				t.Errorf("%s stores something", n.self.ID.Short())
			}
		}
		pause(t.Context(), 5*time.Second)
		if err := w.ideal(); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func (w *virtual) count(reason string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused[reason]
}

// TestNotAMember: a node outside the ring answers nothing that others could
// take for the ring's word.
func TestNotAMember(t *testing.T) {
	bubble(t, 12, func(t *testing.T, w *virtual) {
		v := w.start(w.randomID(), 1, nil)
		from := vpeer(w.randomID(), 2)
		s := share(t, "alice", 1, 1)
		for _, msg := range []wire.Message{
			&wire.GetState{}, &wire.Find{}, &wire.Join{Self: from}, &wire.Notify{Self: from}, &wire.Leave{Self: from},
			&wire.Store{Position: s.pos, Record: s.rec}, &wire.StoreMany{},
		} {
			answer, ok := v.Serve(t.Context(), from, msg).(*wire.Error)
			if !ok || answer.Code != wire.CodeUnavailable || answer.Retry != 0 {
				t.Errorf("%s: answer %+v", msg.Type(), answer)
			}
		}
		if _, ok := v.Serve(t.Context(), from, &wire.Ping{}).(*wire.Pong); !ok {
			t.Error("no pong")
		}
		if _, err := v.Store(t.Context(), s.pos, s.rec); !errors.Is(err, ErrNotJoined) {
			t.Errorf("Store: %v", err)
		}
		if _, err := v.Fetch(t.Context(), s.pos, s.res, nil); !errors.Is(err, ErrNotJoined) {
			t.Errorf("Fetch: %v", err)
		}
	})
}

// liar answers every ring message so as to lead the asker astray. Its counters
// show that it did.
type liar struct {
	w    *virtual
	self wire.Peer
	lies int
}

// answer names nodes that do not exist: neighbours that make the asker's list
// wrong, and next hops that are ever closer and lead nowhere.
func (l *liar) answer(req wire.Message) wire.Message {
	l.lies++
	ghosts := make([]wire.Peer, 8)
	for i := range ghosts { // as many as a list has, in order, just behind itself
		id := l.self.ID
		id[1] += byte(l.lies)
		id[2] += byte(20 * (i + 1))
		ghosts[i] = vpeer(id, 250)
	}
	slices.SortFunc(ghosts, func(a, b wire.Peer) int {
		return l.self.ID.Distance(a.ID).Compare(l.self.ID.Distance(b.ID))
	})
	switch req := req.(type) {
	case *wire.GetState:
		return &wire.State{Self: l.self, Pred: &ghosts[0], Succ: ghosts}
	case *wire.Find:
		for i := range ghosts { // ever closer
			ghosts[i].ID = req.Target
			ghosts[i].ID[8+i%8]--
		}
		return &wire.Found{Peers: ghosts}
	case *wire.Notify, *wire.Leave:
		return &wire.Ack{}
	case *wire.Fetch:
		return &wire.Fetched{Pred: &l.self, Succ0: &l.self}
	}
	return wire.Errorf(wire.CodeInternal, "no")
}

// TestLiarsInTheRing: a tenth of the members lie about everything they are
// asked. The honest ones form a ring that never lists a ghost for long, their
// tables do not fill up with ghosts, and look-ups end in time.
func TestLiarsInTheRing(t *testing.T) {
	bubble(t, 13, func(t *testing.T, w *virtual) {
		nodes := w.ring(30)
		w.await(5*time.Second, w.ideal)
		pause(t.Context(), 10*time.Second)
		lies := map[ID]*liar{}
		for _, i := range []int{4, 14, 24} {
			l := &liar{w: w, self: nodes[i].self}
			lies[l.self.ID] = l
			w.turn(nodes[i], l)
		}
		pause(t.Context(), 30*time.Second)
		right, all := 0, 0
		for i := range 60 {
			target := w.randomID()
			from := nodes[(7*i)%30]
			if lies[from.self.ID] != nil || lies[oracle(nodes, target)] != nil {
				continue
			}
			start := time.Now()
			r, err := from.Lookup(t.Context(), target)
			if took := time.Since(start); took > lookupTime+10*time.Millisecond {
				t.Errorf("a look-up took %v", took)
			}
			if all++; err == nil && r.Responsible.ID == oracle(nodes, target) {
				right++
			}
		}
		for id, l := range lies {
			if l.lies == 0 {
				t.Errorf("%s had nobody to lie to", id.Short())
			}
		}
		for _, v := range nodes {
			if lies[v.self.ID] != nil {
				continue
			}
			if st := v.Status(); st.Members > 4*8+5*len(nodes)+9 || st.Phase != PhaseJoined {
				t.Errorf("%s knows %d members", st.Self.ID.Short(), st.Members)
			}
		}
		t.Logf("3 of 30 lie: %d of %d look-ups right", right, all)
		if right*100 < all*70 {
			t.Errorf("only %d of %d look-ups right", right, all)
		}
	})
}

// turn makes a node answer as the liar says, and do nothing else.
func (w *virtual) turn(v *vnode, l *liar) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v.lie = l
}

// TestAddressesAreTheirOwners: what others say about a member's addresses does
// not displace what it has said itself.
func TestAddressesAreTheirOwners(t *testing.T) {
	tab := newTable(64, nil, func(ID) bool { return false })
	now := time.Unix(1, 0)
	p := vpeer(ID{1}, 1)
	tab.firsthand(p, now)
	wrong := p
	for i := range 20 {
		wrong.Addrs = append(wrong.Addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1))
	}
	tab.hearsay(wrong, ID{9})
	if a := tab.get(p.ID).who.Addrs; a[0] != p.Addrs[0] || len(a) > wire.MaxAddrs {
		t.Errorf("addresses %v", a)
	}
	tab.firsthand(p, now)
	if a := tab.get(p.ID).who.Addrs; len(a) != 1 {
		t.Errorf("addresses %v after the member spoke", a)
	}
}
