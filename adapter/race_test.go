//go:build race

package adapter_test

// raceEnabled: the race detector takes memory of its own.
const raceEnabled = true
