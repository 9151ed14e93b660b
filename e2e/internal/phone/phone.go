//go:build linux

package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/e2e/internal/tone"
)

// Phone is one softphone with one account. It serves one call at a time; its methods are for one goroutine.
type Phone interface {
	// Name says which phone it is, for messages.
	Name() string
	// Start switches the phone on; WaitRegistered then waits for the registrar's 200.
	Start(ctx context.Context) error
	WaitRegistered(ctx context.Context) error
	// Ready forgets the last call and turns to the next one. Call it on both phones before Dial.
	Ready(ctx context.Context) error
	// Dial starts a call and does not wait for an answer. A called phone answers by itself unless it is set to Manual.
	Dial(ctx context.Context, uri string) error
	WaitRinging(ctx context.Context) error
	WaitEstablished(ctx context.Context) error
	// WaitHeard waits until the recording of the call holds so much sound.
	WaitHeard(ctx context.Context, d time.Duration) error
	Hangup(ctx context.Context) error
	WaitClosed(ctx context.Context) error
	// Outcome tells, of a call that is closed, what the phone saw.
	Outcome() (Outcome, error)
	// Text sends a MESSAGE; WaitText waits for one that holds the words, since Ready.
	Text(ctx context.Context, uri, words string) error
	WaitText(ctx context.Context, words string) error
	// Trace gives the SIP messages sent and received since Ready.
	Trace() []Message
	// Off switches the phone off as a person does: it unregisters. Kill pulls the plug.
	Off(ctx context.Context) error
	Kill()
}

// Holder is a phone that can put a call on hold.
type Holder interface {
	Phone
	Hold(ctx context.Context) error
	Resume(ctx context.Context) error
}

// Changer is a phone with which people do more in a call than talk.
type Changer interface {
	Holder
	// Digits presses keys of the dial pad; WaitDigits waits until the phone has heard these since Ready.
	Digits(ctx context.Context, keys string) error
	WaitDigits(ctx context.Context, keys string) error
	// Transfer sends the other side to somebody (RFC 5589 §6) and waits until it has come through.
	Transfer(ctx context.Context, uri string) error
}

// Outcome is what a phone knows of a call that has ended.
type Outcome struct {
	Code     int        // of the last final response to its own INVITE: 200, or why the call failed; 0 for a called phone
	Reason   string     // the phrase with it
	Warning  string     // the Warning header with it, if any
	Followed bool       // a 302 came first
	Packets  int        // RTP packets received
	Sound    tone.Sound // what was recorded
}

// Config is an account and how the phone plays it.
type Config struct {
	Host *lab.Host
	User string
	// Domain is the right-hand side of the account's AOR, with a port where it is also the registrar's address.
	Domain string
	// Proxy is the outbound proxy, "127.0.0.1:5060"; empty for none: the phone then sends its requests where their URI points.
	Proxy string
	// TCP makes the phone speak TCP to the registrar and the proxy; otherwise it is UDP.
	TCP bool
	// Password is for digest authentication; empty for none.
	Password string
	// Manual makes the phone ring until the caller gives up or Hangup refuses the call; otherwise it answers at once.
	Manual   bool
	Loopback bool // it listens on 127.0.0.1 and nowhere else
	// Silence is after how many seconds without a packet of sound the phone hangs up by itself; 0 for its own default.
	Silence int
	// Port is the phone's own SIP port; Port+1 is in use too.
	Port int
	// Tone is a WAV file that outlasts any call.
	Tone string
	// Expires is the registration's lifetime in seconds; 0 for 300.
	Expires int
	// Peers are the URIs that the phone can send texts to. baresip knows no others.
	Peers []string
}

// transport is the parameter that a URI carries.
func (c Config) transport() string {
	if c.TCP {
		return ";transport=tcp"
	}
	return ";transport=udp"
}

// AOR is the account's address of record.
func (c Config) AOR() string { return "sip:" + c.User + "@" + c.Domain }

// own lists the addresses that the phone sends from.
func (c Config) own() []string {
	port := strconv.Itoa(c.Port)
	return []string{net.JoinHostPort(c.Host.Addr.String(), port), net.JoinHostPort("127.0.0.1", port)}
}

// bind is the address that the phone's ports are bound to, "" for all.
func (c Config) bind() string {
	if c.Loopback {
		return "127.0.0.1"
	}
	return ""
}

func (c Config) expires() int {
	if c.Expires == 0 {
		return 300
	}
	return c.Expires
}

// ErrNoCall reports an outcome asked for before there was a call.
var ErrNoCall = errors.New("no call since Ready")

// outcomeOf reads the answer to the phone's own INVITE out of its trace.
func outcomeOf(trace []Message) Outcome {
	var o Outcome
	for _, m := range trace {
		if m.Method != "INVITE" || m.Status < 200 || m.Sent {
			continue
		}
		o.Followed = o.Followed || m.Status == 302
		o.Code, o.Reason, o.Warning = m.Status, m.Reason, m.Header("Warning")
	}
	return o
}

// switchedOff waits until the program has ended.
func switchedOff(ctx context.Context, p Phone, proc *lab.Proc) error {
	select {
	case <-proc.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s does not switch off: %w", p.Name(), context.Cause(ctx))
	}
}

// waitFor asks until the condition holds or ctx ends. It is for what a phone tells only when asked.
func waitFor(ctx context.Context, what string, holds func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}

// waitHeard waits until heard gives d or more.
func waitHeard(ctx context.Context, p Phone, d time.Duration, heard func() time.Duration) error {
	err := waitFor(ctx, p.Name()+": no sound comes in", func() bool { return heard() >= d })
	if err != nil {
		return fmt.Errorf("%w: %v recorded, %v wanted", err, heard(), d)
	}
	return nil
}

// newest gives the last of the files, which are named by their time, that was not there before.
func newest(pattern string, known map[string]bool) string {
	found, _ := filepath.Glob(pattern) // sorted
	for i := len(found) - 1; i >= 0; i-- {
		if !known[found[i]] {
			return found[i]
		}
	}
	return ""
}
