package carry

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// Fifty calls at once, each with phones of its own, over one pair of engines:
// every message finds its call, and nothing stays behind.
func TestManyCallsAtOnce(t *testing.T) {
	const calls = 50
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		defer l.end()
		bobs := map[string]*phone{}
		var callers []*phone
		for i := range calls {
			name := fmt.Sprintf("caller%d", i)
			callers = append(callers, l.phone(l.a, name, "udp", fmt.Sprintf("127.0.0.1:%d", 6000+i)))
			bobs[name] = l.phone(l.b, fmt.Sprintf("bob%d", i), "udp", fmt.Sprintf("127.0.0.1:%d", 7000+i))
		}
		var mu sync.Mutex
		next := 0
		l.targets = func() []Target {
			mu.Lock()
			defer mu.Unlock()
			next++
			return []Target{bobs[fmt.Sprintf("caller%d", next-1)].asTarget()}
		}
		var wg sync.WaitGroup
		for _, caller := range callers {
			caller.call("", offer)
			synctest.Wait() // so that the n-th call rings the n-th phone
			wg.Go(func() {
				bob := bobs[caller.name]
				req := bob.rung()
				if !strings.Contains(string(req.Raw), `From: "`+caller.name+`"`) {
					t.Errorf("%s rings for %s", bob.name, req.Raw)
				}
				bob.respond(req, 180, "Ringing", "", "")
				bob.respond(req, 200, "OK", "", offer)
				caller.learn(caller.expect("SIP/2.0 200"))
				caller.inDialog("ACK", "", "")
				bob.expect("ACK ")
				for range 5 {
					bob.inDialog("INFO", "", "")
					caller.respond(caller.expect("INFO "), 200, "OK", "", "")
					bob.expect("SIP/2.0 200")
				}
			})
		}
		wg.Wait()
		if a, b := len(l.a.e.Calls()), len(l.b.e.Calls()); a != calls || b != calls {
			t.Errorf("%d and %d calls", a, b)
		}
		for _, caller := range callers {
			wg.Go(func() { hangUp(caller, bobs[caller.name]) })
		}
		wg.Wait()
		synctest.Wait()
		if a, b := l.a.refusals(), l.b.refusals(); len(a)+len(b)+len(l.a.e.Calls())+len(l.b.e.Calls()) > 0 {
			t.Errorf("%v %v", a, b)
		}
	})
}
