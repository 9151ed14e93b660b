package record

import (
	"crypto/sha256"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Where says what a record is and where it belongs. It is shared and not to be
// changed.
type Where struct {
	Resource identity.NodeID
	Places   []identity.NodeID // as PositionsOf gives them
	replicas int               // places that the kind has
	only     [1]identity.NodeID
	Body     Body
}

// memo is what holders ask of a record many times: it is made once, when the
// record is verified, and shared by all copies. It says nothing about whether
// the signature holds. A record with other bytes does not have it.
type memo struct {
	of     *byte // the first of Signed; with size what tells that these are the bytes
	size   int
	where  Where
	digest [sha256.Size]byte // of Signed
	chain  Chain             // that the record came with
	name   [sha256.Size]byte // of record and chain, as hash gives it
}

// remember makes the memo of a record whose bytes are nobody else's and whose hash
// is name.
func (r *Record) remember(b Body, c identity.Charter, name [sha256.Size]byte) {
	r.memo = &memo{
		of: &r.Signed[0], size: len(r.Signed), where: where(b, c), digest: sha256.Sum256(r.Signed), chain: r.Chain, name: name,
	}
	if w := &r.memo.where; len(w.Places) == 1 { // a share's; next to what is read with it
		w.only = [1]identity.NodeID(w.Places)
		w.Places = w.only[:]
	}
}

// name is hash without the work where the record's pieces are, as they lie in
// memory, those that it was worked out for.
func (r *Record) name() [sha256.Size]byte {
	if r.known() && sameMemory(r.Chain.Delegation, r.memo.chain.Delegation) && sameMemory(r.Chain.Certificates, r.memo.chain.Certificates) {
		return r.memo.name
	}
	return r.hash()
}

// sameMemory reports whether two slices are one.
func sameMemory[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func where(b Body, c identity.Charter) Where {
	res := resource(b.AOR, b.Kind)
	return Where{Body: b, Resource: res, Places: positions(res, b.Kind, b.Part, c), replicas: Replicas(b.Kind, c)}
}

// known reports whether the memo is about the bytes that the record has.
func (r *Record) known() bool {
	return r.memo != nil && r.memo.size == len(r.Signed) && r.memo.of == &r.Signed[0]
}

// Digest returns SHA-256 of the signed body.
func (r Record) Digest() [sha256.Size]byte {
	if r.known() {
		return r.memo.digest
	}
	return sha256.Sum256(r.Signed)
}

// Where returns what the record is and where it belongs under c. Like Body, it
// does not check the signature.
func (r Record) Where(c identity.Charter) (*Where, error) {
	if r.known() && r.memo.where.replicas == Replicas(r.memo.where.Body.Kind, c) {
		return &r.memo.where, nil
	}
	b, err := r.Body()
	if err != nil {
		return nil, err
	}
	w := where(b, c)
	return &w, nil
}
