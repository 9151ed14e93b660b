// Package link connects nodes: QUIC (RFC 9000) with mutual TLS 1.3 over one UDP
// port, which also answers STUN.
//
// # Who may connect
//
// Two protocols are told apart by ALPN (RFC 7301):
//
//	secp2psip/1        both sides show a node certificate of the overlay
//	secp2psip-enrol/1  only the server shows one, with the root certificate
//	                   behind it; served only where an EnrolHandler is set
//	secp2psip-probe/1  both sides show one, and that is all: it tells whether a
//	                   node can be reached
//
// There is no session resumption and no 0-RTT: every link is a full handshake,
// so every link has been authenticated and nothing on it can be a replay.
//
// # What a stream carries
//
// The first byte of a bidirectional stream says what it is.
//
//	request   51 'Q' │ message │ FIN          answer: message │ FIN
//	long      4c 'L' │ frame(message) │ frame…    both ways until FIN or reset
//	frame     length: uint32, big-endian, ≤ 65,536 │ that many bytes
//
// A message is one of package wire. A refused request is answered with
// wire.Error; a refused long stream is reset with the wire.Code as its error
// code. The application error codes that close a connection are the Close
// constants.
//
// # What a datagram carries
//
// A QUIC datagram (RFC 9221) begins with one byte that says what it is: 1 a
// packet of a media flow, 2 a sealed packet that a peer passes on. The rest
// belongs to whoever has registered for the kind. Datagrams are neither
// repaired nor put in order.
//
// # What else arrives
//
// Datagrams whose first two bits are zero are not QUIC: STUN binding requests
// and responses (RFC 8489) are served, all else is dropped and counted.
package link
