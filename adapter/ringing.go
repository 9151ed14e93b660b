package adapter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// A callee may have several devices, each with an adapter of its own. All are
// asked at once. The call goes on as soon as one has answered; the others ring
// as they answer, so that one that is gone delays nobody.

// asked is the exchange with one device of the callee, which may be under way.
type asked struct {
	done chan struct{} // closed when r or err is there
	r    *redirected
	err  error
}

// answers are what the callee's devices say.
type answers struct {
	best *redirected // the first 302, else the refusal that says most
	all  []*asked    // best's and the others
}

// inviteAll asks all live devices of the callee at once. It returns with the
// first 302, while others are still asked, or with the best refusal once all
// exchanges have ended.
func (a *Adapter) inviteAll(ctx context.Context, me party, res *directory.Resolution, c sipbridge.Call) (*answers, error) {
	exchanges, cancel := context.WithCancel(context.WithoutCancel(ctx)) // each has a timeout
	letGo := context.AfterFunc(ctx, cancel)
	var work sync.WaitGroup
	got := &answers{}
	ended := make(chan *asked, len(res.Devices))
	for _, dev := range res.Devices {
		one := &asked{done: make(chan struct{})}
		got.all = append(got.all, one)
		work.Go(func() {
			one.r, one.err = a.inviteDevice(exchanges, me, res, dev, c)
			close(one.done)
			ended <- one
		})
	}
	failed := got.await(ended)
	if got.best != nil && got.best.body.Status == 302 && a.spawn(func(ctx context.Context) {
		defer context.AfterFunc(ctx, cancel)()
		work.Wait()
		cancel()
	}) {
		letGo()
		return got, nil
	}
	cancel()
	work.Wait()
	switch {
	case got.best != nil:
		return got, nil
	case failed != nil:
		return nil, failed
	}
	return nil, sipbridge.NotRegistered("")
}

// await returns when there is a 302, or nothing more to wait for; the error is
// that of a device that was not reached.
func (g *answers) await(ended <-chan *asked) (failed error) {
	for range g.all {
		one := <-ended
		switch {
		case one.err != nil:
			if failed == nil || gone(failed) {
				failed = one.err
			}
		case one.r.body.Status == 302:
			g.best = one.r
			return nil
		case g.best == nil || one.r.body.Status >= 600 || g.best.body.Status == 480:
			g.best = one.r
		}
	}
	return failed
}

// choosePath takes the first of the paths that our phone accepts and the device
// that has answered first offers. Where there is another device, the phones meet
// directly only if nothing else suits: a phone that follows a 302 rings one phone
// (RFC 3261 §8.1.3.4), or one after the other, and all shall ring.
func (a *Adapter) choosePath(got *answers, callee identity.AOR, c sipbridge.Call) (*sipbridge.Answer, error) {
	r := got.best
	answer := &sipbridge.Answer{Callee: callee, Expires: a.time.Steady().Add(answerLife)}
	wanted := c.Paths
	paths := slices.DeleteFunc(slices.Clone(wanted), func(p string) bool { return !slices.Contains(r.body.Paths, p) })
	if len(got.all) > 1 {
		slices.SortStableFunc(paths, func(x, y string) int { return cmp.Compare(direct(x), direct(y)) })
	}
	for _, p := range paths {
		if p != sipbridge.PathDirect {
			if r.opens(p) != nil {
				answer.Path, answer.Open = p, got.openers(wanted)
				return answer, nil
			}
		} else if answer.Contact = r.body.Contact; answer.Contact != "" {
			answer.Path = p
			// For a phone that brings the redirected INVITE back to us.
			if slices.Contains(paths, sipbridge.PathCarried) && r.opens(sipbridge.PathCarried) != nil {
				answer.Open = got.openers([]string{sipbridge.PathCarried})
			}
			return answer, nil
		}
	}
	return nil, sipbridge.NoCommonMedia("no call path suits both sides: this side allows " + fmt.Sprint(c.Paths) + ", the other " + fmt.Sprint(r.body.Paths))
}

func direct(path string) int {
	if path == sipbridge.PathDirect {
		return 1
	}
	return 0
}

// openers are what opens the tunnels of a call: to the device that has answered
// first, then to those that may.
func (g *answers) openers(paths []string) (all []carry.Opener) {
	ranked := slices.Clone(g.all)
	slices.SortStableFunc(ranked, func(x, y *asked) int { return cmp.Compare(g.rank(x), g.rank(y)) })
	for _, one := range ranked {
		all = append(all, one.opener(paths))
	}
	return all
}

func (g *answers) rank(one *asked) int {
	select {
	case <-one.done:
	default:
		return 2
	}
	switch {
	case one.r == g.best:
		return 0
	case one.err == nil && one.r.body.Status == 302:
		return 1
	}
	return 3
}

// opener waits for the device's answer and opens a tunnel to it, on the first of
// these paths that it offers.
func (one *asked) opener(paths []string) carry.Opener {
	return func(ctx context.Context) (carry.Tunnel, string, error) {
		select {
		case <-one.done:
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
		if one.err != nil {
			return nil, "", one.err
		}
		r := one.r
		if r.body.Status != 302 {
			return nil, "", r.refusal()
		}
		for _, p := range paths {
			if p == sipbridge.PathDirect || !slices.Contains(r.body.Paths, p) {
				continue
			}
			if open := r.opens(p); open != nil {
				t, err := open(ctx)
				return t, p, err
			}
		}
		return nil, "", sipbridge.NoCommonMedia("this device offers no call path that all can ring on")
	}
}

// refusal is what the device has signed instead of a 302.
func (r *redirected) refusal() *sipbridge.Refusal {
	return &sipbridge.Refusal{
		Code: int(r.body.Status), Reason: r.body.Reason, Warning: r.body.Warning,
		RetryAfter: time.Duration(r.body.Retry) * time.Second,
	}
}
