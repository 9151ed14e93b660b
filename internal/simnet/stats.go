package simnet

import (
	"math"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// What things cost on the wire beyond the messages themselves, IPv4 and UDP
// included. "go test -run TestHandshakeBytes -v ./internal/link" measures it: the
// handshake of mutual TLS 1.3 with the product's certificates, and what a request
// and its answer take more than their encodings, acknowledgements and half for each.
const (
	clientBytes    = 4100
	serverBytes    = 2950
	packetOverhead = 78
	packetData     = 1170             // of a message in one packet
	initialBytes   = 1280             // a client's first packet, RFC 9000 §14.1
	pingBytes      = 2 * 60           // a keep-alive and its acknowledgement
	keepAlive      = 15 * time.Second // internal/link, Limits.KeepAlive
)

// category is what bytes are for.
type category uint8

const (
	forRouting category = iota // look-ups
	forMembership
	forRecords
	categories
)

// categoryOf returns what a message is for, which for an answer that fits several
// questions is what the question was for; false for messages that no ring sends.
func categoryOf(t, question wire.Type) (category, bool) {
	switch t {
	case wire.TypeFind, wire.TypeFound:
		return forRouting, true
	case wire.TypeGetState, wire.TypeState, wire.TypeUnchanged, wire.TypeChanged, wire.TypeJoin, wire.TypeJoined, wire.TypeNotify, wire.TypeLeave,
		wire.TypeGossip, wire.TypeDoubt, wire.TypeGetMembers, wire.TypeMembers, wire.TypeGetCertificates, wire.TypeCertificates:
		return forMembership, true
	case wire.TypeStore, wire.TypeStored, wire.TypeStoreMany, wire.TypeStoredMany, wire.TypeFetch, wire.TypeFetched, wire.TypeOffer, wire.TypeWanted:
		return forRecords, true
	case wire.TypeAck, wire.TypeError:
		if question != 0 {
			return categoryOf(question, 0)
		}
	}
	return 0, false
}

// stats is what a run counts.
type stats struct {
	bytes      [categories]uint64
	messages   [categories]uint64
	byType     [256]struct{ messages, bytes uint64 }
	said       uint64 // messages, each counted once however often its packets are lost
	shakeBytes uint64
	shakes     uint64
	dials      uint64 // handshakes that nobody answered
	pingBytes  uint64
	certBytes  uint64
	refusals   map[string]uint64

	serial      uint32
	pending     int // look-ups under way
	judged      int
	abandoned   int // their node died
	right       int
	exact       int
	wrong       int
	refused     int
	routes      int // plain look-ups
	routed      int // that led to the right node
	deaths      int
	unpublished int
	took        []int64
	longest     int64 // of all that were judged, the refused ones too
	hops        []int
	checks      []int  // signatures checked in each resolution in a still ring
	taskShakes  int    // handshakes for look-ups
	acts        uint64 // how often a bad node did what no other does
}

func (st *stats) init() { st.refusals = make(map[string]uint64) }

func (st *stats) refuse(reason string) { st.refusals[reason]++ }

// add takes in what a shard has counted.
func (st *stats) add(o *stats) {
	for i := range st.bytes {
		st.bytes[i] += o.bytes[i]
		st.messages[i] += o.messages[i]
	}
	for i := range st.byType {
		st.byType[i].messages += o.byType[i].messages
		st.byType[i].bytes += o.byType[i].bytes
	}
	st.said += o.said
	st.shakeBytes += o.shakeBytes
	st.shakes += o.shakes
	st.dials += o.dials
	st.pingBytes += o.pingBytes
	st.certBytes += o.certBytes
	st.unpublished += o.unpublished
	st.taskShakes += o.taskShakes
	st.acts += o.acts
	st.checks = append(st.checks, o.checks...)
	for why, n := range o.refusals {
		st.refusals[why] += n
	}
}

// sent counts a message that was sent so many times, as a question or, where there
// is one, as the answer to it.
func (st *stats) sent(counts bool, m, question wire.Message, times int) {
	if !counts || m == nil {
		return
	}
	var asked wire.Type
	if question != nil {
		asked = question.Type()
	}
	c, ok := categoryOf(m.Type(), asked)
	if !ok {
		st.refuse("not_counted")
		return
	}
	size, err := wire.Size(m)
	if err != nil {
		st.refuse("not_encodable")
		return
	}
	packets := max(1, (size+packetData-1)/packetData)
	n := uint64(times) * uint64(size+packets*packetOverhead)
	t := m.Type()
	st.bytes[c] += n
	st.said++
	st.messages[c] += uint64(times)
	st.byType[t].bytes += n
	st.byType[t].messages += uint64(times)
}

// handshake counts the bytes of a handshake; whole is false for one that came
// to nothing.
func (st *stats) handshake(counts bool, bytes int, whole bool) {
	if !counts {
		return
	}
	st.shakeBytes += uint64(bytes)
	if whole {
		st.shakes++
	}
}

// wilson returns the interval of a proportion at 95 % (Wilson 1927, equation
// for the score interval).
func wilson(good, all int) [2]float64 {
	if all == 0 {
		return [2]float64{0, 1}
	}
	const z = 1.959963984540054
	n := float64(all)
	p := float64(good) / n
	mid := p + z*z/(2*n)
	half := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	scale := 1 + z*z/n
	return [2]float64{max(0, (mid-half)/scale), min(1, (mid+half)/scale)}
}

// quantile returns the q-quantile of sorted values: the least one that at least
// that share of them does not exceed. 0 for none.
func quantile[T any](sorted []T, q float64) (v T) {
	if len(sorted) == 0 {
		return v
	}
	return sorted[min(len(sorted)-1, max(0, int(math.Ceil(q*float64(len(sorted))))-1))]
}

func mean(values []int) float64 {
	if len(values) == 0 {
		return 0
	}
	sum := 0
	for _, v := range values {
		sum += v
	}
	return float64(sum) / float64(len(values))
}

func sorted[T int | int64](values []T) []T {
	out := slices.Clone(values)
	slices.Sort(out)
	return out
}
