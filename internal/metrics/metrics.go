// Package metrics counts what a daemon does and shows it to Prometheus,
// together with its health.
//
//	GET /metrics   the counters and gauges, Prometheus text format
//	GET /healthz   200 while the process works
//	GET /readyz    200 when it can serve calls, else 503 and the reason
//
// Nobody is named here: no label holds a name, an address or a key.
package metrics

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const namespace = "secp2psip"

// maxReasons bounds the label pairs of refusals_total. The rooms' reasons are
// fixed sets far below it; the bound keeps a room's mistake from becoming a leak.
const maxReasons = 512

// ErrListen: the metrics server cannot listen on its address.
var ErrListen = errors.New("cannot serve metrics")

// Set is one daemon's metrics. It is safe for concurrent use.
type Set struct {
	registry *prometheus.Registry
	refusals *prometheus.CounterVec
	calls    *prometheus.CounterVec
	setup    *prometheus.HistogramVec

	mu      sync.Mutex
	refused map[string]uint64 // "room/reason" → count, for the status
}

// New returns a Set with the process's own metrics in it.
func New(version, kind string) *Set {
	s := &Set{
		registry: prometheus.NewRegistry(),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "refusals_total",
			Help: "What was refused, by the room that refused it and why.",
		}, []string{"room", "reason"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "calls_total",
			Help: "Call attempts, by direction (in, out), path and class of the SIP status.",
		}, []string{"direction", "path", "status"}),
		setup: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "call_setup_seconds",
			Help:    "From the INVITE to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms … 4 s
		}, []string{"direction"}),
		refused: make(map[string]uint64),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "info",
		Help:        "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "kind": kind, "go": runtime.Version()},
	})
	info.Set(1)
	s.registry.MustRegister(s.refusals, s.calls, s.setup, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Refused returns the function that counts what one room refuses. Its
// reasons must come from a fixed set.
func (s *Set) Refused(room string) func(reason string) {
	return func(reason string) {
		s.mu.Lock()
		key := room + "/" + reason
		if _, known := s.refused[key]; !known && len(s.refused) >= maxReasons {
			room, reason, key = "other", "other", "other/other"
		}
		s.refused[key]++
		s.mu.Unlock()
		s.refusals.WithLabelValues(room, reason).Inc()
	}
}

// Refusals returns how often each "room/reason" was counted.
func (s *Set) Refusals() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]uint64, len(s.refused))
	for k, v := range s.refused {
		out[k] = v
	}
	return out
}

// Call counts one call attempt: direction "in" or "out", path "direct",
// "carried" or "", the SIP status, and the time from INVITE to answer.
func (s *Set) Call(direction, path string, status int, setup time.Duration) {
	if path == "" {
		path = "none"
	}
	s.calls.WithLabelValues(direction, path, class(status)).Inc()
	s.setup.WithLabelValues(direction).Observe(setup.Seconds())
}

// class keeps the label small: "2xx", "302", "3xx", …
func class(status int) string {
	switch {
	case status == 302, status == 404, status == 480:
		return fmt.Sprint(status)
	case status >= 100 && status < 700:
		return fmt.Sprintf("%dxx", status/100)
	}
	return "other"
}

// Gauge shows a value that read returns whenever somebody looks. The name
// gets the prefix "secp2psip_"; a second gauge of one name panics.
func (s *Set) Gauge(name, help string, read func() float64) {
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: name, Help: help,
	}, read))
}

// Counter returns a function that adds to a counter that only grows. The name
// gets the prefix "secp2psip_"; a second one of one name panics.
func (s *Set) Counter(name, help string) func(n float64) {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	s.registry.MustRegister(c)
	return c.Add
}

// Ring shows what a node knows of the ring; each function is read whenever
// somebody looks.
type Ring struct {
	Members    func() int  // live members known
	Successors func() int  // length of the successor list
	Joined     func() bool // this node is part of the ring
	Links      func() int  // open connections
	Records    func() int  // records held
	DiskFails  func() bool // records cannot be written: nothing is stored for others
	PortMapped func() bool // the router maps the link's port, and others have called the node there
}

// Ring registers the gauges of r. It may be called once.
func (s *Set) Ring(r Ring) {
	count := func(f func() int) func() float64 { return func() float64 { return float64(f()) } }
	s.Gauge("ring_members", "Live members that this node knows.", count(r.Members))
	s.Gauge("ring_successors", "Length of the successor list.", count(r.Successors))
	s.Gauge("ring_joined", "1 while this node is part of the ring.", flag(r.Joined))
	s.Gauge("links", "Open connections to other nodes.", count(r.Links))
	s.Gauge("records", "Records held for the ring.", count(r.Records))
	s.Gauge("disk_fails", "1 while records cannot be written to the disk, and nothing is stored for others.", flag(r.DiskFails))
	s.Gauge("port_mapped", "1 while the router maps the link's port to this host, and others have called it there.", flag(r.PortMapped))
}

func flag(f func() bool) func() float64 {
	return func() float64 {
		if f() {
			return 1
		}
		return 0
	}
}
