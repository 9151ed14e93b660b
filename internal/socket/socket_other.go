//go:build !linux

package socket

import "net"

// Conn is a UDP socket.
type Conn struct{ *net.UDPConn }

// New returns the socket.
func New(c *net.UDPConn) (*Conn, error) { return &Conn{c}, nil }
