package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// Bulletins are what this node knows to be revoked or recovered. nameOf says
// whose a name tag is, "" if that is not known; nil knows nobody.
func (n *Node) Bulletins(nameOf func(identity.NodeID) string) *admin.Bulletins {
	if nameOf == nil {
		nameOf = func(identity.NodeID) string { return "" }
	}
	out := &admin.Bulletins{Bulletins: []admin.Bulletin{}}
	for _, p := range n.Board().All() {
		b := admin.Bulletin{
			ID: fmt.Sprintf("%x", p.ID[:6]), Kind: p.Kind.String(), Subject: p.Subject.String(), Name: nameOf(p.Name),
			Issued: time.UnixMilli(p.Issued), Until: time.UnixMilli(p.Until), Seen: p.Seen, Note: p.Note,
		}
		if p.Kind == identity.Recovery {
			b.State, b.From = n.recoveryState(p)
		}
		out.Bulletins = append(out.Bulletins, b)
	}
	slices.SortFunc(out.Bulletins, func(a, b admin.Bulletin) int { return a.Issued.Compare(b.Issued) })
	return out
}

func (n *Node) recoveryState(p *identity.Posted) (state string, from time.Time) {
	objected, from := n.Board().Standing(p)
	switch {
	case objected:
		return admin.RecoveryObjected, from
	case n.time.Now().Before(from):
		return admin.RecoveryWaiting, from
	}
	return admin.RecoveryInForce, from
}

// recoveries tells in a sentence each of people whose key is pinned here and is
// to be replaced or has been revoked. The pins stay as they are.
func (n *Node) recoveries() (out []string) {
	board := n.Board()
	if board.Len() == 0 || n.cfg.Pins == nil {
		return nil
	}
	now := n.time.Now()
	for aor, pin := range n.cfg.Pins.All() {
		if text := recoveryAlarm(board, aor, pin, now); text != "" {
			out = append(out, text)
		}
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

func recoveryAlarm(board *identity.Board, aor identity.AOR, pin identity.Pin, now time.Time) string {
	old := identity.KeyDigest(pin.Key.Digest())
	r, objected, from := board.RecoveryOf(aor)
	switch {
	case r == nil || r.Account != old:
		if board.AccountRevoked(old) {
			return fmt.Sprintf("the operator has revoked %s, whom you have called: calls with this name are refused", aor)
		}
		return ""
	case objected:
		return fmt.Sprintf("the operator has announced another key for %s, and somebody with the old key objects: nothing changes; ask its owner in person", aor)
	case now.Before(from):
		return fmt.Sprintf("the operator has announced another key (%s) for %s, to count from %s: ask its owner in person whether that is right; who has the old key can object until then",
			r.Note, aor, from.Local().Format(time.DateTime))
	}
	return fmt.Sprintf("the operator has given %s another key (%s): its calls are refused here until you accept it, after checking with its owner", aor, r.Note)
}
