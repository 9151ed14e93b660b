package sipbridge

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const lanPhone = "192.0.2.55:5062"

// guarded is a rig on which alice and bob have passwords; what a test sends
// comes from a LAN address, though nothing leaves the program.
type guarded struct {
	*rig
	*phone
	clock *clock
	t     *testing.T
}

func newGuarded(t *testing.T, change func(*Config)) *guarded {
	c := newClock()
	r := start(t, &hub{call: bob}, func(cfg *Config) {
		cfg.Digest = map[string]string{"alice": "wonder", "bob": "build"}
		cfg.Now = c.now
		if change != nil {
			change(cfg)
		}
	})
	return &guarded{r, r.phone(t, "tcp", "alice"), c, t}
}

// exchange hands one request over and returns its one answer.
func (g *guarded) exchange(msg, source string) *reply {
	g.t.Helper()
	out := g.answers(g.t, []byte(msg), source)
	if len(out) != 1 {
		g.t.Fatalf("%d answers to\n%s", len(out), msg)
	}
	m := &reply{}
	if err := m.Parse(out[0]); err != nil {
		g.t.Fatal(err)
	}
	return m
}

// challenge is what a WWW-Authenticate says.
func challenges(m *reply) []map[string]string {
	var out []map[string]string
	for _, v := range m.fields("WWW-Authenticate") {
		c := map[string]string{}
		for part := range strings.SplitSeq(strings.TrimPrefix(v, "Digest "), ", ") {
			name, value, _ := strings.Cut(part, "=")
			c[name] = strings.Trim(value, `"`)
		}
		out = append(out, c)
	}
	return out
}

// answer computes credentials as a phone does (RFC 7616 §3.4).
func answer(c map[string]string, method, uri, user, password string, nc int) string {
	hashed := func(s string) string {
		var h hash.Hash = md5.New()
		if c["algorithm"] == "SHA-256" {
			h = sha256.New()
		}
		h.Write([]byte(s))
		return hex.EncodeToString(h.Sum(nil))
	}
	count := fmt.Sprintf("%08x", nc)
	response := hashed(hashed(user+":"+c["realm"]+":"+password) + ":" + c["nonce"] + ":" + count + ":cn:auth:" + hashed(method+":"+uri))
	return fmt.Sprintf(`Authorization: Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=%s, cnonce="cn", qop=auth, nc=%s`,
		user, c["realm"], c["nonce"], uri, response, c["algorithm"], count)
}

func TestDigest(t *testing.T) {
	for _, sha := range []bool{false, true} {
		t.Run(fmt.Sprint("sha256=", sha), func(t *testing.T) {
			g := newGuarded(t, func(c *Config) { c.SHA256 = sha })
			uri := "sip:lan.example"
			register := func(lines ...string) *reply {
				t.Helper()
				return g.exchange(g.request("REGISTER", uri, append([]string{"To: <sip:alice@lan.example>"}, lines...)...), lanPhone)
			}
			m := register()
			cs := challenges(m)
			if m.Status != 401 || len(cs) != map[bool]int{false: 1, true: 2}[sha] || cs[0]["algorithm"] != "MD5" || cs[0]["qop"] != "auth" || cs[0]["realm"] != "lan.example" {
				t.Fatalf("%s", m)
			}
			for i, c := range cs {
				nc := 2*i + 1
				if m := register(answer(c, "REGISTER", uri, "alice", "wonder", nc)); m.Status != 200 {
					t.Fatalf("%v: %s", c, m)
				}
				if m := register(answer(c, "REGISTER", uri, "alice", "wonder", nc)); m.Status != 401 || challenges(m)[0]["stale"] != "true" {
					t.Errorf("replayed: %s", m)
				}
				if m := register(answer(c, "REGISTER", uri, "alice", "wonder", nc+1)); m.Status != 200 {
					t.Errorf("next count: %s", m)
				}
			}
			c := cs[len(cs)-1]
			good := answer(c, "REGISTER", uri, "alice", "wonder", 50)
			for name, line := range map[string]string{
				"password":       answer(c, "REGISTER", uri, "alice", "wander", 50),
				"method":         answer(c, "INVITE", uri, "alice", "wonder", 50),
				"uri":            answer(c, "REGISTER", "sip:elsewhere", "alice", "wonder", 50),
				"user":           answer(c, "REGISTER", uri, "bob", "build", 50),
				"unknown user":   answer(c, "REGISTER", uri, "mallory", "", 50),
				"no qop":         strings.Replace(good, "qop=auth", "x=y", 1),
				"realm":          strings.Replace(good, `realm="lan`, `realm="wan`, 1),
				"algorithm":      strings.Replace(good, "algorithm=", "algorithm=SHA-512-256 x=", 1),
				"twice the same": good + `, nc=00000050`,
				"open quote":     strings.Replace(good, `cnonce="cn"`, `cnonce="cn`, 1),
				"basic":          "Authorization: Basic YWxpY2U6d29uZGVy",
				"nc 0":           answer(c, "REGISTER", uri, "alice", "wonder", 0),
			} {
				if m := register(line); m.Status != 401 {
					t.Errorf("%s: %s", name, m)
				}
			}
			if m := register(good); m.Status != 200 {
				t.Errorf("after all that: %s", m)
			}
			if m := g.exchange(g.request("REGISTER", uri, "To: <sip:alice@lan.example>", answer(c, "REGISTER", uri, "alice", "wonder", 60)), "192.0.2.56:5062"); m.Status != 401 {
				t.Errorf("the nonce of another address: %s", m)
			}
			g.clock.add(nonceFor + time.Second)
			if m := register(answer(c, "REGISTER", uri, "alice", "wonder", 61)); m.Status != 401 || challenges(m)[0]["stale"] != "true" {
				t.Errorf("old nonce: %s", m)
			}
		})
	}
}

// Everything that asks for something needs the caller's password; OPTIONS and
// what belongs to calls does not.
func TestDigestGuards(t *testing.T) {
	g := newGuarded(t, nil)
	for _, method := range []string{"INVITE", "MESSAGE"} {
		uri := "sip:bob@lan.example"
		m := g.exchange(g.request(method, uri), lanPhone)
		if m.Status != 401 {
			t.Fatalf("%s: %s", method, m)
		}
		c := challenges(m)[0]
		if m := g.exchange(g.request(method, uri, answer(c, method, uri, "bob", "build", 1)), lanPhone); m.Status != 401 {
			t.Errorf("%s in another's name: %s", method, m)
		}
		if m := g.exchange(g.request(method, uri, answer(c, method, uri, "alice", "wonder", 1)), lanPhone); m.Status != 302 && m.Status != 200 {
			t.Errorf("%s: %s", method, m)
		}
	}
	if m := g.exchange(g.request("OPTIONS", "sip:lan.example"), lanPhone); m.Status != 200 {
		t.Errorf("%s", m)
	}
	if m := g.exchange(g.request("INVITE", "sip:bob@lan.example", "From: <sip:carol@lan.example>;tag=1"), lanPhone); m.Status != 401 {
		t.Errorf("an account without a password: %s", m)
	}
	// The challenged attempt has not used the target up.
	if m := g.exchange(g.request("INVITE", "sip:bob@127.0.0.1"), "127.0.0.1:5062"); m.Status != 302 {
		t.Errorf("loopback: %s", m)
	}
}

// A phone may use the account's number for its name; who has no account is
// not told so.
func TestDigestNames(t *testing.T) {
	g := newGuarded(t, nil)
	g.hub.numbers = map[string]string{"101": "alice"}
	uri, to := "sip:lan.example", "To: <sip:101@lan.example>"
	c := challenges(g.exchange(g.request("REGISTER", uri, to), lanPhone))[0]
	if m := g.exchange(g.request("REGISTER", uri, to, answer(c, "REGISTER", uri, "101", "wonder", 1)), lanPhone); m.Status != 200 {
		t.Errorf("%s", m)
	}
	if len(g.Bindings(aor("alice"))) != 1 {
		t.Error("not alice's")
	}
	if m := g.exchange(g.request("REGISTER", uri, "To: <sip:mallory@lan.example>"), lanPhone); m.Status != 401 {
		t.Errorf("%s", m)
	}
}

func TestDigestTokenSurvivesChallenge(t *testing.T) {
	g := newGuarded(t, nil)
	g.hub.answer(carriedBob)
	uri := "sip:bob@lan.example"
	c := challenges(g.exchange(g.request("INVITE", uri), lanPhone))[0]
	m := g.exchange(g.request("INVITE", uri, answer(c, "INVITE", uri, "alice", "wonder", 1)), lanPhone)
	target, _, _ := strings.Cut(strings.TrimPrefix(m.field("Contact"), "<"), ">")
	if m := g.exchange(g.request("INVITE", target, "Call-ID: f"), lanPhone); m.Status != 401 {
		t.Fatalf("%s", m)
	}
	g.answers(t, []byte(g.request("INVITE", target, "Call-ID: f", answer(c, "INVITE", target, "alice", "wonder", 2))), lanPhone)
	if n := len(g.rig.engine.carried()); n != 1 {
		t.Errorf("%d calls are carried", n)
	}
}

func TestGuessingIsSlowed(t *testing.T) {
	g := newGuarded(t, nil)
	uri := "sip:lan.example"
	to := "To: <sip:alice@lan.example>"
	c := challenges(g.exchange(g.request("REGISTER", uri, to), lanPhone))[0]
	for i := range missesMax {
		if m := g.exchange(g.request("REGISTER", uri, to, answer(c, "REGISTER", uri, "alice", fmt.Sprint("guess", i), i+1)), lanPhone); m.Status != 401 {
			t.Fatalf("guess %d: %s", i, m)
		}
	}
	if m := g.exchange(g.request("REGISTER", uri, to, answer(c, "REGISTER", uri, "alice", "wonder", 99)), lanPhone); m.Status != 503 || m.field("Retry-After") == "" {
		t.Errorf("%s", m)
	}
	if m := g.exchange(g.request("REGISTER", uri, to), "192.0.2.99:1"); m.Status != 401 {
		t.Errorf("another address: %s", m)
	}
	if g.refused.of(RefusedGuessing) != 1 || g.refused.of(RefusedCredentials) < missesMax {
		t.Errorf("%v", g.refused.m)
	}
}

// What is kept of nonces is bounded; one that had to be forgotten cannot be
// used again.
func TestNoncesAreBounded(t *testing.T) {
	c := newClock()
	d := newDigest(&Config{Overlay: "lan.example", Now: c.now})
	source := netip.MustParseAddr("192.0.2.1")
	use := func(nonce, nc string) (stale, ok bool) { return d.use(&credentials{nonce: nonce, nc: nc}, source) }
	first := d.nonce(source)
	if _, ok := use(first, "00000001"); !ok {
		t.Fatal("a new nonce is refused")
	}
	for range noncesMax {
		c.add(time.Millisecond)
		use(d.nonce(source), "00000001")
	}
	if len(d.used) > noncesMax || len(d.order) > noncesMax {
		t.Errorf("%d nonces are kept", len(d.used))
	}
	if stale, ok := use(first, "00000001"); ok || !stale {
		t.Error("a forgotten nonce was replayed")
	}
	c.add(nonceFor + 2*time.Second)
	d.expire()
	if len(d.used) != 0 {
		t.Errorf("%d nonces are left", len(d.used))
	}
}

func TestNonceCounts(t *testing.T) {
	var u nonceUse
	for i, c := range []struct {
		n  uint32
		ok bool
	}{{1, true}, {1, false}, {3, true}, {2, true}, {2, false}, {100, true}, {36, false}, {37, true}, {37, false}, {99, true}, {1, false}, {1 << 31, true}, {100, false}} {
		if got := u.see(c.n); got != c.ok {
			t.Errorf("step %d: %d is %v", i, c.n, got)
		}
	}
}

// Credentials come from strangers: whatever they are, reading them neither
// panics nor takes a value that is not in the text.
func FuzzCredentials(f *testing.F) {
	f.Add(`Digest username="a\"b", realm="r", nonce=n, uri="sip:x", response="00", algorithm=MD5, cnonce="c", qop=auth, nc=00000001`)
	f.Add(`Digest a=b,,c="d`)
	f.Add(`Digest =`)
	f.Fuzz(func(t *testing.T, v string) {
		c := parseCredentials([]byte(v))
		if c == nil {
			return
		}
		for _, s := range []string{c.username, c.realm, c.nonce, c.uri, c.response, c.algorithm, c.cnonce, c.qop, c.nc} {
			if len(s) > len(v) || !strings.Contains(strings.ReplaceAll(v, `\`, ""), strings.ReplaceAll(s, `\`, "")) {
				t.Fatalf("%q from %q", s, v)
			}
		}
	})
}

// From a LAN address nobody is admitted where no account has a password.
func TestStrangersAreDropped(t *testing.T) {
	r := start(t, &hub{call: bob}, nil)
	for addr, want := range map[string]bool{
		"127.0.0.1:5062": true, "127.9.9.9:1": true, "[::1]:5062": true, "192.0.2.5:5062": false, "[2001:db8::1]:5062": false,
		"127.0.0.1:0": false, "0.0.0.0:5062": false, r.udp.String(): false,
	} {
		if got := r.admits(carryFlow("udp", netip.MustParseAddrPort(addr), r.udp)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	g := newGuarded(t, nil)
	for addr, want := range map[string]bool{lanPhone: true, "0.0.0.0:5062": false, "224.0.0.1:5060": false, "192.0.2.5:0": false} {
		if got := g.admits(carryFlow("udp", netip.MustParseAddrPort(addr), g.rig.udp)); got != want {
			t.Errorf("guarded, %s: %v", addr, got)
		}
	}
}
