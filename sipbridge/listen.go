package sipbridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/secp2psip/secp2psip/internal/socket"
)

// bind opens every endpoint, or none. Where an entry asked for both transports
// on port 0, TCP takes the port that UDP got.
func (b *Bridge) bind() error {
	var pair netip.AddrPort // the UDP socket just bound on port 0
	for attempt := 0; ; attempt++ {
		err := b.bindAll(&pair)
		if err == nil {
			return nil
		}
		b.closeSockets()
		if !errors.Is(err, errPairTaken) || attempt == 20 {
			return err
		}
	}
}

// errPairTaken: the free UDP port is not free for TCP.
var errPairTaken = errors.New("port is free for UDP only")

func (b *Bridge) bindAll(pair *netip.AddrPort) error {
	for i, e := range b.endpoints {
		addr := e.addr
		paired := i > 0 && e.network == "tcp" && addr.Port() == 0 && b.endpoints[i-1] == endpoint{"udp", addr}
		if paired {
			addr = *pair
		}
		var err error
		if e.network == "udp" {
			*pair, err = b.bindUDP(addr)
		} else {
			err = b.bindTCP(addr)
		}
		if paired && is(err, syscall.EADDRINUSE, 10048) {
			return errPairTaken
		}
		if err != nil {
			return listenError(e.network, addr, err)
		}
	}
	return nil
}

func (b *Bridge) bindUDP(a netip.AddrPort) (netip.AddrPort, error) {
	conn, err := b.cfg.Socket(a)
	if err != nil {
		return a, err
	}
	l := newUDPSocket(b, conn)
	b.udp = append(b.udp, l)
	return l.local, nil
}

// systemUDP opens a socket of the system's.
func systemUDP(a netip.AddrPort) (UDPSocket, error) {
	conn, err := net.ListenUDP(family("udp", a), net.UDPAddrFromAddrPort(a))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(1 << 20) // a smaller one the kernel insists on is fine
	quick, err := socket.New(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return quick, nil
}

func (b *Bridge) bindTCP(a netip.AddrPort) error {
	ln, err := net.ListenTCP(family("tcp", a), net.TCPAddrFromAddrPort(a))
	if err != nil {
		return err
	}
	b.tcp = append(b.tcp, newTCPListener(b, ln))
	return nil
}

// family keeps IPv4 and IPv6 sockets apart, so that [::]:5060 and
// 0.0.0.0:5060 can stand side by side.
func family(network string, a netip.AddrPort) string {
	if a.Addr().Is4() {
		return network + "4"
	}
	return network + "6"
}

func (b *Bridge) closeSockets() {
	for _, l := range b.udp {
		_ = l.conn.Close()
	}
	for _, l := range b.tcp {
		_ = l.ln.Close()
	}
	b.udp, b.tcp = nil, nil
}

func listenError(network string, a netip.AddrPort, err error) error {
	switch {
	case is(err, syscall.EADDRINUSE, 10048):
		return fmt.Errorf("%w: %s %s is in use by %s; choose another with --sip-listen, for example --sip-listen %s",
			ErrPortInUse, network, a, orElse(portUser(network, a), "another program"), netip.AddrPortFrom(a.Addr(), a.Port()+10))
	case is(err, syscall.EADDRNOTAVAIL, 10049):
		return fmt.Errorf("%w: this host has no address %s; choose one of its own with --sip-listen", ErrListen, a.Addr())
	case is(err, syscall.EACCES, 10013):
		return fmt.Errorf("%w: %s %s needs rights that this program does not have; choose a port from 1024 on with --sip-listen", ErrListen, network, a)
	}
	return fmt.Errorf("%w on %s %s: %w", ErrListen, network, a, err)
}

// is tells whether an error is the given one, by its POSIX name or its number
// in Windows Sockets.
func is(err error, posix, winsock syscall.Errno) bool {
	return errors.Is(err, posix) || errors.Is(err, winsock)
}
