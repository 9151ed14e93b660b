package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// The errors of this package.
var (
	// ErrNotJoined: the node is not a member of the ring at the moment.
	ErrNotJoined = errors.New("not joined to the ring yet")
	// ErrPort: the UDP port cannot be had; the text says why and what to do.
	ErrPort = errors.New("the UDP port cannot be opened")
	// ErrStateInUse: another program runs on the state folder.
	ErrStateInUse = errors.New("the state file is in use")
	// ErrStateDamaged: the state file cannot be read.
	ErrStateDamaged = errors.New("the state file is damaged")
)

// Windows' own numbers for what POSIX calls EADDRINUSE and EADDRNOTAVAIL; on
// other systems no error has them.
const (
	wsaAddrInUse    = syscall.Errno(10048)
	wsaAddrNotAvail = syscall.Errno(10049)
)

// listenError says what to do about a port that cannot be opened.
func listenError(err error, at netip.AddrPort) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, wsaAddrInUse):
		return fmt.Errorf("%w: %s is in use by another program; stop that one (is it an adapter or bootstrap server that still runs?) or choose another port with --listen", ErrPort, at)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, wsaAddrNotAvail):
		return fmt.Errorf("%w: this host has no address %s; choose one of its own with --listen", ErrPort, at.Addr())
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: this user may not open port %d; choose one above 1023 with --listen", ErrPort, at.Port())
	}
	return err
}

// TryPort tells whether a UDP port can be had, for who needs it only later; it
// does not keep it. The error wraps ErrPort or is the operating system's.
func TryPort(at netip.AddrPort) error {
	if at.Port() == 0 {
		return nil
	}
	var host *net.UDPAddr
	if at.Addr().IsValid() {
		host = net.UDPAddrFromAddrPort(at)
	} else {
		host = &net.UDPAddr{Port: int(at.Port())}
	}
	sock, err := net.ListenUDP("udp", host)
	if err != nil {
		return listenError(err, at)
	}
	return sock.Close()
}
