// Package wire holds every message that two nodes exchange, and its codec.
//
// A message is one deterministic CBOR item (RFC 8949 §4.2.1) of at most
// [MaxMessage] bytes: an array of the type and the body.
//
//	message = [ type: uint, body: array ]
//
//	82              array of two
//	   18 20        the type, here 32: Store (one byte below 24, else two)
//	   82           the body: an array of the message's fields, in order
//	      50 …      a Node-ID or position: byte string of 16
//	      82 …      a record
//
// Fields are written in the order of the Go struct, whose comment draws them.
// The fields' forms are these:
//
//	id        byte string of 16        Node-ID or position on the ring, big-endian
//	key       byte string of 32        Ed25519 public key
//	tag       byte string of 8         owner tag
//	addr      byte string of 6 or 18   IP address (4 or 16 bytes), then the port, little-endian
//	time      int                      milliseconds since 1970, overlay time
//	signed    byte string              COSE_Sign1 (RFC 9052 §4.2), tagged
//	cert      byte string              X.509 certificate, DER
//	text      text string              UTF-8 without control characters
//	T?        T or null
//	T*n       array of at most n
//
// Decode is strict: every count and length has a bound, and what it accepts
// encodes to the same bytes again. Encode refuses what Decode would refuse.
package wire
