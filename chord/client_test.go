package chord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// clientOf starts a node that is attached to some members and no member.
func (w *virtual) clientOf(members ...*vnode) *vnode {
	w.t.Helper()
	c := w.start(w.randomID(), 200, nil)
	var known []wire.Peer
	for _, m := range members {
		known = append(known, m.self)
	}
	if err := c.Attend(w.t.Context(), known); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// listing returns a member that has the node in its list or table.
func listing(nodes []*vnode, id ID) error {
	for _, v := range nodes {
		st := v.Status()
		named := append(append([]wire.Peer{st.Pred}, st.Succ...), v.View().Peers()...)
		if slices.ContainsFunc(named, func(p wire.Peer) bool { return p.ID == id }) {
			return fmt.Errorf("%s lists %s: pred %v, %+v", v.self.ID.Short(), id.Short(), st.Pred.ID == id, v.View().members.find(id))
		}
	}
	return nil
}

// uses looks up, stores and fetches through a client and compares with what all
// members together know.
func (w *virtual) uses(c *vnode, nodes []*vnode, from int) error {
	for i := range 30 {
		r := share(w.t, fmt.Sprintf("user%d", from+i), 1+uint64(i%10), 1)
		want := oracle(nodes, r.pos)
		route, err := c.Lookup(w.t.Context(), r.pos)
		if err != nil || route.Responsible.ID != want {
			return fmt.Errorf("%s: %s, not %s: %w", r.pos.Short(), route.Responsible.ID.Short(), want.Short(), err)
		}
		holders, err := c.Store(w.t.Context(), r.pos, r.rec)
		if err != nil || settled(holders) < min(copies, len(nodes)) {
			return fmt.Errorf("stored at %+v: %w", holders, err)
		}
		a, err := c.Fetch(w.t.Context(), r.pos, r.res, nil)
		if err != nil || len(a.Records) != 1 || a.Holder.ID == c.self.ID {
			return fmt.Errorf("fetched %+v: %w", a, err)
		}
	}
	return nil
}

// A client uses rings of every size as a member does, holds no part of them and
// is in nobody's list.
func TestClient(t *testing.T) {
	for _, n := range []int{1, 2, 3, 9, 40} {
		bubble(t, 300+uint64(n), func(t *testing.T, w *virtual) {
			nodes := w.ring(n)
			w.await(5*time.Second, w.ideal)
			c := w.clientOf(nodes[n/2])
			if err := w.uses(c, nodes, 0); err != nil {
				t.Errorf("%d nodes, just attached: %v", n, err)
			}
			took := w.await(20*time.Second, func() error {
				if k := c.Status().Members; k < min(n, clientKnows) {
					return fmt.Errorf("%d of %d members known", k, n)
				}
				return nil
			})
			t.Logf("%d nodes: %d known after %v", n, c.Status().Members, took)
			if err := w.uses(c, nodes, 100); err != nil {
				t.Errorf("%d nodes: %v", n, err)
			}
			pause(t.Context(), time.Minute)
			if st := c.Status(); st.Phase != PhaseClient || st.Small || st.Whole || len(c.store.All()) > 0 {
				t.Errorf("%d nodes: %+v, %d records", n, st, len(c.store.All()))
			}
			if err := errors.Join(listing(nodes, c.self.ID), idealRing(nodes)); err != nil {
				t.Errorf("%d nodes: %v", n, err)
			}
		})
	}
}

// Whatever it is asked, a client answers that it is no member.
func TestClientAnswersNothing(t *testing.T) {
	bubble(t, 320, func(t *testing.T, w *virtual) {
		nodes := w.ring(3)
		c := w.clientOf(nodes...)
		r := share(t, "alice", 1, 1)
		for _, m := range []wire.Message{
			&wire.GetState{}, &wire.Find{Target: r.pos}, &wire.Join{Self: nodes[0].self}, &wire.Notify{Self: nodes[0].self},
			&wire.Store{Position: r.pos, Record: r.rec}, &wire.StoreMany{Items: []wire.Placed{{Position: r.pos, Record: r.rec}}},
			&wire.Fetch{Position: r.pos, Resource: r.res},
		} {
			e, ok := c.Serve(t.Context(), nodes[0].self, m).(*wire.Error)
			if !ok || e.Code != wire.CodeUnavailable {
				t.Errorf("%s: %+v", m.Type(), e)
			}
		}
		if len(c.store.All()) > 0 {
			t.Error("it has stored something")
		}
	})
}

// A client outlives the members that it was attached to, notices when nobody is
// left, and changes between client and member.
func TestClientAndMember(t *testing.T) {
	bubble(t, 330, func(t *testing.T, w *virtual) {
		nodes := w.ring(12)
		w.await(5*time.Second, w.ideal)
		c := w.clientOf(nodes[0])
		w.await(10*time.Second, func() error {
			if k := c.Status().Members; k < 12 {
				return fmt.Errorf("%d known", k)
			}
			return nil
		})
		w.crash(nodes[0])
		rest := nodes[1:]
		w.await(20*time.Second, func() error { return idealRing(rest) })
		if err := w.uses(c, rest, 0); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := c.Join(ctx, c.Known()); err != nil {
			t.Fatal(err)
		}
		w.await(10*time.Second, w.ideal)
		if err := c.Leave(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.Attend(ctx, rest[0:1:1][0].View().Peers()); err != nil {
			t.Fatal(err)
		}
		w.await(20*time.Second, func() error { return idealRing(rest) })
		if err := w.uses(c, rest, 200); err != nil {
			t.Error(err)
		}
		for _, v := range rest {
			w.crash(v)
		}
		w.await(time.Minute, func() error {
			if c.View().Attending() {
				return fmt.Errorf("%d known", c.Status().Members)
			}
			return nil
		})
		if _, err := c.Lookup(t.Context(), w.randomID()); !errors.Is(err, ErrNotJoined) {
			t.Error(err)
		}
	})
}
