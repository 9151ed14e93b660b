package link

// The reasons for which this package refuses things, as given to
// Config.Refused.
const (
	ReasonGarbage        = "garbage_datagram"    // neither QUIC nor STUN
	ReasonQUICDropped    = "quic_packet_dropped" // QUIC in form, of no connection
	ReasonSTUNRate       = "stun_rate"           // too many STUN requests
	ReasonRetry          = "address_unproven"    // a handshake above the rate at which addresses are believed
	ReasonHandshakes     = "handshakes_full"     // too many handshakes at once
	ReasonHandshakesAddr = "handshakes_address"  // too many of one address at once
	ReasonHandshake      = "handshake_failed"    // not completed, for whatever reason
	ReasonCertificate    = "bad_certificate"     // a certificate that is not of a node of this overlay
	ReasonRevoked        = "certificate_revoked" // of a node that is, or wants to be, connected
	ReasonProtocol       = "unknown_protocol"    // an ALPN that is not served here
	ReasonSelf           = "own_certificate"     // another program shows this node's certificate
	ReasonConnsFull      = "connections_full"    // no place for another connection
	ReasonExpired        = "certificate_expired" // while connected
	ReasonRequestRate    = "request_rate"        // a peer asks too often
	ReasonBusy           = "requests_full"       // too many requests at once
	ReasonMalformed      = "malformed_message"   // not readable
	ReasonOversized      = "oversized_message"   // longer than allowed
	ReasonUnserved       = "unserved_message"    // readable, but nobody serves it
	ReasonStreams        = "streams_full"        // too many long streams
	ReasonSlow           = "request_timeout"     // a request that took too long to arrive
	ReasonDraining       = "draining"            // the node is about to go
	ReasonEnrolFull      = "enrolments_full"     // too many enrolments at once
	ReasonEnrolAddr      = "enrolments_address"  // too many of one address at once
	ReasonDatagramKind   = "datagram_unknown"    // a datagram of a kind that nobody takes
	ReasonDatagramRate   = "datagram_rate"       // a peer sends too many datagrams
	ReasonDatagramFull   = "datagrams_full"      // too many datagrams wait to leave: the oldest went
	ReasonDatagramLate   = "datagram_late"       // a datagram that could not leave in time
	ReasonDatagramLarge  = "datagram_too_large"  // longer than the path takes
	ReasonSealedBad      = "sealed_malformed"    // a sealed packet without a proper head
	ReasonSealedPeer     = "sealed_foreign_peer" // one that a node passes on that is no peer of this one
	ReasonSealedStranger = "sealed_stranger"     // one between nodes that are no clients of this one
	ReasonSealedGone     = "sealed_gone"         // one for a node that is not connected
	ReasonSealedFlow     = "sealed_unasked"      // one of a client to a node that has not called it
	ReasonSealedFlows    = "sealed_flows_full"   // too many flows
	ReasonSealedRate     = "sealed_rate"         // too many bytes of a flow or a client
	ReasonSealedFull     = "sealed_full"         // too many wait to be read
	ReasonSealedNarrow   = "sealed_narrow"       // a path to a peer that takes no datagrams long enough
	ReasonRelayReplays   = "relay_replays"       // a peer repeats packets of a connection that it passes on
	ReasonRelayReorders  = "relay_reorders"      // it changes their order
	ReasonRelayAlters    = "relay_alters"        // it changes what is in them
	ReasonRelayDrops     = "relay_drops"         // it passes only some of them on
	ReasonRelaySilent    = "relay_silent"        // nothing came through it any more
	ReasonEnrolForbidden = "enrolment_forbidden" // a message that needs a certificate
)
