package sipbridge

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" // #nosec G501 -- RFC 3261 §22 demands it
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// digest checks passwords as RFC 7616 and RFC 8760 say. A nonce holds its own
// time and a MAC over that, random bytes and the source's address, so that
// nothing is kept for who only asks:
//
//	int64 unix ms | 8 random bytes | 16 bytes of HMAC-SHA-256     base64url
//
// A nonce that was used well is kept with its nonce counts until it expires;
// when there are too many, everything older than the one forgotten is stale.
type digest struct {
	cfg   *Config
	realm string
	key   [32]byte

	mu     sync.Mutex
	used   map[string]*nonceUse
	order  []string           // keys of used, oldest first
	floor  int64              // nonces made at or before this are stale
	misses map[netip.Addr]int // wrong passwords in this minute
	minute time.Time
}

// nonceUse is which counts of a nonce have been seen: the highest, and a
// window of 64 below it, since requests may overtake each other.
type nonceUse struct {
	made   int64
	top    uint32
	window uint64
}

const (
	nonceFor    = 5 * time.Minute
	noncesMax   = 4096
	missesMax   = 20   // wrong passwords from one address in a minute
	missSources = 4096 // addresses that are counted
)

func newDigest(cfg *Config) *digest {
	d := &digest{cfg: cfg, realm: cfg.Overlay, used: make(map[string]*nonceUse), misses: make(map[netip.Addr]int)}
	rand.Read(d.key[:])
	return d
}

// account finds out which account of this adapter a phone claims, and whether
// it may. If it refuses, it has
// answered. From outside, a name without an account is challenged like any
// other: nobody can find out which names are served.
func (w *worker) account(from *origin, user string) (identity.AOR, bool) {
	aor, err := w.b.cfg.Directory.Account(user)
	password := ""
	if err == nil {
		password = orElse(w.b.cfg.password(user), w.b.cfg.password(aor.User())) // user may be its number
	}
	w.proved = false
	if !w.authorised(from, user, password, aor) {
		return identity.AOR{}, false
	}
	if err != nil {
		w.b.refused(RefusedAccount)
		w.refuse(from, asRefusal(err))
		return identity.AOR{}, false
	}
	if from.conn != nil {
		from.conn.trusted.Store(true)
	}
	return aor, true
}

// authorised checks who sends the request at hand: from outside, or where it is
// wanted on this host too, by password; on this host else by the user who
// owns the phone's socket, or by password. If it refuses, it answers by itself
// and reports false. w.proved tells whether a password was given.
func (w *worker) authorised(from *origin, user, password string, aor identity.AOR) bool {
	source := from.flow.Remote.Addr()
	if here := w.b.hosts.isHere(from.flow); here && !w.b.cfg.LocalDigest {
		if w.b.owners.may(aor, from.flow) {
			return true
		}
		w.b.refused(RefusedOwner)
		if password == "" {
			w.refuse(from, otherUser())
			return false
		}
	}
	d := w.b.digest
	if d.guessing(source) {
		w.b.refused(RefusedGuessing)
		w.refuse(from, Overloaded("too many wrong passwords from this address", time.Minute))
		return false
	}
	c, stale, ok := d.check(w, source, user, password)
	if ok {
		w.proved = true
		if from.conn != nil {
			from.conn.kept.Store(true)
		}
		return true
	}
	w.b.refused(RefusedCredentials)
	if c != nil && !stale {
		d.miss(source)
	}
	w.begin(401, "Unauthorized", from)
	nonce := d.nonce(source)
	for _, a := range d.algorithms() {
		w.line("WWW-Authenticate: ", `Digest realm="`+d.realm+`", nonce="`+nonce+`", algorithm=`+a+`, qop="auth"`+staleParam(stale))
	}
	w.send(from)
	return false
}

func staleParam(stale bool) string {
	if stale {
		return ", stale=true"
	}
	return ""
}

// algorithms are those offered, in the order in which phones meet them: some
// read the first challenge only.
func (d *digest) algorithms() []string {
	if d.cfg.SHA256 {
		return []string{"MD5", "SHA-256"}
	}
	return []string{"MD5"}
}

// check looks for credentials of ours in the request. c is nil if there are
// none; stale means that only the nonce is too old.
func (d *digest) check(w *worker, source netip.Addr, user, password string) (c *credentials, stale, ok bool) {
	for i := range w.msg.Fields {
		f := &w.msg.Fields[i]
		if f.ID != message.Authorization && f.ID != message.ProxyAuthorization {
			continue
		}
		if c = parseCredentials(f.Value); c == nil || c.realm != d.realm {
			c = nil
			continue
		}
		if c.username != user || !sameURI(c.uri, w.msg.Target) || !d.matches(c, w.msg.Method, password) {
			return c, false, false
		}
		stale, ok = d.use(c, source)
		return c, stale, ok
	}
	return nil, false, false
}

// sameURI tells whether the URI that was signed is that of the request line,
// however it is written.
func sameURI(signed string, target []byte) bool {
	if signed == string(target) {
		return true
	}
	a, err1 := message.ParseURI([]byte(signed))
	b, err2 := message.ParseURI(target)
	return err1 == nil && err2 == nil && a.Canonical() == b.Canonical()
}

// matches computes the response (RFC 7616 §3.4.1) and compares. Only
// qop=auth will do.
func (d *digest) matches(c *credentials, method []byte, password string) bool {
	var h hash.Hash
	switch {
	case message.EqualFold(c.algorithm, "MD5") || c.algorithm == "":
		h = md5.New() // #nosec G401 -- RFC 3261 §22 demands MD5 of digest access; phones know no other
	case message.EqualFold(c.algorithm, "SHA-256") && d.cfg.SHA256:
		h = sha256.New()
	default:
		return false
	}
	if password == "" || c.qop != "auth" {
		return false
	}
	hashed := func(parts ...string) string {
		h.Reset()
		for i, p := range parts {
			if i > 0 {
				h.Write([]byte{':'})
			}
			h.Write([]byte(p))
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	a1 := hashed(c.username, d.realm, password)
	want := hashed(a1, c.nonce, c.nc, c.cnonce, c.qop, hashed(string(method), c.uri))
	got := bytes.ToLower([]byte(c.response))
	return subtle.ConstantTimeCompare([]byte(want), got) == 1
}

// nonce makes a new nonce for a source.
func (d *digest) nonce(source netip.Addr) string {
	var b [32]byte
	binary.BigEndian.PutUint64(b[:], uint64(d.cfg.Now().UnixMilli()))
	rand.Read(b[8:16])
	copy(b[16:], d.mac(b[:16], source))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (d *digest) mac(b []byte, source netip.Addr) []byte {
	h := hmac.New(sha256.New, d.key[:])
	h.Write(b)
	ip := source.As16()
	h.Write(ip[:])
	return h.Sum(nil)[:16]
}

// use accepts each count of a nonce once.
func (d *digest) use(c *credentials, source netip.Addr) (stale, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(c.nonce)
	if err != nil || len(raw) != 32 || !hmac.Equal(raw[16:], d.mac(raw[:16], source)) {
		return true, false // from before a restart, perhaps
	}
	nc, err := strconv.ParseUint(c.nc, 16, 32)
	if err != nil || nc == 0 {
		return false, false
	}
	made := int64(binary.BigEndian.Uint64(raw))
	now := d.cfg.Now().UnixMilli()
	d.mu.Lock()
	defer d.mu.Unlock()
	if now-made > nonceFor.Milliseconds() || made > now+1000 {
		return true, false
	}
	u := d.used[c.nonce]
	if u == nil {
		if made <= d.floor {
			return true, false
		}
		u = d.keepLocked(c.nonce, made)
	}
	// A count seen before is a replay, or a repetition whose first copy was
	// answered and forgotten: a new nonce serves both.
	return true, u.see(uint32(nc))
}

func (d *digest) keepLocked(nonce string, made int64) *nonceUse {
	if len(d.order) >= noncesMax {
		d.forgetLocked()
	}
	u := &nonceUse{made: made}
	d.used[nonce] = u
	d.order = append(d.order, nonce)
	return u
}

func (d *digest) forgetLocked() {
	old := d.order[0]
	d.order = d.order[1:]
	d.floor = max(d.floor, d.used[old].made)
	delete(d.used, old)
}

// see tells whether count n is new, and remembers it.
func (u *nonceUse) see(n uint32) bool {
	switch {
	case n > u.top:
		if shift := n - u.top; shift < 64 {
			u.window = u.window<<shift | 1
		} else {
			u.window = 1
		}
		u.top = n
		return true
	case u.top-n >= 64 || u.window&(1<<(u.top-n)) != 0:
		return false
	}
	u.window |= 1 << (u.top - n)
	return true
}

// guessing tells whether an address has tried too many passwords.
func (d *digest) guessing(source netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.minute) > time.Minute {
		clear(d.misses)
		d.minute = now
	}
	return d.misses[source] >= missesMax
}

func (d *digest) miss(source netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.misses[source]; known || len(d.misses) < missSources {
		d.misses[source]++
	}
}

// expire forgets nonces that are too old to be used.
func (d *digest) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.cfg.Now().Add(-nonceFor - time.Second).UnixMilli()
	for len(d.order) > 0 && d.used[d.order[0]].made < old {
		d.forgetLocked()
	}
}

// credentials is an Authorization value of the scheme Digest.
type credentials struct {
	username, realm, nonce, uri, response, algorithm, cnonce, qop, nc string
}

// parseCredentials returns nil for anything else, and for a value that names
// something twice.
func parseCredentials(v []byte) *credentials {
	if len(v) < 7 || !message.EqualFold(v[:6], "Digest") || v[6] != ' ' && v[6] != '\t' {
		return nil
	}
	var c credentials
	fields := map[string]*string{
		"username": &c.username, "realm": &c.realm, "nonce": &c.nonce, "uri": &c.uri, "response": &c.response,
		"algorithm": &c.algorithm, "cnonce": &c.cnonce, "qop": &c.qop, "nc": &c.nc,
	}
	for rest := v[7:]; len(rest) > 0; {
		var name, value string
		var ok bool
		if name, value, rest, ok = nextPair(rest); !ok {
			return nil
		}
		p, known := fields[name]
		if !known {
			continue
		}
		if *p != "" {
			return nil
		}
		*p = value
	}
	return &c
}

// nextPair reads name=value or name="value" and the comma behind it.
func nextPair(b []byte) (name, value string, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '=')
	if i < 1 {
		return "", "", nil, false
	}
	name = string(bytes.ToLower(bytes.Trim(b[:i], " \t,")))
	b = bytes.TrimLeft(b[i+1:], " \t")
	if len(b) == 0 || b[0] != '"' {
		v, rest, _ := bytes.Cut(b, []byte{','})
		return name, string(bytes.Trim(v, " \t")), rest, true
	}
	var v []byte
	for j := 1; j < len(b); j++ {
		switch b[j] {
		case '\\':
			j++
			if j < len(b) {
				v = append(v, b[j])
			}
		case '"':
			rest = bytes.TrimLeft(b[j+1:], " \t")
			if len(rest) > 0 && rest[0] != ',' {
				return "", "", nil, false
			}
			return name, string(v), bytes.TrimLeft(rest, " \t,"), true
		default:
			v = append(v, b[j])
		}
	}
	return "", "", nil, false
}
