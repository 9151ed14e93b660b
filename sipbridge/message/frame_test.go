package message

import (
	"bytes"
	"testing"
)

func TestFrame(t *testing.T) {
	one := edit()
	for name, c := range map[string]struct {
		data         string
		skip, length int
		broken       bool
	}{
		"nothing":        {"", 0, 0, false},
		"one":            {string(one), 0, len(one) - 1, false}, // Content-Length leaves the last LF over
		"keep-alive":     {"\r\n\r\n", 4, 0, false},
		"after CRLF":     {"\r\n" + string(one), 2, len(one) - 1, false},
		"half a header":  {"INVITE sip:b@h SIP/2.0\r\nl: 3\r\n", 0, 0, false},
		"half a body":    {"INVITE sip:b@h SIP/2.0\r\nl: 3\r\n\r\nab", 0, 0, false},
		"LF only":        {"INVITE sip:b@h SIP/2.0\nl: 3\n\nabcd", 0, 32, false},
		"no length":      {"INVITE sip:b@h SIP/2.0\r\n\r\n", 0, 26, true},
		"two lengths":    {"INVITE sip:b@h SIP/2.0\r\nl: 0\r\nl: 3\r\n\r\n", 0, 38, true},
		"folded length":  {"INVITE sip:b@h SIP/2.0\r\nl:\r\n 3\r\n\r\nabc", 0, 34, true},
		"negative":       {"INVITE sip:b@h SIP/2.0\r\nl: -1\r\n\r\n", 0, 33, true},
		"length in fold": {"A sip:b@h SIP/2.0\r\nl: 0\r\nX: a\r\n l: 3\r\n\r\n", 0, 40, false},
	} {
		skip, length, err := Frame([]byte(c.data), 1<<16)
		if skip != c.skip || length != c.length || (err != nil) != c.broken {
			t.Errorf("%s: skip %d length %d %v, want %d %d broken=%v", name, skip, length, err, c.skip, c.length, c.broken)
		}
	}
}

// A stream arrives in pieces that the sender does not choose. However it is
// cut, the same messages come out, and never more than was put in.
func FuzzFrame(f *testing.F) {
	for _, m := range tortures(f) {
		f.Add(m, uint16(len(m)))
	}
	f.Add(bytes.Repeat(edit(), 2), uint16(7))
	f.Add([]byte("\r\n\r\nOPTIONS sip:x@h SIP/2.0\nl:2\n\nab\r\n"), uint16(1))
	f.Add([]byte("X: y\n\n"), uint16(3))
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		whole := frames(data, len(data)+1)
		cut := frames(data, int(piece%64)+1)
		if len(whole) != len(cut) {
			t.Fatalf("%d messages whole, %d in pieces", len(whole), len(cut))
		}
		for i := range whole {
			if !bytes.Equal(whole[i], cut[i]) {
				t.Fatalf("message %d: %q whole, %q in pieces", i, whole[i], cut[i])
			}
		}
	})
}

// frames cuts data as a reader of a stream does that gets it in pieces.
func frames(data []byte, piece int) (out [][]byte) {
	var buf []byte
	for len(data) > 0 {
		n := min(piece, len(data))
		buf = append(buf, data[:n]...)
		data = data[n:]
		for {
			skip, length, err := Frame(buf, 1<<16)
			buf = buf[skip:]
			if length == 0 {
				if err != nil {
					return out
				}
				break
			}
			out = append(out, bytes.Clone(buf[:length]))
			if err != nil {
				return out
			}
			buf = buf[length:]
		}
	}
	return out
}
