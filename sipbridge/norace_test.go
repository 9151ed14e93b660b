//go:build !race

package sipbridge

// raceEnabled: the race detector takes memory of its own.
const raceEnabled = false
