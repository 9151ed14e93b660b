// Package zave is the ring protocol as pure functions: Chord as Pamela Zave
// corrected and proved it ("Reasoning about identifier spaces: how to make
// Chord correct", IEEE TSE 2017; the original protocol keeps none of the
// invariants that its papers claim). The node, the simulator and the property
// tests all run these very functions; nothing here reads a clock, sends a
// message or keeps a pointer.
//
// # State
//
// A member has a successor list of r entries and a predecessor, which is never
// nil. Its extended list is itself followed by the list; its best successor is
// the first live entry. A principal is a member that nobody skips: for every
// member and every adjacent pair (x, y) of its extended list, not
// Between(x, p, y). The invariant, necessary and sufficient:
//
//	I1  every member has a live successor in its list
//	I2  there are at least r+1 principals
//
// It implies that lists are ordered and hold neither duplicates nor their
// owner, that principals are ring members, that there is exactly one ordered
// ring of best successors, and that every appendage reaches it.
//
// # Operations
//
// Join, StabilizeFromSuccessor, StabilizeFromPredecessor and Rectify change
// one member each and read at most one other; Fail removes one. What an
// operation read of another member is a [View]. A step that wants more work
// done says so in its [Step]: whom to notify, or which candidate to ask next.
//
// # Small rings
//
// The invariant needs r+1 members. Below that there is small-ring mode, and it
// is local: a member is in it exactly while its list has fewer than r entries.
// No bit on the wire says so and nobody agrees on it; a short list is the mode.
//
//   - The list of a small member holds every other member it knows to be
//     alive, in clockwise order, and ends where it would come round to its
//     owner: it covers the whole circle. Read by somebody else it wraps: after
//     the last entry comes the owner itself (see [View.Wrapped]).
//   - A member enters such a list only by [Meet], when it has answered the
//     owner's own call or called the owner itself; hearsay is asked first. It
//     leaves only by [Forget], when the owner's own calls failed. So the dead
//     are not kept alive by gossip, and no member needs another's word.
//   - The caller asks every entry each round, and everybody that an answer
//     names and that it does not know yet. Knowledge is therefore symmetric
//     and transitive after two rounds, whatever the order of joins.
//   - The member that admits a joining node meets it at once. In a small ring
//     the heads of the lists thus always form one ordered ring, which is the
//     state that the full protocol starts from.
//   - Growing: Meet fills the list; with the r-th entry the member is out of
//     the mode, holds r+1 live members with correct pointers, and from there
//     on Zave's operations run as they stand.
//   - Shrinking: a list that is adopted comes round to the adopter before it
//     has r entries. The adopter does not believe that; it keeps what it has,
//     asks all of it, and [Shrink] drops what is dead. With fewer than r
//     entries left it is in the mode, by its own evidence alone.
//
// A ring of one is a member with an empty list that is its own predecessor.
//
// # Merging
//
// Zave's operations never merge two rings that a partition has made. The
// caller keeps asking entries that died; one that answers and lies between
// self and the head of the list is a [Candidate] for
// StabilizeFromPredecessor. That cannot lower the number of principals: the
// first pair (t, x) of the new extended list lies within a pair that t had
// before, and the other pairs are pairs of x's extended list.
package zave
