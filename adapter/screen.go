package adapter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Bounds of one account's lists; of the people called the oldest goes.
const (
	maxRules  = 1024
	maxCalled = 1024
)

const (
	reasonBlocked    = "caller_blocked"
	reasonNotContact = "caller_not_a_contact"
)

// ownerRule and overlayRule begin the rules that are about no single name.
const (
	ownerRule   = "owner:"
	overlayRule = "@"
)

// screening says who may call an account. It is replaced as a whole, never
// changed; the zero value lets everybody in.
type screening struct {
	ContactsOnly bool
	Quiet        bool            `json:",omitempty"` // to those whom ContactsOnly keeps out
	Rules        map[string]rule `json:",omitempty"` // by AOR, "owner:TAG" or "@OVERLAY"
	Called       []string        `json:",omitempty"` // AORs that were called from here, oldest first
}

type rule struct {
	Allow bool
	Quiet bool `json:",omitempty"` // a blocked caller is told what an absent phone would tell
	Added time.Time
}

// keptOut is why a caller may not reach an account, and what it is told.
type keptOut struct {
	reason string             // for the counters
	answer *sipbridge.Refusal // to the caller
	told   *sipbridge.Refusal // to the people here, in the list of calls
}

// judge returns nil for a caller who may reach the account. What is known of
// the caller is verified: its name by its key, the owner of its node by the
// link. The rule that says most counts: for the name, for the owner of the
// node, for the overlay.
func (s *screening) judge(caller identity.AOR, owner identity.OwnerTag) *keptOut {
	if s == nil {
		return nil
	}
	for _, key := range []string{caller.String(), ownerRule + owner.String(), overlayRule + caller.Overlay()} {
		r, ok := s.Rules[key]
		switch {
		case !ok:
		case r.Allow:
			return nil
		default:
			return newKeptOut(reasonBlocked, sipbridge.Blocked("the called person does not take calls from you"), "blocked here", r.Quiet)
		}
	}
	if s.ContactsOnly && !slices.Contains(s.Called, caller.String()) {
		return newKeptOut(reasonNotContact, sipbridge.Forbidden("the called person takes calls from contacts only"), "no contact of this account", s.Quiet)
	}
	return nil
}

func newKeptOut(reason string, answer *sipbridge.Refusal, why string, quiet bool) *keptOut {
	k := &keptOut{reason: reason, answer: answer}
	if quiet {
		why += "; the caller was told that no phone is registered"
		k.answer = sipbridge.NotRegistered("") // as where there is none, to the byte
	}
	k.told = &sipbridge.Refusal{Code: answer.Code, Reason: answer.Reason, Warning: why}
	return k
}

// withRule returns a copy with the rule, or without where it is nil.
func (s *screening) withRule(key string, r *rule) (*screening, error) {
	out := s.clone()
	if r == nil {
		delete(out.Rules, key)
		return out, nil
	}
	if _, known := out.Rules[key]; !known && len(out.Rules) >= maxRules {
		return nil, fmt.Errorf("an account has at most %d rules about callers; unblock somebody first", maxRules)
	}
	out.Rules[key] = *r
	return out, nil
}

// withCalled returns a copy that knows one more contact, or nil if s does.
func (s *screening) withCalled(aor identity.AOR) *screening {
	if s != nil && slices.Contains(s.Called, aor.String()) {
		return nil
	}
	out := s.clone()
	out.Called = append(out.Called, aor.String())
	out.Called = out.Called[max(0, len(out.Called)-maxCalled):]
	return out
}

func (s *screening) clone() *screening {
	out := &screening{}
	if s != nil {
		*out = *s
	}
	out.Rules, out.Called = maps.Clone(out.Rules), slices.Clone(out.Called)
	if out.Rules == nil {
		out.Rules = map[string]rule{}
	}
	return out
}

// ruleKey reads whom a rule is about, as a person writes it.
func ruleKey(who, overlay string) (string, error) {
	who = strings.TrimSpace(who)
	if tag, ok := strings.CutPrefix(who, ownerRule); ok {
		owner, err := identity.ParseOwnerTag(tag)
		if err == nil && owner.IsZero() {
			err = identity.ErrMalformed
		}
		return ownerRule + owner.String(), err
	}
	if name, ok := strings.CutPrefix(who, overlayRule); ok {
		aor, err := identity.NewAOR("x", name)
		return overlayRule + aor.Overlay(), err
	}
	user, name, ok := strings.Cut(strings.TrimPrefix(who, "sip:"), "@")
	if !ok {
		name = overlay
	}
	aor, err := identity.NewAOR(user, name)
	return aor.String(), err
}
