// Package chord is the ring: who is whose neighbour, who is responsible for a
// position, how to find that node, and where records are kept.
//
// It has six layers, each usable without the next:
//
//   - zave: the ring operations as pure functions.
//   - [Machine]: one node's part in the ring as a step function. Events and the
//     time go in, effects come out; it knows neither sockets nor clock nor
//     goroutines. The simulator drives the same machine as the node does.
//   - [Search]: one iterative look-up without its timers, likewise.
//   - [Seeking], [Fetching] and [Storing]: one look-up, one fetch and one store
//     with their timers, likewise; see Errands.
//   - [Keeper]: what a node keeps for the ring and brings to where it belongs,
//     likewise.
//   - [Node]: all of that with a [Transport], a clock and [Records]. One goroutine
//     owns the machine; others send it events and read immutable snapshots
//     ([View]). Nothing blocks that goroutine: calls run in others.
//
// # Errands
//
// A Seeking, Fetching or Storing speaks the machine's language. It is made from
// a [Vantage] and begun by Step(now, Tick{}). Each step returns calls to be made,
// effects of kind Send; what becomes of one goes back in as Result{Call: ID},
// with Err set when Timeout has passed. A refusal is a Msg of type *wire.Error.
// Step(now, Tick{}) is due at Deadline. When Result says done, calls under way
// matter no more. A Send to the node itself is answered by the node itself, with
// RTT 0. For every call that ended by itself, and was not to the node itself, the
// machine is told what [View.Aftermath] says. [Node] drives errands with
// goroutines; the simulator drives the same ones without.
//
// # Looking after the ring
//
// A node stabilises every Timing.Every, more often just after a change or a
// failure and less often when nothing has changed for a while. A call that is
// not answered is tried again; when the second try fails, too, the node that was
// called is dead as far as this one is concerned, and is asked again at growing
// intervals in case a partition was to blame. What others say about a node is
// hearsay: it is asked before it matters to the ring, and dialled before it
// matters to a look-up.
//
// # Look-ups
//
// A node keeps a table of up to 8,192 members, filled by the signed descriptors
// that members spread ([Verifier]), in a small ring by walks round it as well,
// so that it mostly knows who precedes a target; that member is asked, and names
// the responsible node. Where the table falls short, the members named come ever
// closer, three are asked at a time, and there is a cap. Store and Fetch go
// straight to the responsible node when the table is complete: its answer says
// which interval it is responsible for, so a mistake is found out.
//
// # Records
//
// What lies at a position is kept by the responsible node and by its first
// successor of another owner. A node takes records for its own interval and for
// positions a few members before it, and in a ring that is smaller than a
// successor list for all; everything else it refuses.
//
// A [Keeper] does all that. Of the machine's effects, Joined goes to it as
// Became and Moved as Changed; before the machine's Leave it gets HandOver, and
// has done what can be done when HandedOver comes back. Its Sends are those of an
// errand. [Keeper.Serve] answers Store, StoreMany, Offer and Fetch; a Tick is due
// when it calls Wake. When neighbours change, the keeper pushes to those that
// should have it now what they have not been sent; now and then it offers
// everything it holds, and fills the other places of each record as well. A node
// that has joined asks its neighbours for what belongs there.
package chord
