package socket

import (
	"sync"
	"time"
)

// Wake is the read deadline of a socket that is none of the system's, for what
// quic-go uses one for: to end a read now. A deadline to come is not kept. Such
// sockets embed it. Safe for concurrent use; the zero value has no deadline.
type Wake struct {
	mu    sync.Mutex
	woken chan struct{} // closed when the deadline has passed
}

// Woken returns a channel that is closed once reads are to end.
func (w *Wake) Woken() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.currentLocked()
}

func (w *Wake) currentLocked() chan struct{} {
	if w.woken == nil {
		w.woken = make(chan struct{})
	}
	return w.woken
}

// SetReadDeadline implements net.PacketConn.
func (w *Wake) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := !t.IsZero() && !t.After(time.Now())
	select {
	case <-w.currentLocked():
		if !over {
			w.woken = nil
		}
	default:
		if over {
			close(w.woken)
		}
	}
	return nil
}

// SetDeadline implements net.PacketConn.
func (w *Wake) SetDeadline(t time.Time) error { return w.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn: writing never waits.
func (w *Wake) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer and SetWriteBuffer are there because quic-go asks for them.
func (w *Wake) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing.
func (w *Wake) SetWriteBuffer(int) error { return nil }
