package carry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// Engine carries calls. Its methods may be called concurrently.
type Engine struct {
	cfg  Config
	live atomic.Int32 // calls in the tables, for Handle to pass by quickly

	ctx  context.Context // of the calls; ends when Run is to
	stop context.CancelFunc

	mu      sync.Mutex
	stopped bool // takes no call any more
	active  int  // calls that are not over
	byID    map[string]*call
	dialogs map[dialogKey]*call
	invites map[txKey]*call
	wg      sync.WaitGroup
}

// dialogKey names a dialog as the phone's own requests do.
type dialogKey struct{ callID, fromTag, toTag string }

// txKey names a request and its retransmissions (RFC 3261 §17.2.3), whatever
// the port: a phone may open a new connection.
type txKey struct {
	branch, sentBy string
	addr           netip.Addr
}

// New checks the configuration; it starts nothing.
func New(cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, byID: map[string]*call{}, dialogs: map[dialogKey]*call{}, invites: map[txKey]*call{}}
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e, nil
}

// stopGrace is how long Run lets calls say goodbye.
const stopGrace = 2 * time.Second

// Run lets calls be carried until ctx ends. Then every call is ended at both
// phones, and Run returns when all goroutines have: after 2 s at most, unless
// a Sender or Tunnel hangs. The Sender must work, and Handle be called, until
// then. Calls may come before Run does, so that no phone finds the front up
// and the engine not. Run may be called once.
func (e *Engine) Run(ctx context.Context) error {
	<-ctx.Done()
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.stop()
	e.wg.Wait()
	return nil
}

// Handle takes a message from a phone; see the seam. It keeps no memory of msg.
func (e *Engine) Handle(from Flow, msg []byte) bool {
	if e.live.Load() == 0 {
		return false
	}
	p, err := read(msg, false)
	if err != nil {
		return false
	}
	c := e.find(from, p)
	if c == nil {
		return false
	}
	if p, err = read(msg, true); err != nil {
		return false
	}
	c.offer(phoneInput{from, p})
	return true
}

func (e *Engine) find(from Flow, p *parsed) *call {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !p.IsRequest() {
		id, _, ok := strings.Cut(strings.TrimPrefix(p.branch, branchPrefix), ".")
		if !ok || !strings.HasPrefix(p.branch, branchPrefix) {
			return nil
		}
		return e.byID[id]
	}
	switch p.method {
	case "INVITE", "ACK", "CANCEL":
		if c := e.invites[txKey{p.branch, p.sentBy, from.Remote.Addr().Unmap()}]; c != nil {
			return c
		}
	}
	if p.toTag == "" {
		return nil
	}
	return e.dialogs[dialogKey{p.callID, p.fromTag, p.toTag}]
}

// branchPrefix begins the branch of every Via of ours; the call's ID follows.
const branchPrefix = "z9hG4bKcy"

// admit makes room for one call and starts its goroutine.
func (e *Engine) admit(c *call) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped:
		return ErrNotRunning
	// Calls that are over stay for half a minute to answer retransmissions.
	case e.active >= e.cfg.MaxCalls || len(e.byID) >= 8*e.cfg.MaxCalls:
		e.cfg.Refused(RefusedBusy)
		return ErrBusy
	}
	e.active++
	e.byID[c.id] = c
	e.live.Add(1)
	if c.initial != nil {
		e.invites[c.initial.key.txKey] = c
	}
	e.wg.Go(c.run)
	return nil
}

func (e *Engine) addDialog(k dialogKey, c *call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dialogs[k] == nil {
		e.dialogs[k] = c
		c.keys = append(c.keys, k)
	}
}

// over frees the call's place among those that count.
func (e *Engine) over() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active--
}

func (e *Engine) forget(c *call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.byID, c.id)
	e.live.Add(-1)
	for _, k := range c.keys {
		delete(e.dialogs, k)
	}
	if c.initial != nil && e.invites[c.initial.key.txKey] == c {
		delete(e.invites, c.initial.key.txKey)
	}
}

// Calls returns the calls that are not over, in no order.
func (e *Engine) Calls() []Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	infos := make([]Info, 0, len(e.byID))
	for _, c := range e.byID {
		if c.info.State != Ended {
			info := c.info
			info.Media = c.mediaInfoLocked()
			infos = append(infos, info)
		}
	}
	return infos
}

// report changes the call's Info and tells about it.
func (e *Engine) report(c *call, change func(*Info)) {
	e.cfg.OnEvent(Event{e.update(c, change)})
}

func (e *Engine) update(c *call, change func(*Info)) Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&c.info)
	return c.info
}

func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// warning returns a Warning value (RFC 3261 §20.43).
func (e *Engine) warning(text string) string {
	if text == "" {
		return ""
	}
	line := string(message.AppendWarning(nil, e.cfg.Agent, text))
	return strings.TrimSuffix(strings.TrimPrefix(line, "Warning: "), "\r\n")
}
