package sipbridge

import (
	"slices"
	"strconv"
	"strings"
)

// follows tells whether a phone is known to follow a 302 by itself, from its
// User-Agent. A phone that is not known is carried, so that no call fails
// while we learn.
func follows(userAgent string) bool {
	for _, f := range followers {
		if !hasPrefixFold(userAgent, f.prefix) {
			continue
		}
		return f.below == 0 || major(userAgent[len(f.prefix):]) < f.below
	}
	return false
}

// followers are matched by the beginning of the User-Agent, whatever its case.
// below limits a row to major versions smaller than it.
var followers = []struct {
	prefix string
	below  int
}{
	{"baresip", 2},  // follows the first Contact; from 2.0 on not by itself
	{"linphone", 0}, // linphonec, Linphone Desktop, Android, iOS
	{"pjsua ", 0},   // the program pjsua, sorted by q; other PJSUA programs end the call
	{"twinkle", 0},  // asks its user first
	{"jitsi", 0},    // follows the first Contact
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// major finds the first number in text like " v1.0.0 (x86_64/linux)"; no
// number is taken for a version too high to be known.
func major(s string) int {
	start := strings.IndexAny(s, "0123456789")
	if start < 0 {
		return 1 << 30
	}
	end := start
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[start:end])
	if err != nil {
		return 1 << 30
	}
	return n
}

// redirects tells whether a phone gets a 302.
func (c *Config) redirects(userAgent []byte) bool {
	if c.Path == PathDirect {
		return true // there is no other way
	}
	switch c.Redirect {
	case RedirectAlways:
		return true
	case RedirectNever:
		return false
	}
	return follows(clip(userAgent, 100))
}

// paths lists what a phone can use, in the order configured.
func (c *Config) paths(redirect bool) []string {
	return slices.DeleteFunc(c.choice(), func(p string) bool { return p == PathDirect && !redirect })
}

// choice lists the paths that this adapter may use at all, best first. Without
// a relay for media there is no protected one.
func (c *Config) choice() []string {
	return slices.DeleteFunc(c.chosen(), func(p string) bool { return p == PathProtected && c.Carry.Relay == nil })
}

func (c *Config) chosen() []string {
	switch c.Path {
	case PathDirect, PathCarried:
		return []string{c.Path}
	case PathRequireProtected:
		return []string{PathProtected}
	case PathProtected:
		return []string{PathProtected, PathCarried}
	}
	return []string{PathProtected, PathDirect, PathCarried}
}
