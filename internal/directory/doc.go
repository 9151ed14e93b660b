// Package directory turns names into verified keys and devices, and publishes
// what its own people say about themselves.
//
// # Resolve
//
// One resolution reads, in parallel and each from its own place on the ring:
//
//	registrations   2 of the 4 replicas, then the others
//	account record  1 of the 4 replicas, then the others
//	shares          k of the n positions, chosen at random, then the others
//
// "Then the others" means: at once when an answer does not help, and otherwise
// when an answer takes longer than answers have been taking. The resolution
// ends on the k-th valid share once a registration has come whose account
// certificate names the same key. It goes on listening for a while: a second
// key under the same name is evidence against the issuer, is raised as an
// alarm, and is kept.
//
// That a name does not exist is believed only when it is absent where at least
// three registrations (or account records) would lie and at more than n−k share
// positions, each time by the word of a node that has shown that it is
// responsible there, and not by the word of one node alone unless it is alone.
// Any record with a valid signature outweighs every "not found".
//
// # What is trusted
//
// A name's key is what k shares, the account certificate and the pin of
// earlier calls agree on. Any disagreement ends the resolution with an error
// that says which: ErrKeyConflict (the issuer contradicts itself) or
// ErrKeyChanged (the pin does).
//
// # Step functions
//
// All of this is done by step functions without sockets, clock or goroutines:
// [Resolving], [Publishing], [Repairing] and [Reading]. Each is made from a
// [Setting], with the randomness that it uses, and begun by Step(now, Tick{}).
// Each step returns Calls: records to be stored or positions to be read. What
// becomes of one goes back in as Written, or as Read with what Examine made of
// the records; that is where signatures are checked. Step(now, Tick{}) is due at
// Deadline, until Ended. Result, or Latest, has the outcome, which may be final
// before the end: a resolution listens on, a publication goes on where it has not
// succeeded yet. [Directory] drives them with goroutines, keeps a cache, and
// writes the pins; the simulator drives the same ones without.
package directory
