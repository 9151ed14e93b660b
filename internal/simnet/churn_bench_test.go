package simnet

import (
	"testing"
	"time"
)

// BenchmarkChurn is a ring of a thousand that stands, of which nodes go and come, for
// seventy virtual seconds. Enrolling two thousand people is some seconds of it.
func BenchmarkChurn(b *testing.B) {
	for b.Loop() {
		s, err := New(Config{Nodes: 1000, Lookups: 100, Session: 84 * time.Second, Settled: true, Duration: 60 * time.Second, Warmup: 10 * time.Second, Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		if r := s.Run(b.Context()); r.Lookups == 0 {
			b.Fatal("nothing was looked up")
		}
	}
}
