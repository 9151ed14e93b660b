package sipbridge

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTargetLifetime(t *testing.T) {
	ts := newTargets()
	ts.add(&target{key: "k", caller: aor("alice"), expires: time.Hour}, 0)
	if _, r := ts.claim("k", aor("alice"), "a", 1, targetFor-1); r != nil {
		t.Errorf("before the end: %v", r)
	}
	if _, r := ts.claim("k", aor("alice"), "a", 2, targetFor); r == nil || r.Code != 404 {
		t.Errorf("after the end: %v", r)
	}
	ts.expire(targetFor)
	if ts.size() != 0 {
		t.Error("not forgotten")
	}
}

func TestTargetServesOneAttempt(t *testing.T) {
	ts := newTargets()
	ts.add(&target{key: "k", caller: aor("alice"), expires: time.Minute}, 0)
	for i, c := range []struct {
		attempt string
		cseq    uint32
		code    int
	}{{"a", 5, 0}, {"b", 6, 403}, {"a", 5, 0}, {"a", 4, 403}, {"a", 6, 0}, {"a", 5, 403}, {"b", 7, 403}} {
		code := 0
		if _, r := ts.claim("k", aor("alice"), c.attempt, c.cseq, 0); r != nil {
			code = r.Code
		}
		if code != c.code {
			t.Errorf("step %d: %d, want %d", i, code, c.code)
		}
	}
}

func TestTargetsAreBounded(t *testing.T) {
	ts := newTargets()
	for i := range 3 * targetsMax {
		ts.add(&target{key: fmt.Sprint(i % (2 * targetsMax)), expires: time.Minute}, 0)
	}
	if ts.size() > targetsMax || len(ts.old) > targetsMax {
		t.Errorf("%d targets, %d in line", ts.size(), len(ts.old))
	}
}

func TestTokens(t *testing.T) {
	ts, others := newTargets(), newTargets()
	seen := map[string]bool{}
	for range 100 {
		user := ts.token("bob smith")
		if ts.person(user) != "bob%20smith" || others.person(user) != user || ts.person("bob~x") != "bob~x" {
			t.Fatalf("%q is of %q", user, ts.person(user))
		}
		if !strings.HasPrefix(user, "bob%20smith~") || !ts.isToken([]byte(user)) || others.isToken([]byte(user)) || seen[user] {
			t.Fatalf("%q", user)
		}
		seen[user] = true
	}
	for _, s := range []string{"", "~", "bob", "bob~" + strings.Repeat("a", tokenLen), "bob~" + strings.Repeat("!", tokenLen), strings.Repeat("a", tokenLen)} {
		if ts.isToken([]byte(s)) {
			t.Errorf("%q is taken for a token", s)
		}
	}
}
