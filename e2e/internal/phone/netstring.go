package phone

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxNetstring bounds what a control port may send in one piece, in bytes.
const maxNetstring = 1 << 20

var errNetstring = errors.New("malformed netstring")

// appendNetstring frames data as D. J. Bernstein's netstring: "5:hello,".
func appendNetstring(b, data []byte) []byte {
	b = strconv.AppendInt(b, int64(len(data)), 10)
	b = append(b, ':')
	b = append(b, data...)
	return append(b, ',')
}

func readNetstring(r *bufio.Reader) ([]byte, error) {
	head, err := r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
	if err != nil || n < 0 || n > maxNetstring {
		return nil, fmt.Errorf("%w: length %q", errNetstring, head)
	}
	data := make([]byte, n+1)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	if data[n] != ',' {
		return nil, fmt.Errorf("%w: no comma after %d bytes", errNetstring, n)
	}
	return data[:n], nil
}
