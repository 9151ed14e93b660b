// Package message reads and answers SIP messages as they lie in a buffer,
// without copying what it only looks at.
//
//	INVITE sip:bob@127.0.0.1 SIP/2.0 CRLF        start line
//	Via: SIP/2.0/UDP 127.0.0.1:5062;branch=… CRLF  fields, RFC 3261 §7.3
//	…
//	CRLF
//	v=0 …                                        body, Content-Length bytes
//
// A Message holds slices of the buffer it was parsed from and is good until
// that buffer changes. Lines that end in a bare LF, folded lines and CRLFs
// before the start line are put right first, in a buffer of the Message's own.
//
// Parse finds fields; Check finds what makes a request unanswerable as asked
// (RFC 3261 §8.2 and §16.3). Nothing here panics on any input.
package message
