package node_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// editions makes charters for a test, each node of which has a trust of its own.
type editions struct {
	*overlay
	first identity.Charter
}

// edition signs the charter with that number.
func (e editions) edition(seq uint64, root identity.PrivateKey, change func(*identity.Charter)) identity.SignedCharter {
	c := e.first
	c.Seq, c.Root = seq, root.Public()
	if change != nil {
		change(&c)
	}
	return must(c.Sign(root))(e.t)
}

// own gives a node a trust of its own with an edition; kept counts what it writes
// down.
func (e editions) own(s identity.SignedCharter, kept *atomic.Int64) func(*node.Config) {
	return func(c *node.Config) {
		charter := must(s.Verify(e.root.Public()))(e.t)
		c.Trust = must(identity.NewTrust(e.trust.RootCertificate(), charter))(e.t)
		c.Charter = s
		c.KeepCharter = func(identity.SignedCharter) error { kept.Add(1); return nil }
	}
}

func seqOf(p *peer) uint64 { return p.Trust().Charter().Seq }

// A8: a later edition that the root key has signed reaches every node, those too
// that join later with an old one, is kept once and holds at once. What is
// altered, older, signed by another key or says what is fixed otherwise is refused,
// in a message and in an answer, and nobody is told of it.
func TestMatrixA8EditionsReachEverybody(t *testing.T) {
	e := editions{overlay: newOverlay(t)}
	e.first = e.trust.Charter()
	var kept atomic.Int64
	first := e.edition(1, e.root, nil)
	peers := []*peer{e.start("a", e.own(first, &kept))}
	for _, name := range []string{"b", "c", "d"} {
		peers = append(peers, e.start(name, e.own(first, &kept), peers[0]))
	}
	second := e.edition(2, e.root, func(c *identity.Charter) { c.MaxDevices, c.Grace = 3, 365*24*3600 })
	if err := peers[0].TakeCharter(second); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	for _, p := range peers {
		eventually(t, "all have the second edition", func() bool { return seqOf(p) == 2 && p.Trust().Charter().MaxDevices == 3 })
	}
	took := time.Since(since)
	late := e.start("late", e.own(first, &kept), peers[1])
	eventually(t, "who comes later has it, too", func() bool { return seqOf(late) == 2 })
	if n := kept.Load(); n != 5 {
		t.Errorf("it was written down %d times by 5 nodes", n)
	}
	attacks := e.attack(t, peers[2], second)
	for _, p := range append(peers, late) {
		if seqOf(p) != 2 || string(p.Charter()) != string(second) {
			t.Errorf("%s has edition %d", p.name, seqOf(p))
		}
	}
	t.Logf("matrix: A8 a new edition was with 4 of 4 nodes after %d ms and with one that joined later; of %d altered, older and foreign ones none was taken", took.Milliseconds(), attacks)
}

// attack sends a node charters that it must refuse, and returns how many.
func (e editions) attack(t *testing.T, victim *peer, current identity.SignedCharter) (attacks int) {
	other := must(identity.GenerateKey())(t)
	type lie struct {
		what string
		s    identity.SignedCharter
	}
	bad := []lie{
		{"older", e.edition(1, e.root, func(c *identity.Charter) { c.MaxDevices = 9 })},
		{"another second", e.edition(2, e.root, func(c *identity.Charter) { c.MaxDevices = 9 })},
		{"another root's", e.edition(9, other, nil)},
		{"with another n", e.edition(9, e.root, func(c *identity.Charter) { c.N = 20; c.OwnerRecords = 128 })},
		{"another overlay's", e.edition(9, e.root, func(c *identity.Charter) { c.Overlay = "other.example" })},
		{"signed by no root", append(append(identity.SignedCharter{}, current[:len(current)-1]...), current[len(current)-1]^1)},
		{"that is none", identity.SignedCharter{0x80}},
	}
	for i := range 40 { // as if later, with a byte turned
		c := e.edition(uint64(10+i), e.root, nil)
		c[len(c)-1-i] ^= 1
		bad = append(bad, lie{fmt.Sprintf("altered %d", i), c})
	}
	mallory := e.liar("mallory")
	for _, l := range bad {
		var answer wire.Message
		var err error
		eventually(t, "it is answered", func() bool { // a refusal is, too
			answer, err = mallory.Call(limited(t), victim.Self(), &wire.CharterIs{Charter: l.s})
			_, refused := errors.AsType[*link.RemoteError](err)
			return err == nil || refused
		})
		if _, ack := answer.(*wire.Ack); err == nil && ack {
			t.Errorf("a charter %s is taken: %+v", l.what, answer)
		}
		attacks++
	}
	for _, reason := range []string{"charter_old", "charter_forged", "charter_fixed", "charter_rate", "charter_foreign"} {
		if victim.refused.of("node/"+reason) == 0 {
			t.Errorf("nothing is counted as %s: %v", reason, victim.refused.all())
		}
	}
	return attacks
}
