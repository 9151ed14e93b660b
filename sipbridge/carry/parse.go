package carry

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// Bounds of the parts that are kept beyond one message, in bytes.
const (
	maxCallID = 256
	maxTag    = 128
	maxTarget = 512
)

// parsed is a message whose fields that tie it to a transaction and a dialog
// have been read. It owns its memory.
type parsed struct {
	message.Message
	req message.Request // of a phone's request, after check

	method         string // of a request, or that of a response's CSeq
	cseq           uint32
	callID         string
	fromTag, toTag string
	branch, sentBy string // of the topmost Via; "" where there is none
}

// read takes a message apart. Both directions and both kinds go through it:
// From, To, Call-ID and CSeq must be there once, and Content-Length,
// Max-Forwards and Content-Type at most once, or two readers would see two
// different messages. With own it copies data first.
func read(data []byte, own bool) (*parsed, error) {
	if own {
		data = bytes.Clone(data)
	}
	p := &parsed{}
	if err := p.Parse(data); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	for _, id := range [...]message.ID{message.From, message.To, message.CallID, message.CSeq} {
		if p.Count(id) != 1 {
			return nil, fmt.Errorf("%w: a field that must stand once", ErrMalformed)
		}
	}
	for _, id := range [...]message.ID{message.MaxForwards, message.ContentLength, message.ContentType} {
		if p.Count(id) > 1 {
			return nil, fmt.Errorf("%w: a field that may stand once is repeated", ErrMalformed)
		}
	}
	if !equalVersion(p.Version) {
		return nil, fmt.Errorf("%w: not SIP/2.0", ErrMalformed)
	}
	p.callID = string(p.Get(message.CallID))
	if p.callID == "" || len(p.callID) > maxCallID || !plain(p.callID) || strings.ContainsAny(p.callID, " \t") {
		return nil, fmt.Errorf("%w: bad Call-ID", ErrMalformed)
	}
	var err error
	if p.fromTag, err = readTag(p.Get(message.From)); err != nil {
		return nil, err
	}
	if p.toTag, err = readTag(p.Get(message.To)); err != nil {
		return nil, err
	}
	if hop, err := p.Top(); err == nil && hop.Fault == nil {
		p.branch, p.sentBy = string(hop.Branch), string(hop.Host)+":"+strconv.Itoa(int(hop.Port))
	}
	return p, p.readCSeq()
}

func equalVersion(v []byte) bool { return strings.EqualFold(string(v), "SIP/2.0") }

func readTag(value []byte) (string, error) {
	a, err := message.ParseAddress(value)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	tag := string(a.Tag())
	if len(tag) > maxTag || !plain(tag) || strings.ContainsAny(tag, ` "<>;,`) {
		return "", fmt.Errorf("%w: bad tag", ErrMalformed)
	}
	return tag, nil
}

// readCSeq reads RFC 3261 §20.16.
func (p *parsed) readCSeq() error {
	number, method, ok := strings.Cut(string(p.Get(message.CSeq)), " ")
	n, err := strconv.ParseUint(number, 10, 31)
	method = strings.Trim(method, " \t")
	if !ok || err != nil || method == "" || len(method) > 32 || p.IsRequest() && method != string(p.Method) {
		return fmt.Errorf("%w: bad CSeq", ErrMalformed)
	}
	p.cseq, p.method = uint32(n), method
	return nil
}

// readWire reads a message that came out of a tunnel. Its sender is another
// adapter and not a phone with habits, so nothing is put right: what had to be
// normalised, has trailing bytes or a control character is refused.
func readWire(data []byte) (*parsed, error) {
	p, err := read(data, true)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p.Raw, data) || !p.Has(message.ContentLength) {
		return nil, fmt.Errorf("%w: not in the form that adapters send", ErrMalformed)
	}
	for i := range p.Fields {
		if !plain(string(p.Fields[i].Value)) {
			return nil, fmt.Errorf("%w: control character", ErrMalformed)
		}
	}
	return p, nil
}

// plain tells whether text has no control characters but tabs.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// reason returns a response's reason phrase, fit for a status line.
func (p *parsed) reason() string {
	line, _, _ := bytes.Cut(p.Raw, []byte("\r\n"))
	parts := bytes.SplitN(line, []byte{' '}, 3)
	if len(parts) < 3 {
		return ""
	}
	return message.Clean(string(parts[2]), 128)
}

// field returns the first value of a field that has no ID.
func (p *parsed) field(name string) string {
	for i := range p.Fields {
		if message.EqualFold(p.Fields[i].Name, name) {
			return string(p.Fields[i].Value)
		}
	}
	return ""
}

// isSDP tells whether the body is a session description.
func (p *parsed) isSDP() bool {
	kind, _, _ := strings.Cut(string(p.Get(message.ContentType)), ";")
	return len(p.Body) > 0 && strings.EqualFold(strings.TrimSpace(kind), "application/sdp")
}

// hops returns Max-Forwards, 70 where there is none (RFC 3261 §16.6).
func (p *parsed) hops() int {
	if !p.Has(message.MaxForwards) {
		return 70
	}
	n, err := strconv.Atoi(string(p.Get(message.MaxForwards)))
	if err != nil || n < 0 {
		return 0
	}
	return min(n, 70)
}
