package canon

import "fmt"

// Bytes reads one CBOR byte string with a length in its shortest form (RFC 8949
// §3, §4.2.1) from the front of b. data is a part of b.
func Bytes(b []byte) (data, rest []byte, err error) {
	const byteStringType = 2
	if len(b) == 0 || b[0]>>5 != byteStringType {
		return nil, nil, fmt.Errorf("%w: no byte string", ErrMalformed)
	}
	n, skip := uint64(b[0]&0x1f), 1
	var shortest uint64
	switch {
	case n < 24:
	case n <= 26:
		width := 1 << (n - 24)
		shortest = []uint64{24, 1 << 8, 1 << 16}[n-24] // #nosec G602 -- n is 24, 25 or 26 here
		if len(b) < 1+width {
			return nil, nil, fmt.Errorf("%w: truncated length", ErrMalformed)
		}
		n = 0
		for _, c := range b[1 : 1+width] {
			n = n<<8 | uint64(c)
		}
		skip += width
	default:
		return nil, nil, fmt.Errorf("%w: length of a byte string", ErrMalformed)
	}
	if n < shortest {
		return nil, nil, ErrNotCanonical
	}
	if n > uint64(len(b)-skip) {
		return nil, nil, fmt.Errorf("%w: truncated byte string", ErrMalformed)
	}
	end := skip + int(n)
	return b[skip:end:end], b[end:], nil
}

// Small reads one CBOR unsigned integer below 256 in its shortest form from the
// front of b.
func Small(b []byte) (v uint8, rest []byte, err error) {
	switch {
	case len(b) > 0 && b[0] < 24:
		return b[0], b[1:], nil
	case len(b) > 1 && b[0] == 24 && b[1] >= 24:
		return b[1], b[2:], nil
	case len(b) > 1 && b[0] == 24:
		return 0, nil, ErrNotCanonical
	}
	return 0, nil, fmt.Errorf("%w: no integer below 256", ErrMalformed)
}
