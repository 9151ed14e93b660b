// Package evidence finds members that contradict themselves, proves it so that
// anybody can check it, and keeps and spreads the proofs.
//
// # What is a proof
//
//	statements    two signed statements of a holder, of one run of its process:
//	              what it says of one slot differs, and the spans of revisions
//	              for which it says so overlap
//	runs          three statements a, b, c, of which each answers the one before
//	              by its nonce: a and c of one run, b of another. A run is never
//	              taken up again, so the holder plays two processes
//	descriptors   three pairs of descriptors with one sequence number and other
//	              content, of three sequence numbers within an hour
//	keys          an issuer's signatures under two keys of one version of a name
//
// No clock stands in any of the first two: a holder whose clock jumps, that
// crashed and lost its disk, or whose state came back from a backup, starts
// another run, and what it said in the last one binds it no more. A node that
// runs twice, from a copied state folder, signs descriptors that collide only
// when both do so in the same millisecond, which is why three are needed.
//
// What a device says in its registration is no evidence against anybody: two
// devices of an owner have their own parts, and where a restored backup signs
// what another copy signed, too, the owner signs anew with a higher sequence.
//
// # What comes of it
//
// A proof against a member evicts it here: nobody calls it any more, for
// ringing, look-ups or as a holder, for a week. The proof is passed on, and each
// node checks it before it believes it. Proofs against an issuer name a person,
// so they stay where they were found until somebody exports them.
//
// # How withholding is found
//
// An owner looks its own records up at random (Poisson) times. It asks a random
// member to fetch one record from one of its holders as that member would for
// itself (Peek). Where the holder says that it has not got it, the member asks
// for a signed statement, and the owner asks the holder for another one. If they
// contradict each other, that is the proof; a holder that gives the member none
// is noted as withholding, which is no proof and evicts nobody.
//
// [Guard] does all this for one node, beside its ring and its store.
package evidence
