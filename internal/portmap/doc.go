// Package portmap asks the router before a host to let others in: it has one UDP
// port of the router lead to one of this host, with NAT-PMP (RFC 6886), else with
// UPnP's Internet Gateway Device. It renews that before it ends and takes it back
// at the end.
//
//	host                       router (default gateway)
//	 │  NAT-PMP: map UDP 5871      │  to its port 5351, from nobody else answered
//	 │────────────────────────────►│
//	 │  external port, lifetime    │
//	 │◄────────────────────────────│
//	 │  else M-SEARCH              │  to everybody, answers of the router alone count
//	 │────────────────────────────►│
//	 │  LOCATION: http://router/…  │  fetched from the router alone, bounded, no redirects
//	 │◄────────────────────────────│
//	 │  AddPortMapping (SOAP)      │  the same
//	 │────────────────────────────►│
//
// Whoever is on the network can answer. So the default gateway's address is the
// only one that is talked to, and what it says is a claim: its address outside and
// the port there are a candidate, which the caller has others prove by calling it.
package portmap
