// Package simnet is a virtual network of nodes that run the product's own step
// functions: a clock that jumps from event to event, a queue of events, and a
// network with latency from a table of measured round-trip times, loss, churn
// and partitions. It has no protocol logic of its own. One goroutine runs it,
// and one seed gives one run, to the byte of its result.
//
// # What is real, and what is modelled
//
// Real: every ring state machine, every look-up, every message and its encoded
// size, and the order in which anything happens at a node.
//
// Modelled:
//
//   - Time on the wire: half the round trip between two cities (rtt.csv), both
//     nodes' access lines, and jitter. A lost packet is sent again after QUIC's
//     probe timeout (RFC 9002 §6.2); loss costs time and bytes, and a request
//     fails only when its own time is up.
//   - Links: the first contact of two nodes takes a round trip more and the bytes
//     of a handshake; later ones find the link warm, until one of the nodes goes
//     or the place is needed.
//   - Bytes: the encoded message and packetOverhead for each packet that it takes.
//
// Nodes compute in no time.
package simnet
