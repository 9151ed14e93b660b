package bootstrap_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestMatrixA5Quotas: in open mode a bot that claims 1,000 names gets no more
// of them than its quota, and no reserved one.
func TestMatrixA5Quotas(t *testing.T) {
	t.Parallel()
	botClaims(t, 1000)
}

func botClaims(t *testing.T, tries int64) {
	t.Helper()
	const quota, perConnection, workers = 5, 15, 8
	s, _ := run(t, func(c *bootstrap.Config) {
		c.Open, c.OpenPerSource, c.Reserved, c.Limits.EnrolTime = true, quota, []string{"admin"}, deadline
	})
	var got, refused, next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			bot := newNewcomer(t, "bot", nil)                  // which makes its keys once
			for next.Load() < tries && got.Load() <= 2*quota { // else it has won
				claim(t, s, bot, &next, tries, perConnection, func(err error) {
					remote, ok := errors.AsType[*link.RemoteError](err)
					switch {
					case err == nil:
						got.Add(1)
						bot.node = key(t) // an adapter has one name; the bot makes another adapter
						bot.body.Node = bot.node.Public()
					case ok && remote.Code == wire.CodeForbidden:
						refused.Add(1)
					default:
						t.Errorf("a claim is answered %v", err)
					}
				})
			}
		})
	}
	wg.Wait()
	if got.Load() != quota || got.Load()+refused.Load() != tries {
		t.Errorf("a bot got %d names of %d, %d refused, its quota is %d", got.Load(), tries, refused.Load(), quota)
	}
	for _, name := range []string{"admin", "echo"} {
		_, err := newNewcomer(t, name, nil).enrol(t, s)
		wantRefused(t, err, wire.CodeForbidden)
	}
	if _, _, err := s.Invite(bootstrap.InviteParams{User: "admin"}); !errors.Is(err, bootstrap.ErrReserved) {
		t.Errorf("an invitation for a reserved name: %v", err)
	}
	t.Logf("matrix: A5 names of a bot: %d of %d tries (quota %d), reserved names: 0 of 2", got.Load(), tries, quota)
}

func key(t testing.TB) identity.PrivateKey {
	t.Helper()
	k, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// claim asks for one new name after the other over one connection, until it
// breaks or many have been asked for. A claim whose answer is lost is made again.
func claim(t *testing.T, s *bootstrap.Server, bot *newcomer, next *atomic.Int64, tries int64, many int, told func(error)) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*deadline)
	defer cancel()
	conn, err := link.DialEnrol(ctx, s.Addr().String(), s.Fingerprint(), nil)
	if err != nil {
		return // too many at once
	}
	defer conn.Close()
	answer, err := conn.Call(ctx, &wire.EnrolStart{})
	if err != nil {
		return
	}
	for range many {
		n := next.Add(1)
		if n > tries {
			return
		}
		bot.body.AOR = fmt.Sprintf("sip:bot%d@lan.example", n)
		_, err := conn.Call(ctx, bot.sign(t, conn, answer.(*wire.EnrolChallenge)))
		if remote := new(link.RemoteError); err != nil && !errors.As(err, &remote) {
			next.Add(-1) // lost
			return
		}
		told(err)
	}
}

// TestMatrixA3AtMostEightDevices: however many invitations a person has, the
// ninth device is refused, for as long as none is revoked.
func TestMatrixA3AtMostEightDevices(t *testing.T) {
	t.Parallel()
	s, _ := run(t, nil)
	secret := invite(t, s, bootstrap.InviteParams{User: "bob", Devices: 8})
	bob := newNewcomer(t, "bob", secret)
	got, err := bob.enrol(t, s)
	if err != nil {
		t.Fatal(err)
	}
	more := invite(t, s, bootstrap.InviteParams{User: "bob", Devices: 8})
	bob.run(t, s, got).alsoInvites(more)
	won := 1
	for range 7 {
		if _, err := newNewcomer(t, "bob", secret).further().enrol(t, s); err != nil {
			t.Fatal(err)
		}
		won++
	}
	tried := 0
	for _, invitation := range [][]byte{secret, more, more, more} {
		tried++
		if _, err := newNewcomer(t, "bob", invitation).further().enrol(t, s); err == nil {
			won++
		}
	}
	if won != 8 {
		t.Errorf("a person has %d devices", won)
	}
	if _, _, err := s.Invite(bootstrap.InviteParams{User: "bob"}); !errors.Is(err, bootstrap.ErrTooManyDevices) {
		t.Errorf("an invitation for a ninth device: %v", err)
	}
	if _, err := s.Revoke(bootstrap.RevokeParams{User: "bob", Device: 7}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Invite(bootstrap.InviteParams{User: "bob"}); err != nil {
		t.Errorf("a revoked device leaves no place: %v", err)
	}
	t.Logf("matrix: A3 devices of a person beyond the eighth: %d of %d", won-8, tried)
}
