// Package carry takes SIP calls across the link between two adapters.
package carry

// Bounds of one engine and one call.
const (
	// MaxFrame is the largest frame that crosses a tunnel, in bytes.
	MaxFrame = 60 << 10
	// MaxTargets is the number of phones that one call rings.
	MaxTargets = 8
)
