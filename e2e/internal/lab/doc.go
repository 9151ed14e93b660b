// Package lab builds a LAN out of Linux network namespaces and runs programs on its hosts.
//
//	        switch namespace, 10.0.0.254
//	┌───────────────── br0 ─────────────────┐
//	│          │              │             │
//	eth0       eth0           eth0          …      one veth pair each
//	10.0.0.1   10.0.0.2       10.0.0.3
//	bootstrap  alice          bob                  one namespace each, with a loopback of its own
//
// Each host has a default route to 10.0.0.254, where every port is closed: phones take a host without one for offline. Nothing
// of this is visible in the namespace of the caller, so labs can run side by side with the same addresses.
//
// A lab needs root, or a user namespace in which the caller is root (see scripts/e2e.sh).
package lab
