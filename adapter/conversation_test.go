package adapter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// audio describes a phone's sound with the keys of its dial pad (RFC 4733).
func (p *scriptPhone) audio(more string) string {
	return fmt.Sprintf("v=0\r\no=- %d 1 IN IP4 192.168.77.7\r\ns=-\r\nc=IN IP4 192.168.77.7\r\nt=0 0\r\nm=audio %d RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n%s", p.cseq, p.port(), more)
}

func fax(port int) string { return fmt.Sprintf("m=image %d udptl t38\r\n", port) }

func rtp(payloadType byte, n int) string {
	return "\x80" + string(rune(payloadType)) + fmt.Sprintf("%02d", n) + "\x00\x00\x00\x01\x00\x00\x00\x02" + fmt.Sprintf("packet %d of %d", n, payloadType)
}

// conversation is a protected call of two scripted phones that each name an address which nobody can reach.
type conversation struct {
	t          *testing.T
	alice, bob *scriptPhone
	toA, toB   int // ports of the adapters, for alice and for bob
}

// secret fails the test where a message for one phone names something of the other.
func (c *conversation) secret(msg string, of *scriptPhone) string {
	c.t.Helper()
	for _, word := range []string{"192.168.77.7", of.conn.LocalAddr().String(), fmt.Sprint(" ", of.port(), " ")} {
		if strings.Contains(msg, word) {
			c.t.Errorf("%s's phone is betrayed by %q in\n%s", of.name, word, msg)
		}
	}
	return msg
}

// Everything that phones do in a call passes on the protected path, and neither learns where the other is: video that is
// offered and not taken, early media acknowledged (RFC 3262), keys as packets and as INFO, UPDATE, hold, texts, and fax,
// which is refused while the call goes on.
func TestAProtectedCallPassesWhatPhonesDo(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("require-protected"))
	carries := func(c *adapter.Config) {
		device("require-protected")(c)
		c.SIP.Redirect = sipbridge.RedirectNever
	}
	a, b := l.Add("alice", carries), l.Add("bob", carries)
	c := &conversation{t: t, alice: newScriptPhone(t, a), bob: newScriptPhone(t, b)}
	c.begin()
	c.changes()
	c.faxes()
	c.refused()
	c.sees()
	c.bob.request("BYE", "", "")
	c.alice.answer(c.alice.expect("BYE "), "200 OK", "", "")
	c.bob.expect("SIP/2.0 200")
	c.cancelled()
}

// begin makes the call: its early media are heard before it is answered.
func (c *conversation) begin() {
	t, alice, bob := c.t, c.alice, c.bob
	alice.dial("bob", "Supported: 100rel\r\nP-Asserted-Identity: <sip:boss@lan.example>\r\n", alice.audio(fmt.Sprintf("m=video %d RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", alice.port()+2)))
	invite := c.secret(bob.hear(), alice)
	ports := portsIn(invite)
	if c.toB = ports["audio"]; c.toB == 0 || ports["video"] == 0 || ports["video"] == c.toB || !strings.Contains(invite, "c=IN IP4 127.0.0.1") {
		t.Fatalf("bob's phone is offered\n%s", invite)
	}
	if pai := field(invite, "P-Asserted-Identity"); !strings.HasPrefix(field(invite, "From"), `"alice" <sip:alice@127.0.0.1`) || pai != `"alice" <sip:alice@lan.example>` {
		t.Errorf("bob's phone shows %s, %s", field(invite, "From"), pai)
	}
	bob.answer(invite, "183 Session Progress", "Require: 100rel\r\nRSeq: 5\r\n", bob.audio("m=video 0 RTP/AVP 96\r\n"))
	early := c.secret(alice.expect("SIP/2.0 183"), bob)
	ports = portsIn(early)
	if c.toA = ports["audio"]; c.toA == 0 || ports["video"] != 0 || field(early, "RSeq") != "5" {
		t.Fatalf("alice's phone is answered\n%s", early)
	}
	alice.met(early)
	alice.request("PRACK", "RAck: 5 1 INVITE\r\n", "")
	bob.answer(bob.expect("PRACK "), "200 OK", "", "")
	alice.expect("SIP/2.0 200")
	bob.say(c.toB, rtp(0, 1))
	alice.listens(rtp(0, 1))
	bob.answer(invite, "200 OK", "", bob.audio("m=video 0 RTP/AVP 96\r\n"))
	c.secret(alice.expect("SIP/2.0 200"), bob)
	alice.cseq = 1
	alice.request("ACK", "", "")
	alice.cseq = 2
	bob.expect("ACK ")
	c.talk(2)
}

// talk sends a packet of sound and one of a key each way.
func (c *conversation) talk(n int) {
	c.t.Helper()
	for _, dir := range []struct {
		from, to *scriptPhone
		at       int
	}{{c.alice, c.bob, c.toA}, {c.bob, c.alice, c.toB}} {
		for _, kind := range []byte{0, 101} {
			dir.from.say(dir.at, rtp(kind, n))
			dir.to.listens(rtp(kind, n))
		}
	}
}

// pass sends a request and its answer across, and returns both as they arrived.
func (c *conversation) pass(from, to *scriptPhone, method, fields, body, answer string) (request, response string) {
	c.t.Helper()
	from.request(method, fields, body)
	request = c.secret(to.expect(method+" "), from)
	to.answer(request, "200 OK", "", answer)
	response = c.secret(from.expect("SIP/2.0 200"), to)
	if method == "INVITE" {
		from.request("ACK", "", "")
		to.expect("ACK ")
	}
	return request, response
}

// changes are what people do in a call.
func (c *conversation) changes() {
	t := c.t
	for i, dir := range [][2]*scriptPhone{{c.alice, c.bob}, {c.bob, c.alice}} {
		from, to := dir[0], dir[1]
		for _, method := range []string{"UPDATE", "INVITE"} { // hold, and take up again
			got, answer := c.pass(from, to, method, "", from.audio("a=sendonly\r\n"), to.audio("a=recvonly\r\n"))
			if !strings.Contains(got, "a=sendonly") || !strings.Contains(answer, "a=recvonly") || portsIn(got)["audio"] == 0 {
				t.Errorf("%s is held by\n%s\nanswered\n%s", to.name, got, answer)
			}
			c.pass(from, to, method, "", from.audio("a=sendrecv\r\n"), to.audio("a=sendrecv\r\n"))
		}
		const key = "Signal=5\r\nDuration=160\r\n"
		if got, _ := c.pass(from, to, "INFO", "Content-Type: application/dtmf-relay\r\n", key, ""); !strings.HasSuffix(got, key) || field(got, "Content-Type") != "application/dtmf-relay" {
			t.Errorf("a key arrives as\n%s", got)
		}
		if got, _ := c.pass(from, to, "MESSAGE", "Content-Type: text/plain\r\n", "see you", ""); !strings.HasSuffix(got, "see you") {
			t.Errorf("a text arrives as\n%s", got)
		}
		c.talk(10 + i)
	}
}

// faxes: the whole call cannot become a fax; beside sound a fax is not taken.
func (c *conversation) faxes() {
	t, alice, bob := c.t, c.alice, c.bob
	only := strings.Replace(alice.audio(""), "m=audio", "m=image", 1)
	only = strings.Replace(only, "RTP/AVP 0 101", "udptl t38", 1)
	alice.request("INVITE", "", only)
	refused := alice.expect("SIP/2.0 488")
	if !strings.Contains(field(refused, "Warning"), "image over udptl") {
		t.Errorf("fax is refused with\n%s", refused)
	}
	alice.request("ACK", "", "")
	c.talk(20)
	got, _ := c.pass(alice, bob, "INVITE", "", alice.audio(fax(5000)), bob.audio(fax(0)))
	if ports := portsIn(got); ports["audio"] == 0 || ports["image"] != 0 {
		t.Errorf("fax beside sound arrives as\n%s", got)
	}
	c.talk(21)
}

// refused: a change of the session that the other phone refuses, or agrees to with a description that hides an address,
// leaves everything as it was. Each is heard before it has said a word.
func (c *conversation) refused() {
	t := c.t
	elsewhere := func(p *scriptPhone) string {
		return strings.Replace(p.audio(""), fmt.Sprint("m=audio ", p.port()), "m=audio 9", 1)
	}
	for i, dir := range [][2]*scriptPhone{{c.alice, c.bob}, {c.bob, c.alice}} {
		from, to := dir[0], dir[1]
		confirm := func() { // within the refused INVITE's transaction
			from.n--
			from.request("ACK", "", "")
		}
		hear := func(n int) {
			toward := map[*scriptPhone]int{c.alice: c.toA, c.bob: c.toB}
			for _, way := range [][2]*scriptPhone{{to, from}, {from, to}} {
				way[0].say(toward[way[0]], rtp(0, n))
				way[1].listens(rtp(0, n))
			}
		}
		from.request("INVITE", "", elsewhere(from))
		to.answer(to.expect("INVITE "), "488 Not Acceptable Here", "", "")
		to.expect("ACK ")
		from.expect("SIP/2.0 488")
		confirm()
		hear(30 + i)

		from.request("INVITE", "", elsewhere(from))
		asked := to.expect("INVITE ")
		to.answer(asked, "200 OK", "", to.audio("a=rtcp:53 IN IP4 203.0.113.4\r\n"))
		to.expect("ACK ")
		again := c.secret(to.expect("INVITE "), from)
		if portsIn(again)["audio"] != portsIn(asked)["audio"] || field(again, "CSeq") == field(asked, "CSeq") {
			t.Errorf("%s is put back with\n%s", to.name, again)
		}
		to.answer(again, "200 OK", "", to.audio(""))
		to.expect("ACK ")
		if got := from.expect("SIP/2.0 488"); !strings.Contains(field(got, "Warning"), "a=rtcp leads to another host") {
			t.Errorf("%s is refused with\n%s", from.name, got)
		}
		confirm()
		hear(40 + i)
		c.pass(from, to, "INVITE", "", from.audio(""), to.audio(""))
		hear(50 + i)
	}
}

// sees: video passes where both phones want it.
func (c *conversation) sees() {
	video := func(p *scriptPhone) string {
		return p.audio(fmt.Sprintf("m=video %d RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", p.port()))
	}
	got, answer := c.pass(c.alice, c.bob, "INVITE", "", video(c.alice), video(c.bob))
	toB, toA := portsIn(got)["video"], portsIn(answer)["video"]
	if toB == 0 || toA == 0 || toB == c.toB || toA == c.toA {
		c.t.Fatalf("video is offered as\n%s\nand answered as\n%s", got, answer)
	}
	c.alice.say(toA, rtp(96, 60))
	c.bob.listens(rtp(96, 60))
	c.bob.say(toB, rtp(96, 61))
	c.alice.listens(rtp(96, 61))
}

// cancelled: who gives up stops the ringing.
func (c *conversation) cancelled() {
	alice, bob := c.alice, c.bob
	alice.dial("bob", "", alice.audio(""))
	invite := bob.hear()
	bob.answer(invite, "180 Ringing", "", "")
	alice.expect("SIP/2.0 180")
	alice.n-- // within the INVITE's transaction
	alice.cseq--
	alice.request("CANCEL", "", "")
	bob.answer(bob.expect("CANCEL "), "200 OK", "", "")
	bob.answer(invite, "487 Request Terminated", "", "")
	bob.expect("ACK ")
	alice.expect("SIP/2.0 487")
}
