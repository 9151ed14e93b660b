package phone

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Message is one SIP message out of a phone's log.
type Message struct {
	Sent    bool   // by the phone; otherwise received
	Method  string // of the request, or of the request that this answers
	URI     string // the Request-URI; empty for a response
	Status  int    // 0 for a request
	Reason  string
	Lines   []string // the header lines as they stood
	Content string
}

// Header gives the first header of that name, which is compared without regard to case; empty if there is none.
func (m Message) Header(name string) string {
	for _, l := range m.Lines {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

var (
	requestLine = regexp.MustCompile(`^([A-Z]+) (sips?:\S+) SIP/2\.0$`)
	statusLine  = regexp.MustCompile(`^SIP/2\.0 (\d{3}) ?(.*)$`)
	// What stands before a message: baresip "UDP 10.0.0.2:5062 -> 10.0.0.1:5060", linphonec "channel [0x…]: message sent to …".
	arrow = regexp.MustCompile(`^(?:UDP|TCP|TLS) (\S+) -> \S+$`)
)

// parseTrace finds the SIP messages in a log. Own lists the addresses of the phone, "10.0.0.2:5062", by which baresip's
// arrows are told apart.
func parseTrace(lines []string, own ...string) []Message {
	var out []Message
	sent := false
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.Contains(line, ": message sent to ["):
			sent = true
			continue
		case strings.Contains(line, "new bytes from ["):
			sent = false
			continue
		}
		if m := arrow.FindStringSubmatch(line); m != nil {
			sent = slices.Contains(own, m[1])
			continue
		}
		msg := Message{Sent: sent}
		if m := requestLine.FindStringSubmatch(line); m != nil {
			msg.Method, msg.URI = m[1], m[2]
		} else if m := statusLine.FindStringSubmatch(line); m != nil {
			msg.Status, _ = strconv.Atoi(m[1])
			msg.Reason = m[2]
		} else {
			continue
		}
		for i++; i < len(lines) && lines[i] != ""; i++ {
			msg.Lines = append(msg.Lines, lines[i])
		}
		if msg.Status != 0 {
			_, msg.Method, _ = strings.Cut(msg.Header("CSeq"), " ")
		}
		if n, _ := strconv.Atoi(msg.Header("Content-Length")); n > 0 && i+1 < len(lines) {
			msg.Content = lines[i+1]
		}
		out = append(out, msg)
	}
	return out
}
