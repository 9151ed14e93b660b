package portmap

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// oracle plays a protocol.
type oracle struct {
	called string
	life   time.Duration
	out    atomic.Pointer[netip.AddrPort] // nil: it refuses
	opened atomic.Int64
	closed atomic.Int64
	hang   bool // taking back

	mu    sync.Mutex
	asked []time.Time
}

func (o *oracle) name() string { return o.called }

func (o *oracle) open(context.Context, Route, uint16, uint16, time.Duration) (grant, error) {
	o.mu.Lock()
	o.asked = append(o.asked, time.Now())
	o.mu.Unlock()
	out := o.out.Load()
	if out == nil {
		return grant{}, errors.New("not today")
	}
	o.opened.Add(1)
	return grant{external: *out, life: o.life}, nil
}

func (o *oracle) close(ctx context.Context, _ Route, _ uint16, _ grant) error {
	o.closed.Add(1)
	if o.hang {
		<-ctx.Done()
	}
	return ctx.Err()
}

// times are when it was asked to open.
func (o *oracle) times() []time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.asked)
}

func (o *oracle) gives(text string) {
	a := netip.MustParseAddrPort(text)
	o.out.Store(&a)
}

func mapperOf(route func() (Route, error), protocols ...protocol) (*Mapper, *atomic.Int64) {
	changes := new(atomic.Int64)
	m := New(Config{Port: 5871, Route: route, Changed: func() { changes.Add(1) }})
	m.protocols = protocols
	return m, changes
}

func home() (Route, error) {
	return Route{netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("192.168.1.2")}, nil
}

// run starts a mapper and returns what ends it.
func run(t *testing.T, m *Mapper) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); m.Run(ctx) }()
	synctest.Wait()
	return func() { cancel(); <-ended }
}

// A mapping is renewed long before it ends, not at the same moment by all; it is
// taken back at the end, and a router that hangs holds the end up for a second.
func TestRenewsAndTakesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{called: "a", life: lifetime, hang: true}
		o.gives("44.1.2.3:5871")
		m, changes := mapperOf(home, o)
		stop := run(t, m)
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		asked := o.times()
		for i, at := range asked[1:] {
			if gap := at.Sub(asked[i]); gap < renewMost*3/4 || gap > renewMost*5/4 {
				t.Errorf("renewed after %v", gap)
			}
		}
		if changes.Load() != 1 || m.State().Expires.Before(time.Now()) {
			t.Errorf("%d changes, %+v", changes.Load(), m.State())
		}
		began := time.Now()
		stop()
		if took := time.Since(began); took > closeTime || o.closed.Load() != 1 {
			t.Errorf("it took %v to end, taken back %d times", took, o.closed.Load())
		}
	})
}

// When the router stops answering, the mapping counts until its time is over, and
// what is tried grows rare; the second protocol steps in.
func TestRouterFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &oracle{called: "a", life: lifetime}, &oracle{called: "b"}
		first.gives("44.1.2.3:5871")
		m, changes := mapperOf(home, first, second)
		stop := run(t, m)
		defer stop()
		first.out.Store(nil)
		time.Sleep(lifetime - time.Minute)
		synctest.Wait()
		if s := m.State(); s.External.Port() != 5871 || len(s.Tried) != 2 {
			t.Errorf("before its end: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := m.State(); s.External.IsValid() || s.Protocol != "" || changes.Load() != 2 {
			t.Errorf("after its end: %+v, %d changes", s, changes.Load())
		}
		before := len(first.times())
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(first.times()) - before; n < 20 || n > 100 {
			t.Errorf("asked %d times in a day", n)
		}
		second.gives("44.1.2.3:6000")
		m.Again()
		time.Sleep(2 * leastPause)
		synctest.Wait()
		if s := m.State(); s.Protocol != "b" || s.External.Port() != 6000 || !s.Expires.IsZero() || s.Gateway != netip.MustParseAddr("192.168.1.1") {
			t.Errorf("the second protocol: %+v", s)
		}
	})
}

// On another network the mapping of the one before counts no more.
func TestAnotherNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{called: "a", life: lifetime}
		o.gives("44.1.2.3:5871")
		var there atomic.Pointer[Route]
		at, _ := home()
		there.Store(&at)
		m, _ := mapperOf(func() (Route, error) {
			if r := there.Load(); r != nil {
				return *r, nil
			}
			return Route{}, ErrNoGateway
		}, o)
		stop := run(t, m)
		there.Store(nil)
		m.Again()
		time.Sleep(2 * leastPause)
		synctest.Wait()
		if s := m.State(); s.External.IsValid() || s.Gateway.IsValid() || len(s.Tried) != 1 {
			t.Errorf("without a gateway: %+v", s)
		}
		there.Store(&Route{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9")})
		o.gives("100.64.3.4:5871")
		m.Again()
		time.Sleep(2 * leastPause)
		synctest.Wait()
		if s := m.State(); !s.Private || s.Gateway != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("behind a carrier's router: %+v", s)
		}
		stop()
		if o.closed.Load() != 1 {
			t.Errorf("taken back %d times", o.closed.Load())
		}
	})
}
