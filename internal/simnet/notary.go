package simnet

import (
	"slices"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// notary signs for one node and verifies for it, with the node's real key and
// the product's signatures. It takes every certificate as known, and counts what
// it would have cost to ask for those that the node has not met in this run of
// its program.
type notary struct {
	*shard
	o *overlay
	n *node
}

// certified counts the bytes of a certificate that the node meets for the first
// time. Those that it needs at one moment come in one answer.
func (y notary) certified(num int32) {
	word, bit := &y.n.certs[num/64], uint64(1)<<(num%64)
	if *word&bit != 0 {
		return
	}
	*word |= bit
	if !y.measuring() {
		return
	}
	y.stats.certBytes += uint64(y.o.certificate + 2 + 1 + len(wire.CertHash{}))
	if y.n.certsAt != y.now {
		y.n.certsAt = y.now
		y.stats.certBytes += 2 * packetOverhead
	}
}

func certificateOf(id chord.ID) wire.CertHash { return wire.HashCertificate(id[:]) }

// SignDescriptor implements chord.Signer.
func (y notary) SignDescriptor(d wire.Descriptor) (wire.Descriptor, error) {
	d.Certificate = certificateOf(y.n.peer.ID)
	return wire.SignDescriptor(d, overlayName, y.n.key)
}

// SignNotice implements chord.Signer.
func (y notary) SignNotice(x wire.Notice) (wire.Notice, error) {
	return wire.SignNotice(x, overlayName, y.n.key)
}

// Verify implements chord.Verifier. All nodes share what it returns.
func (y notary) Verify(d *wire.Descriptor) (*chord.Member, chord.Verdict) {
	if last := y.lastOf(d); last != nil && last.who != nil && same(last.who.Desc, d) {
		y.certified(last.num)
		return last.who, chord.VerdictValid
	}
	at := describedAs{d.ID, d.Seq}
	if known := y.members[at]; known.who != nil && same(known.who.Desc, d) {
		y.certified(known.num)
		return known.who, chord.VerdictValid
	}
	key, known := y.o.keys[d.ID]
	if !known || d.Certificate != certificateOf(d.ID) || d.Verify(overlayName, key) != nil {
		return nil, chord.VerdictForged
	}
	num := y.byID[d.ID]
	y.certified(num)
	keep := *d
	who := chord.NewMember(&keep, y.o.owners[d.ID])
	if len(y.members) > 8*len(y.o.keys) { // of earlier descriptors
		clear(y.members)
	}
	y.members[at] = vouched{who, num}
	if last := y.lastOf(d); last != nil {
		*last = vouched{who, num}
	}
	return who, chord.VerdictValid
}

// lastOf returns where the member is kept that was verified last with the address
// of a descriptor; nil for an address that no node has.
func (y notary) lastOf(d *wire.Descriptor) *vouched {
	if len(d.Addrs) == 0 || !d.Addrs[0].Addr().Is4() {
		return nil
	}
	if num := numOf(d.Addrs[0].Addr()); num < len(y.last) {
		return &y.last[num]
	}
	return nil
}

// same reports whether two descriptors say the same.
func same(a, b *wire.Descriptor) bool {
	return a == b || a.ID == b.ID && a.Certificate == b.Certificate && a.Seq == b.Seq && a.State == b.State &&
		a.Lifetime == b.Lifetime && a.Signature == b.Signature && slices.Equal(a.Addrs, b.Addrs)
}

// VerifyNotice implements chord.Verifier.
func (y notary) VerifyNotice(x *wire.Notice, witness *wire.Descriptor) bool {
	if y.notices[*x] {
		return x.Witness == witness.ID
	}
	key, known := y.o.keys[x.Witness]
	if !known || x.Witness != witness.ID || x.Verify(overlayName, key) != nil {
		return false
	}
	if len(y.notices) > 8*len(y.o.keys) {
		clear(y.notices)
	}
	y.notices[*x] = true
	return true
}

// Learn implements chord.Verifier.
func (notary) Learn(*wire.Certificates) {}

// Certificates implements chord.Verifier.
func (notary) Certificates([]wire.CertHash) *wire.Certificates { return &wire.Certificates{} }
