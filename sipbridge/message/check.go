package message

import (
	"bytes"
	"errors"
)

// Fault is what is wrong with a request, as the answer it gets. Nil is a
// request that can be handled.
type Fault struct {
	Code   int
	Reason string
	Detail string // for a Warning
	// Unsupported are the option tags that a 420 names (RFC 3261 §8.2.2.3).
	Unsupported []byte
}

// Request is what Check reads on its way.
type Request struct {
	Hop      Hop
	From, To Address
	FromURI  URI
	ToURI    URI
	URI      URI // the Request-URI
	CSeq     uint32
}

// Methods that this program knows, as an Allow header lists them.
const Allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, REFER, NOTIFY, SUBSCRIBE"

// passing are the option tags that concern only the two phones of a call; all
// others in Require are refused. They are registered with IANA.
var passing = [...]string{"100rel", "timer", "replaces", "norefersub", "precondition", "histinfo", "tdialog", "join", "early-session", "nosub", "explicitsub", "multiple-refer", "recipient-list-invite", "answermode", "resource-priority", "from-change"}

// Check validates a request (RFC 3261 §8.2, §16.3): the fields that every
// request has, once each where only one may be; version, scheme and method;
// CSeq against the method; Max-Forwards; Require and Proxy-Require. It fills
// req as far as it comes. Without a usable Via ok is false, and the request
// deserves no answer.
func (m *Message) Check(req *Request) (fault *Fault, ok bool) {
	var err error
	*req = Request{}
	if req.Hop, err = m.Top(); err != nil {
		return nil, false
	}
	// Read before anything is refused: the answer repeats them, with a tag.
	var fromErr, toErr error
	req.From, req.FromURI, fromErr = nameOf(m.Get(From))
	req.To, req.ToURI, toErr = nameOf(m.Get(To))
	if !equalFold(m.Version, "sip/2.0") {
		return &Fault{Code: 505, Reason: "Version Not Supported", Detail: "only SIP/2.0 is spoken here"}, true
	}
	if req.Hop.Fault != nil {
		return bad(req.Hop.Fault), true
	}
	if f := m.single(); f != nil {
		return f, true
	}
	if fromErr != nil {
		return bad(fromErr), true
	}
	if toErr != nil {
		return bad(toErr), true
	}
	if f := m.cseq(req); f != nil {
		return f, true
	}
	if f := m.target(req); f != nil {
		return f, true
	}
	if !known(m.Method) {
		return &Fault{Code: 405, Reason: "Method Not Allowed", Detail: "this method is not supported here"}, true
	}
	return m.extensions(), true
}

func nameOf(value []byte) (Address, URI, error) {
	a, err := ParseAddress(value)
	if err != nil {
		return Address{}, URI{}, err
	}
	if countParam(a.Params, "tag") > 1 {
		return Address{}, URI{}, malformed("From or To has two tags")
	}
	u, err := ParseURI(a.URI)
	if err != nil {
		return Address{}, URI{}, err
	}
	return a, u, nil
}

// Refuse makes the fault of a request that Parse called malformed.
func Refuse(err error) *Fault { return bad(err) }

func bad(err error) *Fault {
	if errors.Is(err, ErrTooLong) {
		return &Fault{Code: 513, Reason: "Message Too Large", Detail: err.Error()}
	}
	return &Fault{Code: 400, Reason: "Bad Request", Detail: err.Error()}
}

// single checks the fields that must be there, and those that may be there
// only once.
func (m *Message) single() *Fault {
	for _, f := range [...]struct {
		id   ID
		name string
	}{{From, "From"}, {To, "To"}, {CallID, "Call-ID"}, {CSeq, "CSeq"}} {
		if len(m.Get(f.id)) == 0 {
			return &Fault{Code: 400, Reason: "Bad Request", Detail: "the request has no " + f.name}
		}
		if m.Count(f.id) > 1 {
			return &Fault{Code: 400, Reason: "Bad Request", Detail: "the request has more than one " + f.name}
		}
	}
	for _, id := range [...]ID{ContentLength, MaxForwards, ContentType, Expires} {
		if m.Count(id) > 1 {
			return &Fault{Code: 400, Reason: "Bad Request", Detail: "a field that may stand once is repeated"}
		}
	}
	if id := m.Get(CallID); bytes.ContainsAny(id, " \t") || len(id) > MaxCallID {
		return &Fault{Code: 400, Reason: "Bad Request", Detail: "the Call-ID has white space or is too long"}
	}
	return nil
}

func (m *Message) cseq(req *Request) *Fault {
	num, method := Halves(m.Get(CSeq))
	n, valid := number(num, 1<<31-1)
	if !valid {
		return &Fault{Code: 400, Reason: "Bad Request", Detail: "CSeq has no valid number"}
	}
	if !bytes.Equal(method, m.Method) {
		return &Fault{Code: 400, Reason: "Bad Request", Detail: "CSeq names another method than the request line"}
	}
	req.CSeq = uint32(n)
	return nil
}

// target checks the Request-URI (RFC 3261 §19.1.1: no headers in it) and
// Max-Forwards.
func (m *Message) target(req *Request) *Fault {
	var err error
	if req.URI, err = ParseURI(m.Target); err != nil {
		return bad(err)
	}
	if !req.URI.IsSIP() {
		return &Fault{Code: 416, Reason: "Unsupported URI Scheme", Detail: "only sip: addresses can be called from here"}
	}
	if len(req.URI.Headers) > 0 {
		return &Fault{Code: 400, Reason: "Bad Request", Detail: "the Request-URI has headers"}
	}
	if !m.Has(MaxForwards) {
		return nil
	}
	n, ok := number(m.Get(MaxForwards), 255)
	if !ok {
		return &Fault{Code: 400, Reason: "Bad Request", Detail: "Max-Forwards is not a number up to 255"}
	}
	if n == 0 && !m.Is("REGISTER") && !m.Is("OPTIONS") && !m.Is("ACK") {
		return &Fault{Code: 483, Reason: "Too Many Hops", Detail: "Max-Forwards is used up"}
	}
	return nil
}

func known(method []byte) bool {
	switch string(method) {
	case "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "MESSAGE", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "SUBSCRIBE":
		return true
	}
	return false
}

// extensions checks Require and Proxy-Require. ACK and CANCEL are exempt
// (RFC 3261 §8.2.2.3).
func (m *Message) extensions() *Fault {
	if !m.Has(Require) && !m.Has(ProxyRequire) || m.Is("ACK") || m.Is("CANCEL") {
		return nil
	}
	var unsupported []byte
	for i := range m.Fields {
		f := &m.Fields[i]
		if f.ID != Require && f.ID != ProxyRequire {
			continue
		}
		for tag := range bytes.SplitSeq(f.Value, []byte{','}) {
			tag = trim(tag)
			if len(tag) == 0 || f.ID == Require && m.passes(tag) {
				continue
			}
			if !isToken(tag) {
				return &Fault{Code: 400, Reason: "Bad Request", Detail: "Require has something that is not an option tag"}
			}
			if len(unsupported) > 0 {
				unsupported = append(unsupported, ", "...)
			}
			if unsupported = append(unsupported, tag...); len(unsupported) > maxUnsupported {
				return badExtension(unsupported[:len(unsupported)-len(tag)])
			}
		}
	}
	if len(unsupported) == 0 {
		return nil
	}
	return badExtension(unsupported)
}

// badExtension is a 420 that names those option tags.
func badExtension(list []byte) *Fault {
	return &Fault{Code: 420, Reason: "Bad Extension", Detail: "the request requires an extension that is not supported here", Unsupported: bytes.TrimSuffix(list, []byte(", "))}
}

// maxUnsupported bounds the list of what is not supported, in bytes: an answer
// is not much longer than its request.
const maxUnsupported = 512

// passes tells whether a required option is the other phone's affair.
func (m *Message) passes(tag []byte) bool {
	if m.Is("REGISTER") || m.Is("OPTIONS") || m.Is("MESSAGE") {
		return false
	}
	for _, p := range passing {
		if equalFold(tag, p) {
			return true
		}
	}
	return false
}
