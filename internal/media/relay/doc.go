// Package relay takes the media of protected calls across the link: each phone
// sends its packets to its own adapter, and the adapters pass them to each
// other as datagrams, untouched.
//
//	phone A ── RTP, RTCP ──► adapter A ═══ datagrams ═══► adapter B ── RTP, RTCP ──► phone B
//
// A datagram is laid out as RTP over QUIC is (draft-ietf-avtcore-rtp-over-quic),
// behind the byte that tells media from other datagrams:
//
//	byte 0      1
//	bytes 1–8   flow: QUIC variable-length integer (RFC 9000 §16) of eight bytes
//	bytes 9–    the packet as the phone sent it: RTP, RTCP, SRTP, SRTCP, ZRTP or DTLS
//
// A call has 32 flows. Their numbers are F to F+31 with
//
//	F = the first 62 bits of SHA-256("secp2psip/1 media flows" ‖ 0 ‖ key), the last five of them zero
//
// where key is what the signed exchange of the call gives both sides; the flow
// of the m= line i is F + 2i for RTP and F + 2i + 1 for RTCP. A flow that no
// call has, or that arrives on another connection than the call's, is dropped.
//
// Nothing is repaired, reordered or delayed. The package knows no SIP and no
// names; what a call may bring is bounded by the session descriptions that
// pass through it.
package relay
