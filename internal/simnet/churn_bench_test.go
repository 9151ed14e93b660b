package simnet

import (
	"testing"
	"time"
)

// BenchmarkChurn is a ring of which nodes go and come, for one virtual minute and its
// first fill.
func BenchmarkChurn(b *testing.B) {
	for b.Loop() {
		s, err := New(Config{Nodes: 1000, Lookups: 100, Session: 84 * time.Second, Duration: 40 * time.Second, Warmup: 20 * time.Second, Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		r := s.Run(b.Context())
		if r.Lookups == 0 {
			b.Fatal("nothing was looked up")
		}
	}
}
