package configs

import "github.com/secp2psip/secp2psip/internal/limits"

// Limits are the bounds of an adapter that a busy place may have to raise; all
// others are fixed. Every default of the program is in docs/operations.md.
type Limits struct {
	// CallBurst is how many calls and texts one person may send to one other at
	// once; after them one a second. It bounds both ends: those of this
	// adapter's own names, and those that others send here.
	CallBurst int `koanf:"call_burst" toml:"call_burst" help:"calls and texts of one person to one other at once; then one a second"`
	// SIPRequests bounds the phones' requests in progress.
	SIPRequests int `koanf:"sip_requests" toml:"sip_requests" help:"requests of phones in progress at once"`
	// CarriedCalls bounds the calls that are carried at once.
	CarriedCalls int `koanf:"carried_calls" toml:"carried_calls" help:"calls carried at once"`
	// PeerRequests and PeerBurst bound what one other node may ask.
	PeerRequests int `koanf:"peer_requests" toml:"peer_requests" help:"requests a second from one other node"`
	PeerBurst    int `koanf:"peer_burst" toml:"peer_burst" help:"and at once"`
	// StoreRate and StoreBurst bound what one person may store here of one name.
	StoreRate  int `koanf:"store_rate" toml:"store_rate" help:"new records of one name a second that one person may store here"`
	StoreBurst int `koanf:"store_burst" toml:"store_burst" help:"and at once"`
	// Nodes bounds the connections to other nodes.
	Nodes int `koanf:"nodes" toml:"nodes" help:"connections to other nodes at once"`
	// RingBytes is what keeping the ring together may cost; where that is not
	// enough for all of it, the table of members shrinks.
	RingBytes int `koanf:"ring_bytes" toml:"ring_bytes" help:"bytes a second to keep the ring together; the table of members shrinks to fit"`
}

func defaultLimits() Limits {
	return Limits{
		CallBurst: limits.CallBurst, SIPRequests: limits.SIPRequests, CarriedCalls: limits.CarriedCalls,
		PeerRequests: limits.PeerRequests, PeerBurst: limits.PeerBurst, StoreRate: limits.StoreRate, StoreBurst: limits.StoreBurst,
		Nodes: limits.Nodes, RingBytes: limits.RingBytes,
	}
}

func (l Limits) validate(r *rules) {
	r.between("limits.call_burst", l.CallBurst, 1, 1000)
	r.between("limits.sip_requests", l.SIPRequests, 16, 4096)
	r.between("limits.carried_calls", l.CarriedCalls, 1, 1024)
	r.between("limits.peer_requests", l.PeerRequests, 10, 10_000)
	r.between("limits.peer_burst", l.PeerBurst, 10, 100_000)
	r.between("limits.store_rate", l.StoreRate, 1, 1000)
	r.between("limits.store_burst", l.StoreBurst, 20, 100_000)
	r.between("limits.nodes", l.Nodes, 16, 8192)
	r.between("limits.ring_bytes", l.RingBytes, 300, 1_000_000)
}
