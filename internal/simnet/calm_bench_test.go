package simnet

import (
	"testing"
	"time"
)

func BenchmarkCalm(b *testing.B) {
	for b.Loop() {
		s, err := New(Config{Nodes: 10000, Lookups: 100, Session: 174 * time.Minute, Settled: true, Plain: true, Duration: 80 * time.Second, Warmup: 10 * time.Second, Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		s.Run(b.Context())
	}
}

func BenchmarkSteady(b *testing.B) {
	for b.Loop() {
		s, err := New(Config{Nodes: 1000, Lookups: 100, Session: 84 * time.Second, Settled: true, Duration: 60 * time.Second, Warmup: 10 * time.Second, Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		s.Run(b.Context())
	}
}
