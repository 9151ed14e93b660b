//go:build linux

package bench

import (
	"context"
	"flag"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// relayedBeside names another build of the program, to see what a change has
// brought.
var relayedBeside = flag.String("relayed.beside", "", "measure the program `FILE`, too, in BenchmarkRelayed")

// ourPair are two adapters as processes of their own, with a phone each.
type ourPair struct {
	a, b   *program
	caller *demo.Phone
	called *demo.Phone
}

func newOurPair(b *testing.B, path string) *ourPair {
	b.Helper()
	l := testnet.New(b, func(c *bootstrap.Config) { c.Charter.Paths = []string{"protected"} })
	ctx, cancel := context.WithTimeout(b.Context(), 2*testnet.Deadline)
	defer cancel()
	start := func(name string) (*program, *demo.Phone) {
		p := startProgram(b, path, name, l.Invite(name, 1).String(), "SECP2PSIP_LIMITS_CALL_BURST=1000")
		testnet.Eventually(b, name+"'s adapter answers", p.answers)
		phone := newPhone(b, name, p.sip)
		if err := phone.Register(ctx); err != nil {
			b.Fatal(err)
		}
		return p, phone
	}
	o := &ourPair{}
	o.a, o.caller = start("alice")
	o.b, o.called = start("bob")
	return o
}

// talking is how many calls of a program have media both ways, and how many
// packets it has relayed.
func (p *program) talking(b *testing.B) (calls int, packets uint64) {
	b.Helper()
	var s admin.Status
	if err := admin.Dial(p.state).Call(b.Context(), admin.MethodStatus, nil, &s); err != nil {
		b.Fatal(err)
	}
	for _, c := range s.Live {
		if m := c.Media; m != nil {
			packets += m.Sent.Packets + m.Received.Packets
			if m.Sent.Packets > 0 && m.Received.Packets > 0 {
				calls++
			}
		}
	}
	return calls, packets
}

// relayed is what one process of either kind has used for the packets of all
// calls while they spoke.
type relayed struct {
	cpu     time.Duration
	packets uint64
	lost    int
	grown   float64 // MiB of the process since before the calls
}

func (r relayed) each() float64 {
	return float64(r.cpu) / float64(r.packets) / float64(time.Microsecond)
}

// speak makes the calls, and measures while all of them speak.
func (o *ourPair) speak(b *testing.B) (r relayed) {
	b.Helper()
	before := memoryOf(b, o.a.cmd.Process.Pid).RSS
	over := make(chan struct{})
	var work sync.WaitGroup
	outcomes := make(chan *demo.Outcome, mediaCalls)
	for range mediaCalls {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(b.Context(), 2*testnet.Deadline)
			defer cancel()
			out, err := o.caller.CallUntil(ctx, "bob", over)
			if err != nil {
				b.Error(err)
				out = &demo.Outcome{}
			}
			outcomes <- out
		})
	}
	testnet.Eventually(b, "all speak", func() bool { n, _ := o.a.talking(b); return n == mediaCalls })
	_, packets := o.a.talking(b)
	cpu := cpuOf(b, o.a.cmd.Process.Pid)
	<-time.After(mediaTime)
	r.cpu = cpuOf(b, o.a.cmd.Process.Pid) - cpu
	_, now := o.a.talking(b)
	r.packets = now - packets
	r.grown = memoryOf(b, o.a.cmd.Process.Pid).RSS - before
	close(over)
	work.Wait()
	for range mediaCalls {
		out := <-outcomes
		r.lost += out.Heard.Missing
		select {
		case heard := <-o.called.Answered():
			r.lost += heard.Missing
		case <-time.After(testnet.Deadline):
			b.Fatal("the called phone sees no end of a call")
		}
	}
	return r
}

// speak has all voices speak through rtpengine.
func (e engines) speak(b *testing.B, voices []*voice) (r relayed, s spoken) {
	b.Helper()
	for _, v := range voices {
		v.sent, v.late = 0, 0
		v.got.Store(0)
	}
	cpu := cpuOf(b, e.a.cmd.Process.Pid)
	s = speak(b, voices)
	return relayed{cpu: cpuOf(b, e.a.cmd.Process.Pid) - cpu, packets: uint64(s.got), lost: s.sent - s.got}, s
}

// BenchmarkRelayed compares what relaying costs one adapter with what it costs
// one rtpengine, in turns: 50 calls, G.711 in packets of 20 ms both ways, between
// phones that speak plain RTP and a second adapter, or a second rtpengine that
// takes SRTP of the same cipher. All four are processes of their own, and the
// adapters are the whole program with all that it does meanwhile.
func BenchmarkRelayed(b *testing.B) {
	ours, theirs := newOurPair(b, build(b)), newEngines(b)
	var beside *ourPair
	if *relayedBeside != "" {
		beside = newOurPair(b, *relayedBeside)
	}
	var voices []*voice
	for n := range mediaCalls {
		voices = append(voices, theirs.call(b, n)...)
	}
	var our, their, ratio, other []float64
	lostOurs, lostTheirs := 0, 0
	grown := 0.0
	var took []time.Duration
	for b.Loop() {
		o := ours.speak(b)
		t, s := theirs.speak(b, voices)
		our, their, ratio = append(our, o.each()), append(their, t.each()), append(ratio, o.each()/t.each())
		lostOurs, lostTheirs = lostOurs+o.lost, lostTheirs+t.lost
		if beside != nil {
			other = append(other, beside.speak(b).each()/t.each())
		}
		took, grown = append(took, s.took...), max(grown, o.grown)
	}
	middle := func(x []float64) float64 { slices.Sort(x); return x[len(x)/2] }
	// Each packet of a call crosses the adapter once: a hundred a second.
	const percent = 100 * 2 / (float64(mediaFrame) / float64(time.Microsecond))
	b.ReportMetric(middle(our), "our-µs/packet")
	b.ReportMetric(middle(their), "rtpengine-µs/packet")
	b.ReportMetric(middle(our)*percent, "our-core-%/call")
	b.ReportMetric(middle(their)*percent, "rtpengine-core-%/call")
	b.ReportMetric(middle(ratio), "ratio")
	b.ReportMetric(slices.Min(ratio), "ratio-min")
	b.ReportMetric(slices.Max(ratio), "ratio-max")
	if beside != nil {
		b.ReportMetric(middle(other), "beside-ratio")
		b.ReportMetric(slices.Min(other), "beside-ratio-min")
		b.ReportMetric(slices.Max(other), "beside-ratio-max")
	}
	b.ReportMetric(grown*1024/mediaCalls, "our-KiB/call")
	slices.Sort(took)
	b.ReportMetric(float64(percentile(took, 0.5))/float64(time.Microsecond), "rtpengine-p50-µs")
	b.ReportMetric(float64(percentile(took, 0.99))/float64(time.Microsecond), "rtpengine-p99-µs")
	b.ReportMetric(float64(lostOurs), "our-lost")
	b.ReportMetric(float64(lostTheirs), "rtpengine-lost")
	b.ReportMetric(0, "ns/op")
}
