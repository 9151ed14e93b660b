package link

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/limits"
)

// MaxFrame bounds one frame of a Stream, in bytes.
const MaxFrame = 64 << 10

// Limits bounds what others can cause. A zero field takes the default in
// brackets.
type Limits struct {
	Handshake             time.Duration // until a handshake must be complete [3 s]
	Handshakes            int           // incoming handshakes at once [64]
	HandshakesPerAddr     int           // of them from one IPv4 address or IPv6 /64 [4]
	HandshakesPerLoopback int           // the same for loopback, where many nodes may live [64]
	Unproven              int           // incoming handshakes at once of addresses that have not proven themselves by Retry [16]
	Unvalidated           int           // handshakes a second before addresses must prove themselves by Retry [50]

	Conns        int           // connections to other nodes; the least recently used idle one goes first [512]
	ConnsPerPeer int           // connections to one node; the oldest goes first [4]
	Dial         time.Duration // until all addresses of a node have failed [5 s]
	KeepAlive    time.Duration // [15 s]
	Idle         time.Duration // silence after which a connection is dead [45 s]

	RequestRate    rate.Limit    // requests a second from one node, and as many long streams beside them [50]
	RequestBurst   int           // and at once [100]
	Requests       int           // requests being served at once, of all nodes [256]
	RequestTime    time.Duration // for one request, from its first byte to the answer's last [10 s]
	RequestsAtOnce int           // streams of one node at once beside its long ones; more wait at the sender [16]
	Streams        int           // long streams of one node at once [64]

	DatagramRate   rate.Limit // datagrams a second on one connection that are taken in [20,000]
	DatagramBurst  int        // and at once [4,000]
	DatagramsQueue int        // datagrams of one connection that wait to leave [256]

	Flows          int // sealed packets' flows passed on at once [1,024]
	FlowsPerClient int // of them of one client [16]
	FlowBytes      int // bytes a second of one flow [131,072]
	ClientBytes    int // bytes a second of all flows of one client [524,288]

	Enrolments            int           // enrolment connections at once [64]
	EnrolmentsPerAddr     int           // of them from one IPv4 address or IPv6 /64 [8]
	EnrolmentsPerLoopback int           // the same for loopback [64]
	EnrolTime             time.Duration // for one whole enrolment [30 s]
	STUN                  int           // STUN requests answered a second [100]
}

// withDefaults returns l with every zero field set.
func (l Limits) withDefaults() Limits {
	def(&l.Handshake, limits.Handshake)
	def(&l.Handshakes, limits.Handshakes)
	def(&l.HandshakesPerAddr, limits.HandshakesPerAddr)
	def(&l.HandshakesPerLoopback, 64)
	def(&l.Unproven, limits.Unproven)
	def(&l.Unvalidated, limits.Unvalidated)
	def(&l.Conns, limits.Nodes)
	def(&l.ConnsPerPeer, 4)
	def(&l.Dial, 5*time.Second)
	def(&l.KeepAlive, 15*time.Second)
	def(&l.Idle, 45*time.Second)
	def(&l.RequestRate, limits.PeerRequests)
	def(&l.RequestBurst, limits.PeerBurst)
	def(&l.Requests, 256)
	def(&l.RequestTime, limits.RequestTime)
	def(&l.RequestsAtOnce, limits.PeerStreams)
	def(&l.Streams, 64)
	def(&l.DatagramRate, 20_000)
	def(&l.DatagramBurst, 4_000)
	def(&l.DatagramsQueue, 256)
	def(&l.Flows, 1024)
	def(&l.FlowsPerClient, 16)
	def(&l.FlowBytes, 128<<10)
	def(&l.ClientBytes, 512<<10)
	def(&l.Enrolments, 64)
	def(&l.EnrolmentsPerAddr, 8)
	def(&l.EnrolmentsPerLoopback, 64)
	def(&l.EnrolTime, 30*time.Second)
	def(&l.STUN, 100)
	return l
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
