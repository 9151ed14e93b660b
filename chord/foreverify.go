package chord

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of the signatures that are checked for others ahead of the owner
// goroutine, which checks the rest itself, as its own limits allow.
const (
	checksPerSec = rate.Limit(1000)
	checksMost   = 2 * MaxMembers
)

// foreverify lets the Verifier see what a message brings before the owner
// goroutine does, which then finds it known: a signature takes longer to check
// than anything else that goroutine does.
func (n *Node) foreverify(msg wire.Message) wire.Message {
	if n.cfg.Verifier == nil {
		return msg
	}
	switch msg := msg.(type) {
	case *wire.Gossip:
		for i := range msg.Groups {
			n.checkAll(msg.Groups[i].Descs)
		}
	case *wire.Members:
		n.checkAll(msg.Descs)
	case *wire.Certificates:
		if n.checks.AllowN(time.Now(), 1+len(msg.Nodes)) {
			n.cfg.Verifier.Learn(msg)
		}
		return &wire.Certificates{} // learnt, as far as they hold
	}
	return msg
}

func (n *Node) checkAll(descs []wire.Descriptor) {
	if n.checks.AllowN(time.Now(), len(descs)) {
		for i := range descs {
			n.cfg.Verifier.Verify(&descs[i])
		}
	}
}

// Renew tells the node that its Signer names another certificate from now on.
func (n *Node) Renew() { n.enter(input{ev: Renew{}}) }
