package media

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// MaxSDP is the longest session description that is read, in bytes.
const MaxSDP = 16 << 10

// ReplaceLoopback returns the session description with every loopback address
// at which media could be sought replaced by to: in o= and c= lines of session
// and media (RFC 8866 §5.2, §5.7), in a=rtcp (RFC 3605) and in a=candidate
// (RFC 8839 §5.1). All other bytes stay as they are, line ends included. n is
// the number of addresses replaced; with n = 0 the result is body itself.
//
// It returns ErrTooLong or ErrMalformed for what is not a session description, and
// ErrHidden for one with a second address.
func ReplaceLoopback(body []byte, to netip.Addr) (out []byte, n int, err error) {
	if err := Check(body); err != nil {
		return nil, 0, err
	}
	if !to.IsValid() {
		return body, 0, nil
	}
	out = make([]byte, 0, len(body)+64)
	for rest := body; len(rest) > 0; {
		line, end := rest, []byte(nil)
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, end, rest = rest[:i], rest[i:i+1], rest[i+1:]
			if i > 0 && line[i-1] == '\r' {
				line, end = line[:i-1], []byte("\r\n")
			}
		} else {
			rest = nil
		}
		changed, did := replaceLine(string(line), to)
		if did {
			n++
		}
		out = append(append(out, changed...), end...)
	}
	if n == 0 {
		return body, 0, nil
	}
	return out, n, nil
}

// Check tells whether body is a session description that can be passed on:
// ErrTooLong, ErrMalformed or ErrHidden if not.
func Check(body []byte) error {
	_, err := parse(body)
	return err
}

func parse(body []byte) (*sdp.SessionDescription, error) {
	if len(body) > MaxSDP {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(body), MaxSDP)
	}
	// A bare CR would be a line end to some readers and not to others, and so
	// could hide an address from us that the phone then uses.
	for i, c := range body {
		if c == 0 || c == '\r' && (i+1 == len(body) || body[i+1] != '\n') {
			return nil, fmt.Errorf("%w: stray control character", ErrMalformed)
		}
	}
	if !bytes.HasPrefix(body, []byte("v=0\n")) && !bytes.HasPrefix(body, []byte("v=0\r\n")) {
		return nil, fmt.Errorf("%w: it does not begin with v=0", ErrMalformed)
	}
	plain, foreign := withoutForeign(body)
	var d sdp.SessionDescription
	if err := d.Unmarshal(plain); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	for i, name := range foreign {
		if i < len(d.MediaDescriptions) {
			d.MediaDescriptions[i].MediaName = name
		}
	}
	if err := checkHidden(body, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Version is a description's version (RFC 8866 §5.2), 0 where it has none.
func Version(body []byte) uint64 {
	_, field := versionOf(body)
	n, err := strconv.ParseUint(string(field), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// WithVersion returns the description with another version and no other change;
// one without o= line as it is.
func WithVersion(body []byte, version uint64) []byte {
	before, field := versionOf(body)
	if field == nil || Version(body) == version {
		return body
	}
	return slices.Concat(body[:before], strconv.AppendUint(nil, version, 10), body[before+len(field):])
}

// versionOf finds the version, nil where there is none.
func versionOf(body []byte) (before int, field []byte) {
	for line := range bytes.Lines(body) {
		text := strings.TrimRight(string(line), "\r\n")
		if at := fieldsOf(text); strings.HasPrefix(text, "o=") && len(at) > 2 {
			return before + at[2][0], line[at[2][0]:at[2][1]]
		}
		before += len(line)
	}
	return 0, nil
}

// replaceLine does one line. Fields are found by position, so that the spaces
// between them survive.
func replaceLine(line string, to netip.Addr) (string, bool) {
	switch {
	case strings.HasPrefix(line, "o="):
		return replaceField(line, 5, 4, to)
	case strings.HasPrefix(line, "c="):
		return replaceField(line, 2, 1, to)
	case strings.HasPrefix(line, "a=rtcp:"):
		return replaceField(line, 3, 2, to)
	case strings.HasPrefix(line, "a=candidate:"):
		return replaceField(line, 4, -1, to)
	}
	return line, false
}

// replaceField puts to into field addr of line, and its family into field
// family (none if negative), if that field is a loopback address now.
func replaceField(line string, addr, family int, to netip.Addr) (string, bool) {
	at := fieldsOf(line)
	if len(at) <= addr {
		return line, false
	}
	// A multicast suffix (/ttl) has no meaning at a loopback address.
	host, _, _ := strings.Cut(line[at[addr][0]:at[addr][1]], "/")
	if !isLoopback(host) {
		return line, false
	}
	var b strings.Builder
	from := 0
	for i, f := range at {
		switch i {
		case addr:
			b.WriteString(line[from:f[0]] + to.Unmap().WithZone("").String())
		case family:
			b.WriteString(line[from:f[0]] + familyOf(to))
		default:
			continue
		}
		from = f[1]
	}
	return b.String() + line[from:], true
}

// fieldsOf returns where the fields of line begin and end. More than one
// space between them is wrong, but a reader may put up with it.
func fieldsOf(line string) (at [][2]int) {
	start := -1
	for i := 0; i <= len(line); i++ {
		space := i == len(line) || line[i] == ' ' || line[i] == '\t'
		switch {
		case space && start >= 0:
			at, start = append(at, [2]int{start, i}), -1
		case !space && start < 0:
			start = i
		}
	}
	return at
}

func familyOf(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "IP4"
	}
	return "IP6"
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
