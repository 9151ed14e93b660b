package node_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestBadRecords: what an enrolled stranger sends to a real node over a real
// link, forged, stale, too large, out of range or from another overlay, changes
// nothing there, is answered as the protocol says, and is counted.
func TestBadRecords(t *testing.T) {
	o := newOverlay(t)
	var peers []*peer
	var nodes []*node.Node
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"} {
		peers = append(peers, o.start(name, nil, peers[:min(len(peers), 1)]...))
		nodes = append(nodes, peers[len(peers)-1].Node)
	}
	eventually(t, "one ideal ring", func() bool { return ideal(nodes) == nil })
	slices.SortFunc(peers, func(a, b *peer) int { return a.ID().Compare(b.ID()) })
	alice := o.enrol("alice", peers[0].Self())
	alice.records[len(alice.records)-1] = alice.registration(5)
	publishAll(t, []*person{alice}, func(*person) *node.Node { return peers[3].Node })

	charter := o.trust.Charter()
	place := func(r record.Record) identity.NodeID {
		return record.PositionsOf(must(r.Body())(t), charter)[0]
	}
	keeper := func(pos identity.NodeID, away int) *peer { // the responsible node, or one that many after it
		i, _ := slices.BinarySearchFunc(peers, pos, func(p *peer, pos identity.NodeID) int { return p.ID().Compare(pos) })
		return peers[(i+away)%len(peers)]
	}
	share, registration := alice.records[0], alice.records[len(alice.records)-1]
	forged := record.Record{Signed: bytes.Clone(share.Signed), Chain: share.Chain}
	forged.Signed[len(forged.Signed)-1] ^= 1
	altered := record.Record{Signed: bytes.Clone(registration.Signed), Chain: registration.Chain}
	altered.Signed[bytes.Index(altered.Signed, []byte("alice"))] ^= 1
	unchained := record.Record{Signed: registration.Signed, Chain: record.Chain{Certificates: registration.Chain.Certificates[:1]}}
	large := record.Record{Signed: share.Signed, Chain: record.Chain{Certificates: [][]byte{make([]byte, record.MaxRecord)}}}
	other := newOverlay(t).enrol("alice", peers[0].Self())
	oldBody := must(registration.Body())(t)
	oldBody.Time, oldBody.Expires = time.Now().Add(-time.Hour).UnixMilli(), time.Now().Add(-50*time.Minute).UnixMilli()
	oldBody.Seq = 9
	expired := must(record.Sign(oldBody, alice.device, registration.Chain))(t)
	oldBody.Time, oldBody.Expires = time.Now().Add(time.Hour).UnixMilli(), time.Now().Add(70*time.Minute).UnixMilli()
	future := must(record.Sign(oldBody, alice.device, registration.Chain))(t)
	at := place(share)
	where := place(registration)

	mallory := o.liar("mallory")
	attacks := 0
	for _, c := range []struct {
		name    string
		to      *peer
		pos     identity.NodeID
		rec     record.Record
		outcome record.Outcome // of the answer, where there is one
		code    wire.Code      // else
		reason  string
	}{
		{"a forged signature", keeper(at, 0), at, forged, record.OutcomeInvalid, 0, "record/untrusted"},
		{"altered bytes", keeper(where, 0), where, altered, record.OutcomeInvalid, 0, "chord/bad_position"},
		{"half a chain", keeper(where, 0), where, unchained, record.OutcomeInvalid, 0, "record/malformed"},
		{"a record by nobody", keeper(at, 0), at, record.Record{Signed: []byte{1}}, record.OutcomeInvalid, 0, "chord/bad_record"},
		{"another overlay's share", keeper(at, 0), at, other.records[0], record.OutcomeInvalid, 0, "record/untrusted"},
		{"another overlay's registration", keeper(where, 0), where, other.registration(99), record.OutcomeInvalid, 0, "record/untrusted"},
		{"an older one", keeper(where, 0), where, alice.registration(4), record.OutcomeStale, 0, "record/stale"},
		{"another with its number", keeper(where, 0), where, alice.registrationOf(5, wire.Peer{ID: alice.at.ID, Addrs: peers[1].Self().Addrs}), record.OutcomeConflict, 0, "record/conflict"},
		{"an expired one", keeper(where, 0), where, expired, record.OutcomeInvalid, 0, "record/expired"},
		{"one from the future", keeper(where, 0), where, future, record.OutcomeInvalid, 0, "record/future"},
		{"a position out of range", keeper(at, 9), at, share, 0, wire.CodeForbidden, "chord/not_responsible"},
		{"a position of its own choice", keeper(at, 0), keeper(at, 0).ID(), share, record.OutcomeInvalid, 0, "chord/bad_position"},
		{"too large a record", keeper(at, 0), at, large, 0, wire.CodeMalformed, ""},
	} {
		before, holds := c.to.refused.all(), held(c.to)
		answer, err := mallory.Call(limited(t), c.to.Self(), &wire.Store{Position: c.pos, Record: c.rec})
		attacks++
		stored, ok := answer.(*wire.Stored)
		switch {
		case c.code != 0:
			if code := codeOf(err); code != c.code && c.reason != "" {
				t.Errorf("%s: answer %+v, %v; want code %d", c.name, answer, err, c.code)
			} else if err == nil {
				t.Errorf("%s: answer %+v", c.name, answer)
			}
		case err != nil || !ok || record.Outcome(stored.Outcome) != c.outcome:
			t.Errorf("%s: answer %+v, %v; want %s", c.name, answer, err, c.outcome)
		}
		after := c.to.refused.all()
		if c.reason != "" && after[c.reason] != before[c.reason]+1 {
			t.Errorf("%s: not counted as %s: %v, before %v", c.name, c.reason, after, before)
		}
		if got := held(c.to); !slices.EqualFunc(got, holds, bytes.Equal) {
			t.Errorf("%s: the store has changed", c.name)
		}
	}
	if err := alice.resolves(limited(t), peers[7].Node); err != nil {
		t.Errorf("alice is not found as before: %v", err)
	}
	t.Logf("%d attacks", attacks)
}

// held returns what a node holds, in an order.
func held(p *peer) (signed [][]byte) {
	for _, r := range p.Store().All() {
		signed = append(signed, r.Signed)
	}
	slices.SortFunc(signed, bytes.Compare)
	return signed
}

// codeOf is the code with which the other side refused; 0 when it did not.
func codeOf(err error) wire.Code {
	if remote, ok := errors.AsType[*link.RemoteError](err); ok {
		return remote.Code
	}
	return 0
}
