package sipbridge

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// fakeEngine stands where carried calls would be.
type fakeEngine struct {
	mu      sync.Mutex
	refuse  error
	calls   []carry.Call
	echoes  [][]byte
	rings   []carry.Ring
	seen    []string // first lines of what Handle was offered
	handles func(from carry.Flow, msg []byte) bool
}

func (e *fakeEngine) Handle(from carry.Flow, msg []byte) bool {
	line, _, _ := strings.Cut(string(msg), "\r\n")
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) < 1000 {
		e.seen = append(e.seen, line)
	}
	return e.handles != nil && e.handles(from, msg)
}

func (e *fakeEngine) Carry(c carry.Call) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse == nil {
		e.calls = append(e.calls, c)
	}
	return e.refuse
}

func (e *fakeEngine) Echo(_ carry.Flow, invite []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.echoes = append(e.echoes, invite)
	return e.refuse
}

func (e *fakeEngine) Ring(_ context.Context, r carry.Ring, t carry.Tunnel) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rings = append(e.rings, r)
	return t.Close()
}

func (e *fakeEngine) Calls() []carry.Info { return nil }

func (e *fakeEngine) HangUp(carry.Left, string) error { return nil }

func (e *fakeEngine) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// set changes what the engine does.
func (e *fakeEngine) set(refuse error, handles func(carry.Flow, []byte) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse, e.handles = refuse, handles
}

func (e *fakeEngine) carried() []carry.Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls)
}

func (e *fakeEngine) offered() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.seen)
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		wait := time.NewTimer(2 * time.Millisecond)
		<-wait.C
	}
}

func carryFlow(transport string, remote, local netip.AddrPort) carry.Flow {
	return carry.Flow{Transport: transport, Remote: remote, Local: local}
}

// recorder is a connection that keeps what is written to it.
type recorder struct {
	net.Conn
	mu  sync.Mutex
	out [][]byte
}

func (c *recorder) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, slices.Clone(b))
	return len(b), nil
}

func (c *recorder) SetWriteDeadline(time.Time) error { return nil }
func (c *recorder) Close() error                     { return nil }
