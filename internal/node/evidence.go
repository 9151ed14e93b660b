package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/keyshare"
)

// newGuard makes what watches over this node's records and the members it
// meets.
func (n *Node) newGuard() (*evidence.Guard, error) {
	return evidence.New(evidence.Config{
		Self: n.id, Owner: n.owner, Key: n.cfg.Key, Chain: func() [][]byte { return *n.chain.Load() }, Trust: n.cfg.Trust, Now: n.time.Now,
		Ring: n.guardedRing, Store: n.store, Notary: n.notary, Transport: transport{n.link}, DB: n.cfg.DB, Every: n.cfg.LookEvery,
		Evicted: n.evict, Log: room(n.cfg.Log, "evidence"), Refused: n.count("evidence"),
	})
}

// Guard keeps the evidence against members that contradict themselves.
func (n *Node) Guard() *evidence.Guard { return n.guard }

// Own says which records the owners at this node look after.
func (n *Node) Own(records func() []record.Record) { n.guard.Own(records) }

func (n *Node) guardedRing() evidence.Ring {
	if ring := n.Ring(); ring != nil {
		return watched{ring}
	}
	return nil
}

// watched is the ring in a Guard's words.
type watched struct{ ring *chord.Node }

// Holders implements evidence.Ring.
func (w watched) Holders(pos identity.NodeID) []wire.Peer { return w.ring.View().Holders(pos) }

// Peers implements evidence.Ring.
func (w watched) Peers() []wire.Peer { return w.ring.View().Peers() }

// evict lets the ring find out that a member is not called any more.
func (n *Node) evict(id identity.NodeID) {
	if ring := n.Ring(); ring != nil {
		ring.Suspect(id)
	}
}

// guarded is a transport that calls no evicted member, which so counts as dead
// in ring, look-ups and placement alike.
type guarded struct {
	evidence.Transport
	guard *evidence.Guard
}

// Call implements chord.Transport.
func (t guarded) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	if t.guard.Evicted(to.ID) {
		return nil, evidence.ErrEvicted
	}
	return t.Transport.Call(ctx, to, req)
}

// shun refuses what an evicted member asks of the ring; nil lets it pass.
func (n *Node) shun(from identity.NodeID) wire.Message {
	if !n.guard.Evicted(from) {
		return nil
	}
	n.cfg.Refused("evidence", evidence.ReasonEvicted)
	return wire.Errorf(wire.CodeForbidden, "evicted: this member was caught contradicting itself")
}

// keyConflict keeps an issuer's two signatures as evidence.
func (n *Node) keyConflict(c *keyshare.Conflict) {
	if c.First.Version == c.Second.Version {
		n.guard.Issuer(claimOf(c.First), claimOf(c.Second))
	}
}

func claimOf(c keyshare.Claim) evidence.Claim {
	if c.Record != nil {
		return evidence.Claim{Record: c.Record}
	}
	return evidence.Claim{Certificate: c.Certificate}
}

// misbehaviour says in a sentence each what the evidence is.
func (n *Node) misbehaviour() (out []string) {
	for _, it := range n.guard.Items() {
		switch f := &it.Finding; {
		case f.Node == n.id:
			out = append(out, fmt.Sprintf("others can prove that this node contradicts itself (evidence %s): stop the other program that runs with a copy of this state folder", it.ID))
		case f.Node != (identity.NodeID{}) && n.time.Now().Before(it.Until):
			out = append(out, fmt.Sprintf("the node %s is not called any more until %s: %s (evidence %s; tell the operator of the bootstrap server)",
				f.Node.Short(), it.Until.Format("2006-01-02"), f.Detail, it.ID))
		}
	}
	return out
}

// Evidence answers for the evidence that this node keeps.
func (n *Node) Evidence(_ context.Context, req admin.EvidenceRequest) (*admin.EvidenceResult, error) {
	out := &admin.EvidenceResult{Items: []admin.EvidenceItem{}}
	if len(req.Check) > 0 {
		f, err := n.guard.Check(req.Check)
		if err != nil {
			return nil, admin.Errorf(admin.CodeBadRequest, "%v", err)
		}
		out.Items = append(out.Items, evidenceItem(evidence.Item{ID: f.Key(), Finding: *f}))
		return out, nil
	}
	if req.Forgive {
		if err := n.guard.Forgive(req.ID); err != nil {
			return nil, admin.Errorf(admin.CodeNotFound, "%v", err)
		}
	}
	for _, it := range n.guard.Items() {
		if req.ID != "" && it.ID.String() != req.ID {
			continue
		}
		item := evidenceItem(it)
		if req.ID != "" {
			item.Proof = it.Proof
		}
		out.Items = append(out.Items, item)
	}
	if req.ID != "" && len(out.Items) == 0 {
		return nil, admin.Errorf(admin.CodeNotFound, "%v: %s", evidence.ErrUnknown, req.ID).WithHint("secp2psip evidence lists what there is")
	}
	for id, times := range n.guard.Withheld() {
		out.Withheld = append(out.Withheld, admin.Withheld{Node: id, Times: times})
	}
	slices.SortFunc(out.Withheld, func(a, b admin.Withheld) int { return cmp.Or(b.Times-a.Times, a.Node.Compare(b.Node)) })
	return out, nil
}

// Convicted returns the node that a proof kept here convicts, checked once more;
// zero for one against an issuer. Errors are evidence's and identity's.
func (n *Node) Convicted(id string) (identity.NodeID, error) {
	for _, it := range n.guard.Items() {
		if it.ID.String() == id {
			f, err := n.guard.Check(it.Proof)
			if err != nil {
				return identity.NodeID{}, err
			}
			return f.Node, nil
		}
	}
	return identity.NodeID{}, fmt.Errorf("%w: %s", evidence.ErrUnknown, id)
}

func evidenceItem(it evidence.Item) admin.EvidenceItem {
	f := &it.Finding
	out := admin.EvidenceItem{
		ID: it.ID.String(), Kind: f.Kind.String(), Node: f.Node, Name: f.AOR, Detail: f.Detail,
		When: f.When, Received: it.Received, Own: it.Own, Until: it.Until,
	}
	if f.Owner != (identity.OwnerTag{}) {
		out.Owner = f.Owner.String()
	}
	return out
}
