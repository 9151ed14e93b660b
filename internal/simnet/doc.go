// Package simnet is a virtual network of nodes that run the product's own step
// functions: a clock that jumps from event to event, a queue of events, and a
// network with latency from a table of measured round-trip times, loss, churn
// and partitions. It has no protocol logic of its own. One or two goroutines
// run it (shard.go), and one seed gives one run, to the byte of its result, whatever
// the number of processors.
//
// # What is real, and what is modelled
//
// Real: every ring state machine, look-up, fetch, store, keeper, resolution and
// publication, keys, signatures and shares, the stores' rules, every message and
// its encoded size. Nodes share what one of them has verified, by the bytes that
// were signed: the same bytes verify the same everywhere, and other bytes are
// verified anew.
//
// Modelled:
//
//   - Time on the wire: half the round trip between two cities (rtt.csv), both
//     nodes' access lines, and jitter. A lost packet is sent again after QUIC's
//     probe timeout (RFC 9002 §6.2); loss costs time and bytes, and a request
//     fails only when its own time is up.
//   - Links: the first contact of two nodes takes a round trip more and the bytes
//     of a handshake; later ones find the link warm, until one of the nodes goes
//     or the place is needed. Each end knows of a link what it would know.
//   - Node certificates: every node knows all of them, without asking. What it would
//     have sent and got for those that it meets for the first time since it started
//     is counted apart, by the length of a real one.
//   - Devices behind NATs: nobody reaches them, and they are clients; see nat.go.
//   - An owner's habits, which are the adapter's: publishing, and repairing now and
//     then.
//   - Bytes: the encoded message and packetOverhead for each packet that it takes.
//
// Nodes compute in no time.
package simnet
