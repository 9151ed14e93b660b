package simnet

import (
	"math"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// Result is what a run gives. All of it but WallS and RSSMiB is the same for
// the same Config.
type Result struct {
	Nodes           int         `json:"nodes"`
	Lookups         int         `json:"lookups"`          // that were judged
	Success         float64     `json:"success"`          // share of them that were right
	SuccessInterval [2]float64  `json:"success_interval"` // Wilson, 95 %
	HopsMean        float64     `json:"hops_mean"`
	HopsP99         int         `json:"hops_p99"`
	LatencyMS       Quantiles   `json:"latency_ms"`
	BytesPerSNode   BytesPerSec `json:"bytes_per_s_node"`
	ResolvedRight   int         `json:"resolved_right"`
	ResolvedWrong   int         `json:"resolved_wrong"`
	Refused         int         `json:"refused"`
	VirtualS        float64     `json:"virtual_s"` // measured, warm-up not counted
	WallS           float64     `json:"wall_s"`
	RSSMiB          float64     `json:"rss_mib"`
	Seed            uint64      `json:"seed"`

	RoutingRight float64                `json:"routing_right"` // share of plain look-ups whose first live node named was the right one
	RoutingExact float64                `json:"routing_exact"` // share in which the first one named was
	KeepAlive    float64                `json:"keep_alive_bytes_per_s_node"`
	Certificates float64                `json:"certificates_bytes_per_s_node"` // of nodes that a node has not met since it started
	Deaths       int                    `json:"deaths"`                        // since the start
	Handshakes   uint64                 `json:"handshakes"`                    // complete ones
	DialsToDead  uint64                 `json:"dials_to_dead"`                 // handshakes that nobody answered
	Attacks      uint64                 `json:"attacks"`                       // how often a bad node did what no other does
	Messages     map[string]MessageRate `json:"messages"`
	Refusals     map[string]uint64      `json:"refusals"`
	SaidPerS     float64                `json:"messages_per_s_node"` // each counted once, however often its packets are lost
	LongestMS    float64                `json:"longest_ms"`          // of all look-ups, those that were refused too
	// Verifications is how many signatures a look-up of a name has its node check on
	// average in a still ring, caches empty: of records, and in the handshakes that
	// it needs. 0 = not counted.
	Verifications float64 `json:"verifications,omitempty"`
	Settled       bool    `json:"settled,omitempty"` // the ring stood from the start (Config.Settled)
}

// Quantiles of a distribution.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// BytesPerSec is what a node sends in a second, by purpose.
type BytesPerSec struct {
	Routing    float64 `json:"routing"`
	Membership float64 `json:"membership"`
	Handshakes float64 `json:"handshakes"`
	Records    float64 `json:"records"`
}

// MessageRate is what a node sends of one type of message.
type MessageRate struct {
	PerS  float64 `json:"per_s"`
	Bytes float64 `json:"bytes"` // mean, packets' overhead included
}

func (s *Sim) result(wall time.Duration) *Result {
	s.settleLinks()
	st := &s.stats
	for _, sh := range s.shards {
		st.add(&sh.stats)
	}
	measured := 0.0
	if s.from > 0 {
		measured = max(0, time.Duration(min(s.now, s.to)-s.from).Seconds())
	}
	perNode := func(n uint64) float64 {
		if measured == 0 {
			return 0
		}
		return round(float64(n)/measured/float64(s.cfg.Nodes), 3)
	}
	hops, took := sorted(st.hops), sorted(st.took)
	r := &Result{
		Nodes: s.cfg.Nodes, Lookups: st.judged,
		HopsMean: round(mean(st.hops), 4), HopsP99: quantile(hops, 0.99),
		LatencyMS: Quantiles{P50: ms(quantile(took, 0.5)), P99: ms(quantile(took, 0.99))},
		BytesPerSNode: BytesPerSec{
			Routing: perNode(st.bytes[forRouting]), Membership: perNode(st.bytes[forMembership]),
			Handshakes: perNode(st.shakeBytes), Records: perNode(st.bytes[forRecords]),
		},
		ResolvedRight: st.right, ResolvedWrong: st.wrong, Refused: st.refused,
		VirtualS: round(measured, 3), WallS: round(wall.Seconds(), 2), RSSMiB: round(peakMemory(), 1), Seed: s.cfg.Seed, Settled: s.cfg.Settled,
		Deaths: st.deaths, Attacks: st.acts, Handshakes: st.shakes, DialsToDead: st.dials, KeepAlive: perNode(st.pingBytes), Certificates: perNode(st.certBytes),
		Messages: make(map[string]MessageRate), Refusals: st.refusals, LongestMS: ms(st.longest), SaidPerS: perNode(st.said),
	}
	if len(st.checks) > 0 {
		r.Verifications = round(mean(st.checks)+stillHandshake*float64(st.taskShakes)/float64(len(st.checks)), 2)
	}
	r.SuccessInterval = wilson(st.right, st.judged)
	if st.judged > 0 {
		r.Success = round(float64(st.right)/float64(st.judged), 6)
	}
	if st.routes > 0 {
		r.RoutingRight = round(float64(st.routed)/float64(st.routes), 6)
		r.RoutingExact = round(float64(st.exact)/float64(st.routes), 6)
	}
	for i := range r.SuccessInterval {
		r.SuccessInterval[i] = round(r.SuccessInterval[i], 6)
	}
	for t, c := range st.byType {
		if c.messages > 0 {
			r.Messages[wire.Type(t).String()] = MessageRate{PerS: perNode(c.messages), Bytes: round(float64(c.bytes)/float64(c.messages), 1)}
		}
	}
	return r
}

// Latencies returns the time that each look-up took that was not refused, in ms,
// the shortest first.
func (s *Sim) Latencies() []float64 {
	out := make([]float64, len(s.stats.took))
	for i, ns := range sorted(s.stats.took) {
		out[i] = ms(ns)
	}
	return out
}

func ms(ns int64) float64 { return round(float64(ns)/1e6, 3) }

// round cuts to so many decimals.
func round(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}
