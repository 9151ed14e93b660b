package adapter

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// screen returns nil for a caller who may reach an account here, and counts
// who may not.
func (a *Adapter) screen(callee, caller identity.AOR, owner identity.OwnerTag) *keptOut {
	a.mu.Lock()
	k := a.screens[callee.User()].judge(caller, owner)
	if k != nil {
		a.screened[callee.User()]++
	}
	a.mu.Unlock()
	if k != nil {
		a.refusals.Count("adapter", k.reason)
	}
	return k
}

// loadScreens reads the accounts' lists.
func (a *Adapter) loadScreens() error {
	a.screens, a.screened = map[string]*screening{}, map[string]uint64{}
	return eachValue(a.state, bucketScreening, func(user string, s screening) { a.screens[user] = &s })
}

// keepScreen changes an account's lists, on disk first. Nil leaves them.
func (a *Adapter) keepScreen(user string, change func(*screening) (*screening, error)) error {
	a.saving.Lock()
	defer a.saving.Unlock()
	a.mu.Lock()
	now := a.screens[user]
	a.mu.Unlock()
	next, err := change(now)
	if err != nil || next == nil {
		return err
	}
	if err := a.state.put(entry{bucketScreening, []byte(user), next}); err != nil {
		return err
	}
	a.mu.Lock()
	a.screens[user] = next
	a.mu.Unlock()
	return nil
}

// noteCalled makes somebody who took a call of an account its contact.
func (a *Adapter) noteCalled(user string, callee identity.AOR) {
	err := a.keepScreen(user, func(s *screening) (*screening, error) { return s.withCalled(callee), nil })
	if err != nil {
		a.log.Warn().Err(err).Msg("who was called is not kept as a contact")
	}
}

// callers answers on the admin socket.
func (a *Adapter) callers(ctx context.Context, req admin.CallersRequest) (*admin.Callers, error) {
	user, err := a.oneAccount(req.Account)
	if err != nil {
		return nil, err
	}
	switch req.Do {
	case admin.CallersShow:
	case admin.CallersBlock, admin.CallersAllow, admin.CallersForget:
		err = a.changeRule(ctx, user, req)
	case admin.CallersAnybody, admin.CallersContacts:
		err = a.keepScreen(user, func(s *screening) (*screening, error) {
			out := s.clone()
			out.ContactsOnly, out.Quiet = req.Do == admin.CallersContacts, req.Do == admin.CallersContacts && req.Quiet
			return out, nil
		})
	default:
		err = admin.Errorf(admin.CodeBadRequest, "%q cannot be done to callers", req.Do)
	}
	if err != nil {
		return nil, err
	}
	return a.callersOf(user), nil
}

func (a *Adapter) changeRule(ctx context.Context, user string, req admin.CallersRequest) error {
	who, err := a.nameOf(ctx, req.Who)
	if err != nil {
		return err
	}
	key, err := ruleKey(who, a.membership().Overlay)
	if err != nil {
		return admin.Errorf(admin.CodeBadRequest, "%q is nobody: %v", req.Who, err).WithHint("write a name such as bob, owner: and a tag of 16 digits, or @ and an overlay")
	}
	return a.keepScreen(user, func(s *screening) (*screening, error) {
		if req.Do == admin.CallersForget {
			if s == nil || !has(s.Rules, key) {
				return nil, admin.Errorf(admin.CodeNotFound, "there is no rule about %s", key).WithHint("'secp2psip callers' lists them")
			}
			return s.withRule(key, nil)
		}
		next, err := s.withRule(key, &rule{Allow: req.Do == admin.CallersAllow, Quiet: req.Quiet && req.Do == admin.CallersBlock, Added: a.time.Now()})
		if err != nil {
			return nil, admin.Errorf(admin.CodeRefused, "%v", err)
		}
		return next, nil
	})
}

func has[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}

// nameOf returns the name behind a number, for callers show their names.
func (a *Adapter) nameOf(ctx context.Context, who string) (string, error) {
	if who == "" || strings.Trim(who, "0123456789") != "" {
		return who, nil
	}
	res, err := a.lookup(ctx, admin.LookupRequest{Name: who})
	switch {
	case err != nil:
		return "", err
	case res.Outcome != admin.OutcomeVerified && res.Outcome != admin.OutcomeNotRegistered:
		return "", admin.Errorf(admin.CodeNotFound, "it cannot be found out whose number %s is: %s", who, res.Message).WithHint("give the name instead")
	}
	return res.AOR, nil
}

// oneAccount returns the account that is meant: the one that is named, or the
// only one.
func (a *Adapter) oneAccount(name string) (string, error) {
	a.mu.Lock()
	users := slices.Sorted(maps.Keys(a.accounts))
	a.mu.Unlock()
	if name == "" && len(users) == 1 {
		return users[0], nil
	}
	user, _, _ := strings.Cut(strings.TrimPrefix(name, "sip:"), "@")
	if aor, err := identity.NewAOR(user, a.membership().Overlay); err == nil && slices.Contains(users, aor.User()) {
		return aor.User(), nil
	}
	if len(users) == 0 {
		return "", admin.Errorf(admin.CodeUnavailable, "nobody is enrolled here yet").WithHint("register a phone as " + a.expected() + " first")
	}
	return "", admin.Errorf(admin.CodeBadRequest, "this adapter serves %s", strings.Join(users, ", ")).WithHint("say which one with --account")
}

// callersOf shows an account's lists.
func (a *Adapter) callersOf(user string) *admin.Callers {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &admin.Callers{Account: user, Only: admin.CallersAnybody, Rules: []admin.CallerRule{}, Contacts: []string{}, Refused: a.screened[user]}
	s := a.screens[user]
	if s == nil {
		return out
	}
	if s.ContactsOnly {
		out.Only, out.Quiet = admin.CallersContacts, s.Quiet
	}
	for who, r := range s.Rules {
		out.Rules = append(out.Rules, admin.CallerRule{Who: who, Allow: r.Allow, Quiet: r.Quiet, Added: r.Added})
	}
	slices.SortFunc(out.Rules, func(x, y admin.CallerRule) int { return strings.Compare(x.Who, y.Who) })
	out.Contacts = append(out.Contacts, s.Called...)
	return out
}

// keptOutLocally is screen for a caller at this same adapter.
func (a *Adapter) keptOutLocally(me party, callee identity.AOR) error {
	k := a.screen(callee, me.aor, me.node.Owner())
	if k == nil {
		return nil
	}
	return k.answer
}
