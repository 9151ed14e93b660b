package portmap

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// When the mapper asks.
const (
	lifetime    = 30 * time.Minute // wished for
	renewMost   = 10 * time.Minute // a router that has begun anew knows of nothing
	renewLeast  = 15 * time.Second
	retryFirst  = 30 * time.Second // after a round in which nothing was got; doubled each time
	retryMost   = 30 * time.Minute
	leastPause  = time.Second
	roundTime   = 8 * time.Second // for one protocol
	closeTime   = time.Second     // for taking a mapping back
	longestText = 160             // of an error
)

// Config says what to map. Port and the functions without "nil" are required.
type Config struct {
	Port    uint16                // this host's, on which it listens for UDP
	Route   func() (Route, error) // nil = DefaultRoute
	Changed func()                // called when the external address has changed; must not block; nil = nobody
	Refused func(reason string)   // nil = not counted
	Log     zerolog.Logger        // zero value logs nothing
}

// protocol asks a router. It is used by one goroutine.
type protocol interface {
	name() string
	// open makes or renews a mapping to port, want being the one outside that is wished for.
	open(ctx context.Context, at Route, port, want uint16, life time.Duration) (grant, error)
	// close takes it back.
	close(ctx context.Context, at Route, port uint16, g grant) error
}

// grant is what a router gave.
type grant struct {
	external netip.AddrPort
	life     time.Duration // 0 = until it is taken back
}

// Attempt is a protocol that did not work.
type Attempt struct {
	Protocol string
	Err      string
}

// State is what there is.
type State struct {
	Gateway  netip.Addr     // invalid while none is known
	Protocol string         // "nat-pmp" or "upnp"; "" while there is no mapping
	External netip.AddrPort // as the router says; others must prove it
	Since    time.Time      // when this address was got first
	Expires  time.Time      // zero: a router that knows no lifetimes
	Private  bool           // it lies in a network that the internet does not reach: another router stands before this one
	Tried    []Attempt      // in the last round
	Rounds   int            // that are over
}

// Mapper keeps one mapping. Its methods are safe for concurrent use.
type Mapper struct {
	cfg       Config
	protocols []protocol
	wake      chan struct{}
	now       func() time.Time

	// Of Run alone.
	held     grant
	heldAt   Route
	by       protocol
	failures int

	mu    sync.Mutex
	state State
}

// New returns a mapper that does nothing yet.
func New(cfg Config) *Mapper {
	if cfg.Route == nil {
		cfg.Route = DefaultRoute
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	return &Mapper{
		cfg: cfg, wake: make(chan struct{}, 1), now: time.Now,
		protocols: []protocol{&natPMP{cfg.Refused}, &upnp{port: searchPort, search: searchTime, patience: fetchTime, refused: cfg.Refused}},
	}
}

// State returns what there is now.
func (m *Mapper) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	s.Tried = slices.Clone(s.Tried)
	return s
}

// Again has the router asked anew soon: the host has moved.
func (m *Mapper) Again() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run keeps the mapping until ctx ends, and takes it back then, for a second at
// most.
func (m *Mapper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := time.NewTimer(m.round(ctx))
		select {
		case <-wait.C:
		case <-ctx.Done():
		case <-m.wake:
			m.failures = 0
			select {
			case <-time.After(leastPause):
			case <-ctx.Done():
			}
		}
		wait.Stop()
	}
	m.giveBack()
}

// round asks once and says how long to wait.
func (m *Mapper) round(ctx context.Context) time.Duration {
	at, err := m.cfg.Route()
	if err != nil {
		m.drop()
		m.note(State{Tried: []Attempt{{"gateway", text(err)}}})
		return m.later()
	}
	if m.by != nil && (at != m.heldAt || m.over()) {
		m.drop() // it cannot be taken back from another address; it ends by itself
	}
	s := State{Gateway: at.Gateway}
	for _, p := range m.order() {
		g, err := m.ask(ctx, p, at)
		if err == nil {
			m.held, m.heldAt, m.by, m.failures = g, at, p, 0
			m.note(m.shown(s, p, g))
			return renewal(g.life)
		}
		if ctx.Err() != nil {
			return 0
		}
		s.Tried = append(s.Tried, Attempt{p.name(), text(err)})
	}
	m.cfg.Log.Debug().Any("tried", s.Tried).Msg("the router gives no port")
	if m.by != nil && !m.over() {
		before := m.State()
		before.Tried = s.Tried
		m.note(before)
		if left := before.Expires.Sub(m.now()); !before.Expires.IsZero() {
			return min(m.later(), max(left, leastPause))
		}
		return m.later()
	}
	m.drop()
	m.note(s)
	return m.later()
}

// ask has one protocol make or renew the mapping, and judges the answer.
func (m *Mapper) ask(ctx context.Context, p protocol, at Route) (grant, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	g, err := p.open(ctx, at, m.cfg.Port, cmp.Or(m.held.external.Port(), m.cfg.Port), lifetime)
	if err != nil {
		return grant{}, err
	}
	if err := outside(g.external.Addr(), at); err != nil {
		m.cfg.Refused(reasonOutside)
		m.takeBack(p, at, g)
		return grant{}, err
	}
	return g, nil
}

// order has the protocol first that gave the mapping.
func (m *Mapper) order() []protocol {
	out := slices.Clone(m.protocols)
	slices.SortStableFunc(out, func(a, b protocol) int {
		switch {
		case a == m.by:
			return -1
		case b == m.by:
			return 1
		}
		return 0
	})
	return out
}

func (m *Mapper) shown(s State, p protocol, g grant) State {
	s.Protocol, s.External, s.Private = p.name(), g.external, reserved(g.external.Addr())
	if s.Since = m.now(); m.State().External == g.external {
		s.Since = m.State().Since
	}
	if g.life > 0 {
		s.Expires = m.now().Add(g.life)
	}
	return s
}

// note keeps what there is and tells of a change.
func (m *Mapper) note(s State) {
	m.mu.Lock()
	before := m.state
	s.Rounds = before.Rounds + 1
	m.state = s
	m.mu.Unlock()
	if before.External == s.External {
		return
	}
	switch {
	case s.Protocol == "":
		m.cfg.Log.Warn().Msg("the router lets others in no more: the mapping of the port is gone")
	default:
		m.cfg.Log.Info().Str("protocol", s.Protocol).Stringer("external", s.External).Msg("the router maps the port")
	}
	m.cfg.Changed()
}

// over tells that the mapping has ended by its time.
func (m *Mapper) over() bool {
	end := m.State().Expires
	return !end.IsZero() && !m.now().Before(end)
}

func (m *Mapper) drop() { m.held, m.by = grant{external: m.held.external}, nil }

// renewal is when to ask again for a mapping of this lifetime.
func renewal(life time.Duration) time.Duration {
	if life <= 0 {
		return jitter(renewMost)
	}
	return max(jitter(min(life/2, renewMost)), renewLeast)
}

// later is when to try again after a failure.
func (m *Mapper) later() time.Duration {
	wait := min(retryFirst<<min(m.failures, 10), retryMost)
	m.failures++
	return jitter(wait)
}

// giveBack ends the mapping when the program does.
func (m *Mapper) giveBack() {
	if m.by == nil {
		return
	}
	m.takeBack(m.by, m.heldAt, m.held)
	m.drop()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = State{Rounds: m.state.Rounds}
}

func (m *Mapper) takeBack(p protocol, at Route, g grant) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := p.close(ctx, at, m.cfg.Port, g); err != nil {
		m.cfg.Log.Debug().Err(err).Msg("the mapping of the port was not taken back; it ends by itself")
	}
}

// jitter returns d, give or take a quarter.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) } // #nosec G404 -- spreads timers

// text is an error as people are shown it.
func text(err error) string {
	s := strings.TrimPrefix(err.Error(), "portmap: ")
	if errors.Is(err, syscall.ECONNREFUSED) {
		s = "the router does not speak it: connection refused"
	}
	return s[:min(len(s), longestText)]
}
