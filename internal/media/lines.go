package media

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// withoutForeign returns the description with every m= line that pion/sdp does
// not know (T.38 is "m=image 5010 udptl t38") in words that it does, and what
// stood there, by the index of the line. A line that is no m= line stays for
// pion/sdp to refuse.
func withoutForeign(body []byte) (plain []byte, foreign map[int]sdp.MediaName) {
	index, from := 0, 0
	for at := 0; at < len(body); {
		line := body[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		if bytes.HasPrefix(line, []byte("m=")) {
			if name, ok := readMediaName(strings.TrimRight(string(line[2:]), "\r\n")); ok && !known(name) {
				if foreign == nil {
					foreign = map[int]sdp.MediaName{}
				}
				foreign[index] = name
				plain = append(plain, body[from:at]...)
				plain = append(plain, "m=application 0 UDP x\r\n"...)
				from = at + len(line)
			}
			index++
		}
		at += len(line)
	}
	if foreign == nil {
		return body, nil
	}
	return append(plain, body[from:]...), foreign
}

// readMediaName reads what follows "m=" (RFC 8866 §5.14).
func readMediaName(line string) (name sdp.MediaName, ok bool) {
	fields := strings.Split(line, " ")
	if len(fields) < 4 || slices.Contains(fields, "") {
		return name, false
	}
	first, count, ranged := strings.Cut(fields[1], "/")
	port, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return name, false
	}
	name = sdp.MediaName{Media: fields[0], Port: sdp.RangedPort{Value: int(port)}, Protos: strings.Split(fields[2], "/"), Formats: fields[3:]}
	if ranged {
		n, err := strconv.ParseUint(count, 10, 16)
		if err != nil {
			return name, false
		}
		many := int(n)
		name.Port.Range = &many
	}
	return name, true
}

// known tells whether pion/sdp takes the line: of those that it does, only RTP
// matters here.
func known(m sdp.MediaName) bool {
	switch m.Media {
	case "audio", "video", "text", "application":
		return isRTP(m.Protos)
	}
	return false
}
