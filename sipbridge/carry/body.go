package carry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// errBodyType: a body that might name addresses in a form that is not read.
var errBodyType = errors.New("a kind of body that this call path does not pass")

// maxParts bounds the parts of a body (RFC 5621).
const maxParts = 8

// mediaType returns the type of a Content-Type value, in lower case.
func mediaType(value string) string {
	kind, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// rewriteBody passes every session description in a message's body through f.
// strict holds back what f cannot see into: other descriptions of transport
// (RFC 8840), encoded bodies and parts within parts.
func rewriteBody(p *parsed, f func([]byte) ([]byte, error), strict bool) ([]byte, error) {
	kind := string(p.Get(message.ContentType))
	switch t := mediaType(kind); {
	case len(p.Body) == 0:
		return p.Body, nil
	case strict && encoded(p):
		return nil, fmt.Errorf("%w: encoded", errBodyType)
	case t == "application/sdp":
		return f(p.Body)
	case t == "message/sipfrag":
		return statusLine(p.Body), nil
	case strings.HasPrefix(t, "multipart/"):
		return rewriteParts(kind, p.Body, f, strict)
	case strict && (t == "" || strings.Contains(t, "sdp")):
		return nil, fmt.Errorf("%w: %q", errBodyType, message.Clean(t, 64))
	}
	return p.Body, nil
}

// statusLine is what a report on a transfer is about (RFC 3515 §2.4.5). Phones
// may put more of the answer that they got into it, with addresses.
func statusLine(body []byte) []byte {
	line, _, _ := bytes.Cut(body, []byte("\n"))
	return append(bytes.TrimRight(bytes.Clone(line), "\r"), "\r\n"...)
}

// encoded tells whether the body is compressed or the like (RFC 3261 §20.12).
func encoded(p *parsed) bool {
	for _, name := range []string{"Content-Encoding", "e"} {
		if v := strings.TrimSpace(p.field(name)); v != "" && !strings.EqualFold(v, "identity") {
			return true
		}
	}
	return false
}

// rewriteParts does the same within a multipart body (RFC 2046 §5.1).
func rewriteParts(kind string, body []byte, f func([]byte) ([]byte, error), strict bool) ([]byte, error) {
	_, params, err := mime.ParseMediaType(kind)
	if err != nil || params["boundary"] == "" {
		return nil, fmt.Errorf("%w: multipart without a boundary", ErrMalformed)
	}
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	if err := w.SetBoundary(params["boundary"]); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	described := false
	for n := 0; ; n++ {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || n == maxParts {
			return nil, fmt.Errorf("%w: multipart body", ErrMalformed)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
		}
		t := mediaType(part.Header.Get("Content-Type"))
		transfer := part.Header.Get("Content-Transfer-Encoding") + part.Header.Get("Content-Encoding")
		switch {
		case strict && (strings.HasPrefix(t, "multipart/") || t != "application/sdp" && strings.Contains(t, "sdp") || isCoded(transfer)):
			return nil, fmt.Errorf("%w: a part of type %q", errBodyType, message.Clean(t, 64))
		case t == "application/sdp" && described:
			return nil, fmt.Errorf("%w: a second description beside the first", media.ErrHidden)
		case t == "application/sdp":
			described = true
			if data, err = f(data); err != nil {
				return nil, err
			}
			part.Header.Del("Content-Length")
		case t == "message/sipfrag":
			data = statusLine(data)
			part.Header.Del("Content-Length")
		}
		to, err := w.CreatePart(part.Header)
		if err == nil {
			_, err = to.Write(data)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return out.Bytes(), nil
}

// isCoded tells whether a part is not as it stands there (RFC 2045 §6).
func isCoded(transfer string) bool {
	switch strings.ToLower(strings.TrimSpace(transfer)) {
	case "", "7bit", "8bit", "binary", "identity":
		return false
	}
	return true
}
