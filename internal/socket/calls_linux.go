package socket

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// address is a socket address of either family, as the kernel has it.
type address struct {
	raw  unix.RawSockaddrInet6 // or a RawSockaddrInet4 at its beginning
	size uint32
}

const sizeOfAddress = uint32(unsafe.Sizeof(unix.RawSockaddrInet6{})) // #nosec G103 -- a constant

func (a *address) four() *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw)) // #nosec G103 -- the smaller of two addresses that begin alike
}

// set returns false for what such a socket cannot be told this way.
func (a *address) set(to netip.AddrPort, six bool) bool {
	ip := to.Addr()
	switch {
	case six && ip.IsValid() && ip.Zone() == "":
		a.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: netOrder(to.Port()), Addr: ip.As16()}
		a.size = unix.SizeofSockaddrInet6
	case !six && ip.Unmap().Is4():
		*a.four() = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: netOrder(to.Port()), Addr: ip.Unmap().As4()}
		a.size = unix.SizeofSockaddrInet4
	default:
		return false
	}
	return true
}

// addrPort returns the address, IPv4 in IPv6 as such, and the number of the
// interface within which alone it means something, 0 for none.
func (a *address) addrPort() (at netip.AddrPort, scope uint32) {
	switch a.raw.Family {
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.raw.Addr), netOrder(a.raw.Port)), a.raw.Scope_id
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4(a.four().Addr), netOrder(a.raw.Port)), 0
	}
	return netip.AddrPort{}, 0
}

// netOrder turns a port from the network's order into the host's, and back.
func netOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}

// taker receives one packet.
type taker struct {
	b     []byte
	from  address
	n     int
	errno unix.Errno

	scope uint32 // the last one that was not 0, and its name
	zone  string
}

// zoned returns the address with the name of its interface.
func (t *taker) zoned(at netip.AddrPort, scope uint32) netip.AddrPort {
	if scope == 0 {
		return at
	}
	if t.scope != scope {
		t.scope, t.zone = scope, zone(scope)
	}
	return netip.AddrPortFrom(at.Addr().WithZone(t.zone), at.Port())
}

func (t *taker) run(fd uintptr) (done bool) {
	for {
		t.from.size = sizeOfAddress
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.b))), uintptr(len(t.b)), // #nosec G103 -- the call ends before b and the address do
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&t.from.raw)), uintptr(unsafe.Pointer(&t.from.size))) // #nosec G103 -- the call ends before b and the address do
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		t.n, t.errno = int(n), errno
		return true
	}
}

// giver sends one packet, or several of one size at once (UDP_SEGMENT).
type giver struct {
	to    address
	head  unix.Msghdr
	iov   unix.Iovec
	n     int
	errno unix.Errno
}

func (g *giver) prepare(b, oob []byte) {
	g.iov.Base = unsafe.SliceData(b) // #nosec G103 -- a pointer to Go's memory, which the collector sees as such
	g.iov.SetLen(len(b))
	g.head = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&g.to.raw)), Namelen: g.to.size, Iov: &g.iov, Control: unsafe.SliceData(oob)} // #nosec G103 -- a pointer to Go's memory, which the collector sees as such
	g.head.SetIovlen(1)
	g.head.SetControllen(len(oob))
	g.errno = 0
}

// forget keeps nothing of what was given alive.
func (g *giver) forget() { g.iov.Base, g.head.Control = nil, nil }

func (g *giver) run(fd uintptr) (done bool) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&g.head)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) // #nosec G103 -- the call ends before what the heads point to does
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		g.n, g.errno = int(n), errno
		return true
	}
}

// messageHead is struct mmsghdr.
type messageHead struct {
	unix.Msghdr
	n uint32
}

// batch receives several packets at once.
type batch struct {
	heads []messageHead
	iovs  []unix.Iovec
	froms []address
	known known
	take  func(fd uintptr) (done bool)

	most, flags, n int
	errno          unix.Errno
}

func newBatch(n int) *batch {
	t := &batch{heads: make([]messageHead, n), iovs: make([]unix.Iovec, n), froms: make([]address, n)}
	t.take = t.run
	return t
}

func (t *batch) prepare(ms []ipv4.Message, flags int) {
	t.most, t.flags, t.n, t.errno = len(ms), flags, 0, 0
	for i := range ms {
		h, b, oob := &t.heads[i], ms[i].Buffers[0], ms[i].OOB
		t.iovs[i].Base = unsafe.SliceData(b) // #nosec G103 -- a pointer to Go's memory, which the collector sees as such
		t.iovs[i].SetLen(len(b))
		h.Name, h.Namelen, h.Iov, h.Control = (*byte)(unsafe.Pointer(&t.froms[i].raw)), sizeOfAddress, &t.iovs[i], unsafe.SliceData(oob) // #nosec G103 -- a pointer to Go's memory, which the collector sees as such
		h.SetIovlen(1)
		h.SetControllen(len(oob))
	}
}

// forget keeps nothing of what was given alive.
func (t *batch) forget() {
	for i := range t.most {
		t.iovs[i].Base, t.heads[i].Control = nil, nil
	}
}

func (t *batch) run(fd uintptr) (done bool) {
	if t.most == 0 {
		return true
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&t.heads[0])), uintptr(t.most), // #nosec G103 -- the call ends before what the heads point to does
			uintptr(t.flags|unix.MSG_DONTWAIT), 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			t.n = int(n)
		}
		t.errno = errno
		return true
	}
}

func (t *batch) unpack(ms []ipv4.Message) {
	for i := range ms {
		h := &t.heads[i]
		ms[i].N, ms[i].NN, ms[i].Flags = int(h.n), int(h.Controllen), int(h.Flags)
		ms[i].Addr = t.known.as(t.froms[i].addrPort())
	}
}

// known keeps some addresses in the form that the standard library gives them,
// since most packets come from where others have come from. Another address in
// its place only costs the making.
type known [64]struct {
	at    netip.AddrPort
	scope uint32
	addr  *net.UDPAddr
}

// as returns the address, nil for none.
func (k *known) as(at netip.AddrPort, scope uint32) net.Addr {
	if !at.IsValid() {
		return nil
	}
	ip := at.Addr().As16()
	place := &k[(uint(at.Port())*31+uint(ip[15]))%uint(len(k))]
	if place.addr == nil || place.at != at || place.scope != scope {
		place.at, place.scope, place.addr = at, scope, net.UDPAddrFromAddrPort(at)
		if scope != 0 {
			place.addr.Zone = zone(scope)
		}
	}
	return place.addr
}

// zone names an interface.
func zone(scope uint32) string {
	if i, err := net.InterfaceByIndex(int(scope)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(scope))
}
