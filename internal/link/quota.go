package link

import (
	"net/netip"
	"sync"
)

// quota bounds how many of something strangers may hold, all together and from
// one address.
type quota struct {
	most, perAddr, perLoopback int
	full, addrFull             string // reasons

	mu     sync.Mutex
	total  int
	byAddr map[netip.Addr]int
}

func newQuota(most, perAddr, perLoopback int, full, addrFull string) *quota {
	return &quota{
		most: most, perAddr: perAddr, perLoopback: perLoopback, full: full, addrFull: addrFull,
		byAddr: make(map[netip.Addr]int),
	}
}

// enter takes a place, which leave gives back, or returns the reason why not.
func (q *quota) enter(addr netip.Addr) (refused string) {
	addr = household(addr)
	most := q.perAddr
	if addr.IsLoopback() {
		most = q.perLoopback
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.total >= q.most:
		return q.full
	case q.byAddr[addr] >= most:
		return q.addrFull
	}
	q.total++
	q.byAddr[addr]++
	return ""
}

func (q *quota) leave(addr netip.Addr) {
	addr = household(addr)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if q.byAddr[addr]--; q.byAddr[addr] == 0 {
		delete(q.byAddr, addr)
	}
}

// household returns what stands for all addresses that one host can choose
// from: an IPv6 host has a whole /64.
func household(addr netip.Addr) netip.Addr {
	if addr.Is6() && !addr.IsLoopback() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
