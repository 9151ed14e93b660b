//go:build !linux

package sipbridge

import "net/netip"

// portUser cannot tell on this system.
func portUser(string, netip.AddrPort) string { return "" }
