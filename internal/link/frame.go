package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// frame returns b behind its length.
func frame(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...)
}

// frameReader cuts a byte stream into frames. It keeps what it has of a frame
// over errors, so that reading can go on after a deadline.
type frameReader struct {
	head [4]byte
	got  int    // bytes of head that are there
	body []byte // what is there of the body
}

// next returns the next frame; io.EOF after the last, io.ErrUnexpectedEOF within
// one, ErrTooLarge beyond MaxFrame, or r's error.
func (f *frameReader) next(r io.Reader) ([]byte, error) {
	for f.got < len(f.head) {
		n, err := r.Read(f.head[f.got:])
		f.got += n
		if err != nil && f.got < len(f.head) {
			return nil, f.within(err)
		}
	}
	size := binary.BigEndian.Uint32(f.head[:])
	if size > MaxFrame {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	if err := f.fill(r, int(size)); err != nil {
		return nil, f.within(err)
	}
	b := f.body
	f.body, f.got = nil, 0
	return b, nil
}

// fill reads until the body has size bytes. Memory grows with what arrives, not
// with what the header announces.
func (f *frameReader) fill(r io.Reader, size int) error {
	const step = 4 << 10
	if f.body == nil {
		f.body = make([]byte, 0, min(size, step))
	}
	for len(f.body) < size {
		if len(f.body) == cap(f.body) {
			grown := make([]byte, len(f.body), min(size, 2*cap(f.body)))
			copy(grown, f.body)
			f.body = grown
		}
		n, err := r.Read(f.body[len(f.body):cap(f.body)])
		f.body = f.body[:len(f.body)+n]
		if err != nil && len(f.body) < size {
			return err
		}
	}
	return nil
}

// within makes the end of the stream unexpected where a frame has begun.
func (f *frameReader) within(err error) error {
	if errors.Is(err, io.EOF) && f.got > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
