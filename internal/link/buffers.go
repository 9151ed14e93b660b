package link

import "sync"

// The buffers that messages are read into and written from: reading a message
// copies what it keeps, and so does quic-go with what it is given to write.
type buffers struct{ pool sync.Pool } // of *[]byte

// The length that holds nearly every message, and the one from which on a
// buffer is not worth keeping.
const (
	usualMessage = 2 << 10
	largeMessage = 8 << 10
)

// take returns an empty buffer.
func (f *buffers) take() *[]byte {
	if b, ok := f.pool.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	b := make([]byte, 0, usualMessage)
	return &b
}

// giveBack takes a buffer of which nothing is in use any more.
func (f *buffers) giveBack(b *[]byte) {
	if cap(*b) <= largeMessage {
		f.pool.Put(b)
	}
}
