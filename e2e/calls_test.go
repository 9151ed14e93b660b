//go:build e2e && linux

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/e2e/internal/phone"
	"github.com/secp2psip/secp2psip/e2e/internal/tone"
)

// How long things may take before a test fails. Two busy cores need some of it.
const (
	starting  = 90 * time.Second // of a program, a join, a registration
	answering = 15 * time.Second // of a call, from dialling to sound
	closing   = 10 * time.Second // of a call, from BYE to both sides knowing
	talking   = 1500 * time.Millisecond
)

// The tones that a caller and a called phone play.
const (
	callerHz = 440
	calledHz = 1000
)

// within gives a context for one step of a test.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, fmt.Errorf("not within %v", d))
	t.Cleanup(cancel)
	return ctx
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tone440(t testing.TB, l *lab.Lab) string  { return toneFile(t, l, callerHz) }
func tone1000(t testing.TB, l *lab.Lab) string { return toneFile(t, l, calledHz) }

// toneFile makes a tone that outlasts any call: baresip hangs up at its end.
func toneFile(t testing.TB, l *lab.Lab, hz float64) string {
	t.Helper()
	path := filepath.Join(l.Dir(), fmt.Sprintf("%.0f.wav", hz))
	must(t, tone.Write(path, hz, 2*time.Minute))
	return path
}

// newPhone makes a phone of a kind: "baresip" or "linphonec".
func newPhone(t testing.TB, kind string, cfg phone.Config) phone.Phone {
	t.Helper()
	lab.Require(t, kind)
	var p phone.Phone
	var err error
	switch kind {
	case "baresip":
		p, err = phone.NewBaresip(cfg)
	case "linphonec":
		p, err = phone.NewLinphone(cfg)
	default:
		t.Fatalf("no phone of kind %q", kind)
	}
	must(t, err)
	return p
}

// start switches phones on and waits until all are registered.
func start(t testing.TB, phones ...phone.Phone) {
	t.Helper()
	for _, p := range phones {
		must(t, p.Start(within(t, starting)))
	}
	for _, p := range phones {
		must(t, p.WaitRegistered(within(t, starting)))
	}
}

// answer is yes, no, or not asked.
type answer int

const (
	unasked answer = iota
	yes
	no
)

// call is one call to prove.
type call struct {
	from, to      phone.Phone
	uri           string
	followed      answer // whether the caller's phone saw a 302
	calledHangsUp bool   // else the caller does
}

// proveCall makes a call and proves sound both ways, by the frequency of the other's tone and by packets received, and
// that a BYE from one side ends it on both.
func proveCall(t testing.TB, c call) {
	t.Helper()
	ready(t, c.from, c.to)
	over := false
	defer func() {
		if !over { // do not let one failure keep the phones busy for the next call
			_, _ = c.from.Hangup(context.Background()), c.to.Hangup(context.Background())
		}
	}()
	must(t, c.from.Dial(within(t, answering), c.uri))
	must(t, c.from.WaitEstablished(within(t, answering)))
	must(t, c.to.WaitEstablished(within(t, answering)))
	must(t, c.from.WaitHeard(within(t, answering), talking))
	must(t, c.to.WaitHeard(within(t, answering), talking))
	if c.calledHangsUp {
		must(t, c.to.Hangup(within(t, closing)))
	} else {
		must(t, c.from.Hangup(within(t, closing)))
	}
	must(t, c.from.WaitClosed(within(t, closing)))
	must(t, c.to.WaitClosed(within(t, closing)))
	over = true

	got := proveHeard(t, c.from, calledHz)
	proveHeard(t, c.to, callerHz)
	if got.Code != 200 {
		t.Errorf("%s: the call's last answer is %d %s", c.from.Name(), got.Code, got.Reason)
	}
	if c.followed == yes && !got.Followed {
		t.Errorf("%s: no 302 came", c.from.Name())
	}
	if c.followed == no && got.Followed {
		t.Errorf("%s: a 302 came", c.from.Name())
	}
}

func ready(t testing.TB, phones ...phone.Phone) {
	t.Helper()
	for _, p := range phones {
		must(t, p.Ready(within(t, starting)))
	}
}

// proveHeard checks that a phone received packets and recorded the tone.
func proveHeard(t testing.TB, p phone.Phone, hz float64) phone.Outcome {
	t.Helper()
	o, err := p.Outcome()
	if err != nil {
		t.Errorf("%s: %v", p.Name(), err)
		return o
	}
	if !o.Sound.Is(hz) {
		t.Errorf("%s hears %v, not the %v Hz of the other side", p.Name(), o.Sound, hz)
	}
	if want := int(talking / (40 * time.Millisecond)); o.Packets < want {
		t.Errorf("%s received %d packets, fewer than %d", p.Name(), o.Packets, want)
	}
	return o
}

// proveRefusal dials and expects a final answer with the code.
func proveRefusal(t testing.TB, from phone.Phone, uri string, code int) phone.Outcome {
	t.Helper()
	ready(t, from)
	must(t, from.Dial(within(t, answering), uri))
	must(t, from.WaitClosed(within(t, answering)))
	o, err := from.Outcome()
	must(t, err)
	if o.Code != code {
		t.Errorf("%s calls %s: %d %s (%s), want %d", from.Name(), uri, o.Code, o.Reason, o.Warning, code)
	}
	return o
}

// proveText sends a MESSAGE and expects it at the other phone.
func proveText(t testing.TB, from, to phone.Phone, uri string) {
	t.Helper()
	ready(t, from, to)
	const words = "dinner at eight?"
	must(t, from.Text(within(t, answering), uri, words))
	must(t, to.WaitText(within(t, answering), words))
}
