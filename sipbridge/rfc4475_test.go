package sipbridge

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// torture is one row of testdata/rfc4475.txt.
type torture struct {
	name, transport, outcome string
	data                     []byte
}

// tortures reads the table: each message over each transport, once.
func tortures(t testing.TB) (rows []torture) {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc4475.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 5 || strings.HasPrefix(line, "#") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		transports := []string{cells[1]}
		if cells[1] == "both" {
			transports = []string{"udp", "tcp"}
		}
		for _, tr := range transports {
			rows = append(rows, torture{cells[0], tr, cells[2], tortureMessage(t, cells[0])})
		}
	}
	return rows
}

func tortureMessage(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("message/testdata/rfc4475/" + name + ".dat")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Every message of RFC 4475, over UDP and TCP, has the outcome that the RFC
// demands; each answer is well-formed and answers that message.
func TestRFC4475(t *testing.T) {
	r := start(t, &hub{call: bob, accounts: "caller user j.user watson null-"}, func(c *Config) {
		c.Overlay, c.HostName = "example.com", "example.net"
	})
	all, err := filepath.Glob("message/testdata/rfc4475/*.dat")
	rows := tortures(t)
	if err != nil || len(all) != 50 || len(rows) != 2*len(all) {
		t.Fatalf("%d messages and %d rows, not two for each: %v", len(all), len(rows), err)
	}
	seen := map[string]bool{}
	for i, row := range rows {
		if id := row.name + " over " + row.transport; seen[id] {
			t.Errorf("%s is there twice", id)
		} else {
			seen[id] = true
		}
		t.Run(row.name+"/"+row.transport, func(t *testing.T) {
			r.torture(t, row, byte(i+1))
		})
	}
}

func (r *rig) torture(t *testing.T, row torture, host byte) {
	var out string
	var answers []*reply
	if row.transport == "udp" {
		answers = r.tortureUDP(t, row.data, host)
		out = outcome(answers)
	} else {
		answers, out = r.tortureTCP(t, row)
	}
	if out != row.outcome {
		t.Errorf("%s, want %s\n%v", out, row.outcome, answers)
	}
	for i, a := range answers {
		checkTorture(t, row, a, i)
	}
}

// outcome writes down what came, as the table does.
func outcome(answers []*reply) string {
	var out []string
	for _, a := range answers {
		out = append(out, strconv.Itoa(a.Status))
	}
	if len(out) == 0 {
		return "silence"
	}
	return strings.Join(out, " ")
}

// tortureUDP sends a message from an address of its own, at the port where its
// Via wants the answer, and returns the answers to it.
func (r *rig) tortureUDP(t *testing.T, data []byte, host byte) (out []*reply) {
	t.Helper()
	port := uint16(5060)
	var m message.Message
	m.Parse(data)
	if hop, err := m.Top(); err == nil && hop.Port != 0 {
		port = hop.Port
	}
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 44, 75, host}), port)
	c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(local), net.UDPAddrFromAddrPort(r.udp))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := &phone{t: t, c: c, to: r.udp, user: "marker"}
	return r.answersTo(p, string(data))
}

// answersTo sends a datagram and returns all that comes before the front has
// nothing more to do with it. OPTIONS behind it, the second when what the
// first found in progress is over, tell that all has come.
func (r *rig) answersTo(p *phone, data string) (out []*reply) {
	p.t.Helper()
	p.send(data)
	user := p.user
	p.user = "marker"
	defer func() { p.user = user }()
	for range 2 {
		p.send(p.request("OPTIONS", "bob"))
		for {
			a := p.recv()
			if strings.HasPrefix(a.field("Call-ID"), "marker-") {
				break
			}
			out = append(out, a)
		}
		eventually(p.t, "the front is done", r.settled)
	}
	return out
}

// tortureTCP sends a message over a connection of its own. Where more of it is
// wanted it sends that, and then an OPTIONS.
func (r *rig) tortureTCP(t *testing.T, row torture) (out []*reply, what string) {
	t.Helper()
	p := r.phone(t, "tcp", "caller")
	data, excess, want := row.data, 0, row.outcome
	if row.name == "dblreq" {
		excess = 5 // behind the last Content-Length
	}
	p.send(string(data[:len(data)-excess]))
	if want == "wait" {
		rest := "\r\n"
		if i := bytes.Index(data, []byte("\r\n\r\n")); i >= 0 {
			rest = strings.Repeat("x", 9999-(len(data)-i-4))
		}
		eventually(t, "all has been read", func() bool { return r.Stats().Conns > 0 })
		p.silence()
		p.send(rest)
		if a := p.recv(); a.Status >= 200 {
			return nil, "wait"
		}
		return nil, "no answer to the whole"
	}
	answers := len(strings.Fields(strings.NewReplacer("silence", "", "close", "").Replace(want)))
	for range answers {
		out = append(out, p.recv())
	}
	what = outcome(out)
	if !strings.HasSuffix(want, "close") {
		if a := p.ask(p.request("OPTIONS", "user")); !strings.HasPrefix(a.field("Call-ID"), "caller-") {
			out = append(out, a)
			what = outcome(out)
		}
		return out, what
	}
	p.send(string(data[len(data)-excess:]))
	p.c.SetReadDeadline(time.Now().Add(patience))
	if _, err := p.r.ReadByte(); err != nil && !strings.Contains(err.Error(), "timeout") {
		what = strings.TrimPrefix(what+" close", "silence ")
	}
	return out, what
}

// checkTorture holds an answer to RFC 3261 §8.2.6.2: it repeats what identifies
// its request, with a tag in To, and says what its status owes.
func checkTorture(t *testing.T, row torture, a *reply, n int) {
	t.Helper()
	var in message.Message
	in.Parse(row.data)
	if n > 0 { // of dblreq, the second request
		_, length, _ := message.Frame(row.data, MaxMessage)
		in.Parse(row.data[length:])
	}
	var problems []string
	for _, id := range []message.ID{message.CallID, message.CSeq, message.From} {
		if !bytes.Equal(in.Get(id), a.Get(id)) {
			problems = append(problems, fmt.Sprintf("%q became %q", in.Get(id), a.Get(id)))
		}
	}
	if in.Count(message.Via) != a.Count(message.Via) || !bytes.Contains(a.Get(message.Via), []byte("received=127.")) && row.name != "mpart01" {
		problems = append(problems, "Via")
	}
	to, err := message.ParseAddress(a.Get(message.To))
	if err == nil {
		_, err = message.ParseURI(to.URI)
	}
	if err == nil && len(to.Tag()) == 0 {
		problems = append(problems, "no To tag")
	}
	for status, field := range map[int]string{405: "Allow", 420: "Unsupported", 302: "Contact", 200: "Call-ID"} {
		if a.Status == status && a.field(field) == "" {
			problems = append(problems, "no "+field)
		}
	}
	if a.Status >= 400 && a.field("Warning") == "" && a.Status != 405 {
		problems = append(problems, "no Warning")
	}
	if len(problems) > 0 {
		t.Errorf("%s over %s: %s\n%s", row.name, row.transport, strings.Join(problems, "; "), a)
	}
}

// What the hub and the next phone get of the messages that are valid is what
// they mean, escapes included, and no more.
func TestRFC4475Meaning(t *testing.T) {
	r := start(t, &hub{call: bob, accounts: "caller user j.user watson null- UserA"}, func(c *Config) {
		c.Overlay, c.HostName = "example.com", "example.net"
	})
	p := r.phone(t, "tcp", "caller")
	ask := func(name string, change ...string) *reply {
		return p.ask(strings.NewReplacer(change...).Replace(string(tortureMessage(t, name))))
	}
	if a := ask("esc01", "I%20have%20spaces", "caller"); a.Status != 302 {
		t.Errorf("%s", a)
	}
	if c, _ := last(r.hub, calls); c.Target != "sips:user@example.com" {
		t.Errorf("called %q", c.Target)
	}
	for name, want := range map[string]string{
		"cparam01": "<sip:+19725552222@gw1.example.net>;expires=3600",
		"cparam02": "<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600",
		"regescrt": "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600",
	} {
		if a := ask(name); a.Status != 200 || a.field("Contact") != want {
			t.Errorf("%s: %s", name, a)
		}
	}
	v := r.Bindings(aor("user"))
	if len(v) != 1 || v[0].target() != "sip:user@example.com" {
		t.Errorf("a phone's headers get into requests: %+v", v)
	}
	if a := ask("bext01"); a.field("Unsupported") != "nothingSupportsThis, nothingSupportsThisEither, noProxiesSupportThis, norDoAnyProxiesSupportThis" {
		t.Errorf("%s", a)
	}
	// RFC 2543: no branch cookie, no tag, no Contact, no Max-Forwards.
	if a := ask("inv2543", "+13035551111@ift.client.example.net;user=phone", "UserA@example.com", "Content-Type: application/sdp", "Content-Length: 105"); a.Status != 302 {
		t.Errorf("%s", a)
	}
}
