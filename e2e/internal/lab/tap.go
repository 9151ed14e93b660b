//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// maxTapped bounds what a Tap keeps, in bytes: minutes of calls.
const maxTapped = 256 << 20

// Tap listens on a network and keeps every frame that arrives at an interface of it.
type Tap struct {
	fd   int
	only int // interface; 0 = all

	mu     sync.Mutex
	frames [][]byte
	size   int
	done   chan struct{}
	stop   bool
}

// Tap listens on every port of the LAN's switch: it sees whatever one host sends to another.
func (l *Lab) Tap() (*Tap, error) { return tap(l.id+"-sw", 0) }

// TapLoopback listens on the host's loopback interface.
func (h *Host) TapLoopback() (*Tap, error) { return tap(h.ns, 1) }

func tap(ns string, only int) (*Tap, error) {
	t := &Tap{only: only, done: make(chan struct{})}
	err := insideOf(ns, func() (err error) {
		// ETH_P_ALL in network byte order.
		t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(unix.ETH_P_ALL&0xff)<<8|unix.ETH_P_ALL>>8)
		if err != nil {
			return err
		}
		// Read wakes up now and then to see whether it is over.
		return errors.Join(
			unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
			unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("tap %s: %w", ns, err)
	}
	go t.read()
	return t, nil
}

func (t *Tap) read() {
	defer close(t.done)
	defer unix.Close(t.fd)
	buf := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(t.fd, buf, 0)
		t.mu.Lock()
		stop := t.stop
		if ll, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && ll.Pkttype != unix.PACKET_OUTGOING && (t.only == 0 || ll.Ifindex == t.only) && t.size < maxTapped {
			t.frames = append(t.frames, bytes.Clone(buf[:n]))
			t.size += n
		}
		t.mu.Unlock()
		if stop && err != nil {
			return
		}
	}
}

// Stop ends the listening and returns the frames, from the Ethernet header on.
func (t *Tap) Stop() [][]byte {
	t.mu.Lock()
	t.stop = true
	t.mu.Unlock()
	<-t.done
	return t.frames
}
