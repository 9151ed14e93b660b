package carry

import (
	"encoding/binary"
	"fmt"
)

// kind is the first byte of a frame.
type kind byte

const (
	kindRequest  kind = 1 // a SIP request; its number is new, or 0 for an ACK
	kindResponse kind = 2 // a SIP response to the request of that number
	kindCancel   kind = 3 // withdraw the INVITE of that number; payload: a Reason value or nothing
	kindReport   kind = 4 // what media have arrived, and a sign of life; its number is 0
)

const (
	frameHead       = 9
	maxCancelReason = 256
)

// frame is what crosses a tunnel; see the package comment for its layout.
type frame struct {
	kind    kind
	number  uint64
	payload []byte
}

// decodeFrame reads one frame. Its payload shares memory with data.
func decodeFrame(data []byte) (frame, error) {
	if len(data) < frameHead || len(data) > MaxFrame {
		return frame{}, fmt.Errorf("%w: a frame of %d bytes", ErrMalformed, len(data))
	}
	f := frame{kind(data[0]), binary.BigEndian.Uint64(data[1:frameHead]), data[frameHead:]}
	switch f.kind {
	case kindRequest, kindResponse:
		if len(f.payload) == 0 {
			return frame{}, fmt.Errorf("%w: empty frame", ErrMalformed)
		}
	case kindCancel:
		if len(f.payload) > maxCancelReason || !plain(string(f.payload)) {
			return frame{}, fmt.Errorf("%w: bad reason to cancel", ErrMalformed)
		}
	case kindReport:
		if _, err := readReport(f.payload); err != nil {
			return frame{}, err
		}
	default:
		return frame{}, fmt.Errorf("%w: unknown kind of frame %d", ErrMalformed, f.kind)
	}
	return f, nil
}

func (f frame) bytes() []byte {
	b := make([]byte, frameHead, frameHead+len(f.payload))
	b[0] = byte(f.kind)
	binary.BigEndian.PutUint64(b[1:], f.number)
	return append(b, f.payload...)
}
