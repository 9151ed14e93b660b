package chord

import (
	"crypto/sha512"
	"encoding/binary"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// notary is a Verifier and the Signer of one node. Its signatures are hashes
// with a secret that the tests' attackers do not use for others' names, which is
// as good as a signature here and much quicker.
type notary struct {
	self    ID
	overlay string
	shared  *ledger
	certs   map[wire.CertHash]bool // nil = knows all
	checked int
}

// ledger is what all notaries of a test share.
type ledger struct {
	members map[ledgerKey]*Member
	owners  map[ID]identity.OwnerTag
}

type ledgerKey struct {
	id  ID
	seq int64
	sig [64]byte
}

func newLedger() *ledger {
	return &ledger{members: map[ledgerKey]*Member{}, owners: map[ID]identity.OwnerTag{}}
}

func certOf(id ID) wire.CertHash { return wire.HashCertificate(id[:]) }

func (n *notary) sign(id ID, kind string, numbers ...int64) (sig [64]byte) {
	h := sha512.New()
	h.Write([]byte(n.overlay + kind))
	h.Write(id[:])
	for _, v := range numbers {
		_ = binary.Write(h, binary.BigEndian, v)
	}
	copy(sig[:], h.Sum(nil))
	return sig
}

func (n *notary) descriptorSig(d *wire.Descriptor) [64]byte {
	text := "descriptor"
	for _, a := range d.Addrs {
		text += a.String()
	}
	return n.sign(d.ID, text, d.Seq, int64(d.State), int64(d.Lifetime))
}

func (n *notary) SignDescriptor(d wire.Descriptor) (wire.Descriptor, error) {
	d.Certificate = certOf(d.ID)
	d.Signature = n.descriptorSig(&d)
	return d, nil
}

func (n *notary) SignNotice(x wire.Notice) (wire.Notice, error) {
	x.Signature = n.sign(x.Witness, "notice"+string(x.Subject[:]), x.Seq)
	return x, nil
}

func (n *notary) Verify(d *wire.Descriptor) (*Member, Verdict) {
	n.checked++
	if d.Certificate != certOf(d.ID) || d.Signature != n.descriptorSig(d) {
		return nil, VerdictForged
	}
	if n.certs != nil && !n.certs[d.Certificate] {
		return nil, VerdictUnknown
	}
	key := ledgerKey{d.ID, d.Seq, d.Signature}
	who := n.shared.members[key]
	if who == nil {
		keep := *d
		who = NewMember(&keep, n.shared.owners[d.ID])
		n.shared.members[key] = who
	}
	return who, VerdictValid
}

func (n *notary) VerifyNotice(x *wire.Notice, witness *wire.Descriptor) bool {
	n.checked++
	return x.Witness == witness.ID && x.Signature == n.sign(x.Witness, "notice"+string(x.Subject[:]), x.Seq)
}

func (n *notary) Learn(c *wire.Certificates) {
	for _, cert := range c.Nodes {
		if n.certs != nil && len(cert) == len(ID{}) {
			n.certs[wire.HashCertificate(cert)] = true
		}
	}
}

func (n *notary) Certificates(hashes []wire.CertHash) *wire.Certificates {
	out := &wire.Certificates{}
	for _, h := range hashes {
		if n.certs != nil && !n.certs[h] {
			continue
		}
		for id := range n.shared.owners {
			if certOf(id) == h {
				out.Nodes = append(out.Nodes, append([]byte(nil), id[:]...))
			}
		}
	}
	return out
}

// notaries makes the machines of a lab take part in the spreading of
// descriptors, each of an owner of its own.
func (l *lab) notaries() {
	l.ledger = newLedger()
	l.bytes = map[wire.Type]float64{}
	l.count = map[wire.Type]int{}
	l.refused = map[string]int{}
}

// known returns how many of the live nodes the mean and the worst member knows,
// and how many entries for dead nodes there are in the mean.
func (l *lab) known() (mean float64, least int, dead float64) {
	least = 1 << 30
	members := 0
	for id, m := range l.nodes {
		if m.Phase() != PhaseJoined {
			continue
		}
		members++
		live := 0
		for _, p := range m.View().Peers() {
			if l.nodes[p.ID] != nil {
				live++
			} else {
				dead++
			}
		}
		least = min(least, live)
		mean += float64(live)
		_ = id
	}
	return mean / float64(members), least, dead / float64(members)
}

// grow makes a ring of n members.
func (l *lab) grow(n int, pace time.Duration) {
	first := l.id()
	l.step(first, l.add(first), Create{})
	for range n - 1 {
		l.join()
		l.run(time.Duration(l.rng.Int64N(int64(2 * pace))))
	}
}

// TestDissemination: everybody gets to know everybody, a newcomer is known to
// all soon, and so is a death that two neighbours have seen, and a goodbye.
func TestDissemination(t *testing.T) {
	l := newLab(t, 31)
	l.notaries()
	const n = 100
	l.grow(n, 50*time.Millisecond)
	await := func(what string, want func() bool) {
		t.Helper()
		start := l.now
		for !want() {
			if l.now.Sub(start) > 3*time.Minute {
				mean, least, dead := l.known()
				t.Fatalf("%s: not after 3 min; known %.1f, least %d, dead %.2f; refused %v", what, mean, least, dead, l.refused)
			}
			l.run(250 * time.Millisecond)
		}
		t.Logf("%s: after %v", what, l.now.Sub(start))
	}
	await("all know all", func() bool { _, least, dead := l.known(); return least == n-1 && dead == 0 })
	l.join()
	await("all know one more", func() bool { _, least, dead := l.known(); return least == n && dead == 0 })
	l.run(time.Minute)
	m := l.someone()
	delete(l.nodes, m.Ring().Self)
	await("all miss one who died", func() bool { _, least, dead := l.known(); return least == n-1 && dead == 0 })
	m = l.someone()
	l.step(m.Ring().Self, m, Leave{})
	l.run(time.Second)
	delete(l.nodes, m.Ring().Self)
	await("all miss one who left", func() bool { _, least, dead := l.known(); return least == n-2 && dead == 0 })
	if l.count[wire.TypeGossip] == 0 || l.count[wire.TypeDoubt] == 0 {
		t.Errorf("messages: %v", l.count)
	}
	before := l.total()
	l.run(3 * time.Minute)
	t.Logf("at rest: %.0f B/s a node; refused %v", (l.total()-before)/180/(n-1), l.refused)
}

func (l *lab) total() (sum float64) {
	for _, b := range l.bytes {
		sum += b
	}
	return sum
}
