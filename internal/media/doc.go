// Package media handles what calls talk about rather than how they are set
// up: session descriptions (RFC 8866), the echo test's RTP (RFC 3550), and
// G.711 µ-law tones for phones that are scripts.
//
// Everything here is a leaf: it knows no SIP, no names and no ring.
package media
