package message

import "bytes"

// Frame finds the first message in a stream's bytes (RFC 3261 §18.3). It
// returns how many bytes before it are to be skipped (the CRLFs that RFC 5626
// §3.5.1 uses as a keep-alive), and its length, 0 while it is not complete.
//
// Content-Length is where a stream's next message begins, so the error for a
// message without one, or with several or a wrong one, is final: answer what
// length says and close the stream. So is ErrTooLong for a message longer than
// max, which comes as soon as that can be seen, with the header's length or,
// where that itself is too long, with none.
func Frame(b []byte, max int) (skip, length int, err error) {
	for skip < len(b) && (b[skip] == '\r' || b[skip] == '\n') {
		skip++
	}
	head := headerEnd(b[skip:])
	if head == 0 {
		if len(b)-skip > max {
			return skip, 0, ErrTooLong
		}
		return skip, 0, nil
	}
	body, err := contentLength(b[skip : skip+head])
	if err != nil {
		return skip, head, err
	}
	if head+body > max {
		return skip, head, ErrTooLong
	}
	if len(b)-skip-head < body {
		return skip, 0, nil
	}
	return skip, head + body, nil
}

// headerEnd returns the length of the header with its empty line, 0 if that
// has not come yet. A line may end in a bare LF.
func headerEnd(b []byte) int {
	for i := 0; i < len(b); {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0
		}
		if n == 0 || n == 1 && b[i] == '\r' {
			return i + n + 1
		}
		i += n + 1
	}
	return 0
}

// contentLength reads the one Content-Length of a header that may still be
// folded and may end its lines in a bare LF.
func contentLength(head []byte) (int, error) {
	found, length := false, 0
	for line := range bytes.Lines(head) {
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || isSpace(line[0]) || identify(trim(name)) != ContentLength {
			continue
		}
		n, ok := number(bytes.TrimSpace(value), 1<<31-1)
		if found || !ok {
			return 0, malformed("Content-Length is repeated or not a number")
		}
		found, length = true, int(n)
	}
	if !found {
		return 0, malformed("a message on a stream needs a Content-Length")
	}
	return length, nil
}

// Pings counts the keep-alives in what Frame skips: a double CRLF asks for a
// CRLF (RFC 5626 §3.5.1). rest, of up to three bytes, may be the beginning of
// one more, and belongs before what is skipped next unless a message follows.
func Pings(skipped []byte) (n int, rest []byte) {
	for {
		i := bytes.Index(skipped, []byte("\r\n\r\n"))
		if i < 0 {
			return n, skipped[max(0, len(skipped)-3):]
		}
		n, skipped = n+1, skipped[i+4:]
	}
}
