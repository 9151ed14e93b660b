package node

import (
	"context"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// IssuerState is what the root key has said of the issuing key that certified
// this node.
type IssuerState struct {
	Revoked   bool      // nobody accepts its certificates any more
	Announced time.Time // when it was said that it will be; zero if it was not
	At        time.Time // when that is
}

// Outdated tells that the node needs a certificate of another issuing key.
func (s IssuerState) Outdated() bool { return s.Revoked || !s.Announced.IsZero() }

// IssuerState returns what is known of the key that has issued a chain: of this
// node's certificate, or of an account's.
func (n *Node) IssuerState(chain [][]byte) (s IssuerState) {
	board := n.Board()
	if board.Len() == 0 {
		return s
	}
	key, err := n.cfg.Trust.IssuerOf(chain)
	if err != nil {
		return s
	}
	s.Announced, s.At, _ = board.IssuerRetires(key)
	s.Revoked = board.IssuerRevoked(key)
	return s
}

// Chain is this node's certificate and its issuer's, DER.
func (n *Node) Chain() [][]byte { return *n.chain.Load() }

// Alone tells that this node knows no other member.
func (n *Node) Alone() bool { return n.Ring() != nil && n.others() == 0 }

// Reunite looks for the others at once, where this node has lost them all.
func (n *Node) Reunite(ctx context.Context) {
	select {
	case <-n.joined:
		n.reunite(ctx)
	default:
	}
}

// issuingKey is what people are told while the node's issuing key is to be, or
// is, revoked; "" if it is not.
func (n *Node) issuingKey() string {
	switch s := n.IssuerState(n.Chain()); {
	case s.Revoked:
		return "the overlay's issuing key was revoked, and other nodes refuse this one until the bootstrap server has given it a new certificate, which it asks for by itself"
	case s.Outdated():
		return "the overlay's issuing key is replaced and will be revoked at " + s.At.Local().Format(time.DateTime) + "; this node asks for a new certificate by itself"
	}
	return ""
}

// linksReplacedFor is how long after an issuing key was revoked lost links are
// taken to have been closed for that.
const linksReplacedFor = 10 * time.Second

// LinksReplaced tells that links were closed a moment ago because the issuing key
// of their certificates was revoked: what was lost with them is worth another try.
func (n *Node) LinksReplaced() bool {
	at := n.issuerRevoked.Load()
	return at != nil && time.Since(*at) < linksReplacedFor
}

// noteRevokedIssuer remembers when an issuing key was revoked.
func (n *Node) noteRevokedIssuer(posted []*identity.Posted) {
	if slices.ContainsFunc(posted, func(p *identity.Posted) bool { return p.Kind == identity.RevokeIssuer }) {
		now := time.Now()
		n.issuerRevoked.Store(&now)
	}
}
