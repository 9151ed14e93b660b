// Package bench holds the benchmarks of whole calls: real adapters on real
// QUIC sockets, an INVITE from a phone's socket and the time until its 302.
// The rooms' own benchmarks stand beside their code.
//
//	go test -run '^$' -bench . ./internal/bench
package bench
