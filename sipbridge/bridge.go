package sipbridge

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// carrier is the engine that carries calls, seen from the front. See package
// carry for what each does.
type carrier interface {
	Handle(from carry.Flow, msg []byte) bool
	Carry(call carry.Call) error
	Echo(from carry.Flow, invite []byte) error
	Ring(ctx context.Context, r carry.Ring, t carry.Tunnel) error
	Calls() []carry.Info
	HangUp(l carry.Left, why string) error
	Run(ctx context.Context) error
}

// Bridge is the SIP front: sockets, registrar, redirect server, and the way
// to the engine that carries calls.
type Bridge struct {
	cfg       Config
	log       zerolog.Logger
	endpoints []endpoint
	epoch     time.Time // of the monotonic clock that exchanges and targets use
	seed      maphash.Seed
	idKey     [32]byte // of Call-IDs that other adapters are told

	udp   []*udpSocket
	tcp   []*tcpListener
	conns connTable
	ready chan struct{}
	hosts hosts

	exchanges *exchanges
	registrar *registrar
	owners    *owners
	pace      *pace
	targets   *targets
	digest    *digest
	engine    carrier
	client    *client
	probes    *probes

	ctx     context.Context // of Run
	tasks   sync.WaitGroup
	buffers sync.Pool     // of *[]byte, for responses
	slots   chan struct{} // bounds what runs beside the readers
	jobs    chan func()   // to those that wait for work
	idle    atomic.Int32  // how many do
	stats   counters
	noise   rate.Sometimes // for log lines that strangers can cause
}

// New makes a Bridge. It opens nothing; Run does.
func New(cfg Config) (*Bridge, error) {
	cfg.setDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	endpoints, err := parseListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.AddrPort, len(endpoints))
	for i, e := range endpoints {
		addrs[i] = e.addr
	}
	if err := cfg.checkExposure(addrs); err != nil {
		return nil, err
	}
	b := &Bridge{
		cfg: cfg, log: cfg.Log, endpoints: endpoints, epoch: time.Now(), seed: maphash.MakeSeed(),
		ready: make(chan struct{}),
		slots: make(chan struct{}, cfg.MaxPending+idleWorkers), jobs: make(chan func()),
		noise: rate.Sometimes{Interval: 10 * time.Second},
	}
	rand.Read(b.idKey[:])
	b.buffers.New = func() any { buf := make([]byte, 0, 2048); return &buf }
	b.hosts.init(&b.cfg)
	b.conns.init()
	b.exchanges = newExchanges(cfg.MaxPending, b.seed)
	b.registrar = newRegistrar(&b.cfg)
	b.owners = newOwners()
	b.pace = newPace(cfg.CallBurst, b.seed)
	b.targets = newTargets()
	b.digest = newDigest(&b.cfg)
	b.client = newClient(b)
	b.probes = newProbes()
	b.engine, err = newEngine(b)
	return b, err
}

// Run opens the sockets and serves until ctx ends. It returns nil then, and
// an error if a socket cannot be opened. It may be called once.
func (b *Bridge) Run(ctx context.Context) error {
	if err := b.bind(); err != nil {
		return err
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	b.ctx = inner
	b.hosts.bound(b.udp, b.tcp)
	b.owners.bound(b.udp)
	for _, l := range b.udp {
		b.tasks.Go(l.serve)
	}
	for _, l := range b.tcp {
		b.tasks.Go(l.serve)
	}
	b.tasks.Go(b.sweep)
	b.tasks.Go(b.keepHouse)
	close(b.ready)
	err := b.engine.Run(ctx) // says goodbye to the phones before the sockets close
	cancel()
	for _, l := range b.udp {
		_ = l.conn.Close()
	}
	for _, l := range b.tcp {
		_ = l.ln.Close()
	}
	b.conns.closeAll()
	b.tasks.Wait()
	return err
}

// Ready is closed when all sockets are open.
func (b *Bridge) Ready() <-chan struct{} { return b.ready }

// Addr is a socket that the front listens on.
type Addr struct {
	Network string // "udp" or "tcp"
	Addr    netip.AddrPort
}

// Addrs returns the sockets. Call it after Ready.
func (b *Bridge) Addrs() []Addr {
	var out []Addr
	for _, l := range b.udp {
		out = append(out, Addr{"udp", l.local})
	}
	for _, l := range b.tcp {
		out = append(out, Addr{"tcp", l.local})
	}
	return out
}

// sharedID is the Call-ID by which other adapters know a call or text of a
// phone. Many phones write their host behind an @ (RFC 3261 §8.1.1.4), which
// is nobody's business: those get another one, always the same.
func (b *Bridge) sharedID(id []byte) string {
	if bytes.IndexByte(id, '@') < 0 {
		return string(id)
	}
	h := hmac.New(sha256.New, b.idKey[:])
	h.Write(id)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// now is monotonic time since the bridge was made, for everything that lives
// for seconds.
func (b *Bridge) now() time.Duration { return time.Since(b.epoch) }

// background runs f beside the readers if there is room, and tells whether. A
// few goroutines stay to wait for the next f: a new one would have to grow its
// stack first.
func (b *Bridge) background(f func()) bool {
	select {
	case b.jobs <- f:
		return true
	default:
	}
	select {
	case b.slots <- struct{}{}:
	default:
		return false
	}
	b.tasks.Go(func() {
		defer func() { <-b.slots }()
		b.work(f)
	})
	return true
}

// work does what it is given until enough others wait for work.
func (b *Bridge) work(f func()) {
	for {
		f()
		f = nil
		if b.idle.Add(1) > idleWorkers {
			b.idle.Add(-1)
			return
		}
		select {
		case f = <-b.jobs:
			b.idle.Add(-1)
		case <-b.ctx.Done():
			return
		}
	}
}

const idleWorkers = 4

// refused counts.
func (b *Bridge) refused(reason string) { b.cfg.Refused(reason) }

// nag logs at most one such line in ten seconds: what strangers send must not
// fill the disk, and none of their bytes go into the log.
func (b *Bridge) nag(reason string) {
	b.noise.Do(func() { b.log.Info().Str("reason", reason).Msg("dropped SIP input; more of it is only counted") })
}

// Stats are counts since the start, and sizes at this moment.
type Stats struct {
	Requests  uint64 // SIP requests understood, ACK included
	Responses uint64 // sent, repetitions included
	Repeated  uint64 // responses that were sent again for a repeated request
	Redirects uint64 // 302s
	Carried   uint64 // calls handed to the engine
	Pending   int    // requests in progress
	Kept      int    // final responses kept for repetition
	Targets   int    // handed-out call targets
	Bindings  int    // registered phones
	Conns     int    // open TCP connections
}

type counters struct {
	requests, responses, repeated, redirects, carried atomic.Uint64
}

// Stats may be called at any time.
func (b *Bridge) Stats() Stats {
	pending, kept := b.exchanges.sizes()
	return Stats{
		Requests: b.stats.requests.Load(), Responses: b.stats.responses.Load(), Repeated: b.stats.repeated.Load(),
		Redirects: b.stats.redirects.Load(), Carried: b.stats.carried.Load(),
		Pending: pending, Kept: kept, Targets: b.targets.size(), Bindings: b.registrar.size(), Conns: b.conns.size(),
	}
}
