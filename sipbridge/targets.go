package sipbridge

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// targets remembers what was put into a 302: a phone with an outbound proxy,
// or an account here, brings the redirected INVITE back to us, and then it
// must be carried and never redirected again.
//
// A target is either a direct contact, kept under its canonical URI and the
// caller, or a token: a user part of the form
//
//	name~xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx    16 random bytes, 4 of a MAC, base32
//
// The MAC tells a token that has been used up or forgotten from a name that
// merely looks like one.
type targets struct {
	key [32]byte
	mu  sync.Mutex
	m   map[string]*target
	old []*target // in the order of their making, oldest first
}

const (
	targetFor  = time.Minute
	targetsMax = 4096

	tokenLen = 32
	tokenMAC = 4
)

// target is one handed-out target. It serves one call attempt.
type target struct {
	key     string
	caller  identity.AOR
	callee  identity.AOR
	callID  string // of the INVITE that was redirected
	path    string // of a call that is carried
	open    []carry.Opener
	expires time.Duration

	user string // Call-ID and From tag of the attempt, "" while unused
	cseq uint32
}

func newTargets() *targets {
	t := &targets{m: make(map[string]*target)}
	rand.Read(t.key[:])
	return t
}

// tokenEncoding is base32 in lower case: no SIP element changes its case.
var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// token makes the user part of a token target.
func (t *targets) token(name string) string {
	var b [16 + tokenMAC]byte
	rand.Read(b[:16])
	copy(b[16:], t.mac(b[:16]))
	return escapeUser(name) + "~" + tokenEncoding.EncodeToString(b[:])
}

func (t *targets) mac(b []byte) []byte {
	h := hmac.New(sha256.New, t.key[:])
	h.Write(b)
	return h.Sum(nil)[:tokenMAC]
}

// isToken tells whether a user part, as written, is one of our tokens, known
// or not.
func (t *targets) isToken(user []byte) bool {
	i := len(user) - tokenLen - 1
	if i < 0 || user[i] != '~' {
		return false
	}
	b, err := tokenEncoding.DecodeString(string(user[i+1:]))
	return err == nil && hmac.Equal(b[16:], t.mac(b[:16]))
}

// person returns the name in a token of ours, and any other user part as it
// is. A phone knows the other side of its call by that, and names it so when it
// transfers or dials again.
func (t *targets) person(user string) string {
	if !t.isToken([]byte(user)) {
		return user
	}
	return user[:len(user)-tokenLen-1]
}

// tokenKey is where a token target is kept: only the token counts.
func tokenKey(user []byte) string { return string(user[max(0, len(user)-tokenLen):]) }

// directKey is where a direct contact is kept.
func directKey(u *message.URI, caller identity.AOR) string {
	b := u.AppendCanonical(make([]byte, 0, 192))
	b = append(append(b, ' '), caller.User()...)
	return string(b)
}

// add remembers a target, in place of an older one of the same key.
func (t *targets) add(tg *target, now time.Duration) {
	tg.expires = min(tg.expires, now+targetFor)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.old) >= targetsMax {
		t.dropLocked()
	}
	t.m[tg.key] = tg
	t.old = append(t.old, tg)
}

func (t *targets) dropLocked() {
	tg := t.old[0]
	t.old[0] = nil
	t.old = t.old[1:]
	if t.m[tg.key] == tg {
		delete(t.m, tg.key)
	}
}

// expire forgets what is too old. An early end within the minute only counts
// in claim.
func (t *targets) expire(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.old) > 0 && t.old[0].expires <= now {
		t.dropLocked()
	}
}

func (t *targets) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}

// claim takes a target for a call attempt, known by its Call-ID and From tag.
// The same attempt may claim it again: with a higher CSeq, which is how a phone
// answers a challenge, or with the same one in a new transaction, which is how it
// goes on after a transport that has failed under it (RFC 3263 §4.3). While the
// first transaction goes on such an INVITE never comes here: it is answered 482.
func (t *targets) claim(key string, caller identity.AOR, attempt string, cseq uint32, now time.Duration) (*target, *Refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tg := t.m[key]
	switch {
	case tg == nil || now >= tg.expires || tg.caller != caller:
		return nil, NoSuchName("this call target is not known, or a minute old; dial the name again")
	case tg.user == "":
		tg.user = attempt
	case tg.user != attempt || cseq < tg.cseq:
		return nil, Forbidden("this call target has been used; dial the name again")
	}
	tg.cseq = cseq
	return tg, nil
}

// has tells whether a direct contact was handed out to this caller.
func (t *targets) has(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[key] != nil
}

// escapeUser writes a name as the user part of a URI (RFC 3261 §25.1).
func escapeUser(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'()&=+$,?/", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
