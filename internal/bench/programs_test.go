//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// programs is how many adapters run as processes of their own: enough pairs
// for a thousand calls within the calls per pair and per node that adapters
// accept.
const programs = 16

// program is the real adapter, with all its defaults but the addresses.
type program struct {
	name   string
	cmd    *exec.Cmd
	state  string
	sip    netip.AddrPort
	caller *caller
}

// ready names the command where it has been built before.
var ready = flag.String("program", "", "take the program `FILE` instead of building it from this tree")

// build builds the command.
func build(b *testing.B) string {
	b.Helper()
	if *ready != "" {
		return *ready
	}
	path := filepath.Join(b.TempDir(), "secp2psip")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "../../cmd/secp2psip")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

func programName(i int) string { return fmt.Sprintf("p%02d", i) }

// startPrograms starts n adapters of the LAN as processes, each with a phone,
// with these settings in their environment.
func startPrograms(b *testing.B, lan *testnet.LAN, n int, settings ...string) []*program {
	b.Helper()
	path := build(b)
	ctx, cancel := context.WithTimeout(b.Context(), time.Duration(n)*testnet.Deadline)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(4)
	all := make([]*program, n)
	for i := range all {
		name := programName(i)
		p := startProgram(b, path, name, lan.Invite(name, 1).String(), settings...)
		testnet.Eventually(b, name+"'s adapter answers", p.answers)
		p.caller = newCaller(b, name, p.sip)
		phone := newPhone(b, name, p.sip)
		g.Go(func() error { return phone.Register(ctx) })
		all[i] = p
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return all
}

// startProgram starts an adapter with these settings in its environment.
func startProgram(b *testing.B, path, name, link string, settings ...string) *program {
	b.Helper()
	dir, err := os.MkdirTemp("", "bench") // a short path: there is a socket in it
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &program{name: name, state: filepath.Join(dir, "state")}
	p.cmd = exec.Command(path, "adapter", "--state", p.state, "--join", link, "--listen", "127.0.0.1:0",
		"--sip-listen", "udp:127.0.0.1:0", "--sip-redirect", "always")
	p.cmd.Env = append(os.Environ(), settings...)
	var log bytes.Buffer
	p.cmd.Stderr = &log
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if b.Failed() {
			b.Logf("%s:\n%s", name, &log)
		}
	})
	return p
}

// answers tells whether the program is up, and learns where it serves phones.
func (p *program) answers() bool {
	var s admin.Status
	if err := admin.Dial(p.state).Call(context.Background(), admin.MethodStatus, nil, &s); err != nil {
		return false
	}
	for _, at := range s.SIP {
		if addr, ok := strings.CutPrefix(at, "udp:"); ok {
			p.sip, _ = netip.ParseAddrPort(addr)
		}
	}
	return p.sip.IsValid()
}

// newPhone opens a phone that answers OPTIONS until the benchmark ends.
func newPhone(b *testing.B, name string, at netip.AddrPort) *demo.Phone {
	b.Helper()
	phone, err := demo.NewPhone(name, 440, at)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- phone.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		<-done
	})
	ready, cancel := context.WithTimeout(ctx, testnet.Deadline)
	defer cancel()
	if err := phone.Await(ready); err != nil {
		b.Fatal(err)
	}
	return phone
}

func totalCPU(b *testing.B, all []*program) (sum time.Duration) {
	for _, p := range all {
		sum += cpuOf(b, p.cmd.Process.Pid)
	}
	return sum
}

// How long programs are left alone before their idleness is measured, and for
// how long it is. A ring that nothing disturbs looks after itself less often
// from the twentieth second on.
const (
	settleTime = 25 * time.Second
	idleTime   = 30 * time.Second
)

// BenchmarkPrograms runs the real program: a LAN of 16 adapters, each a process
// of its own with a phone and all the default limits.
//
//	call  INVITE → 302 with resolutions cached, as fast as one caller after
//	      the other gets an answer, between all pairs in turn: the CPU time of
//	      all 16 for each call, which are the two that it concerns and the
//	      others' idling
//	idle  nobody calls: the memory and the CPU time of each of the 16
func BenchmarkPrograms(b *testing.B) {
	all := startPrograms(b, testnet.New(b, nil), programs)
	turn := 0
	next := func() (time.Duration, error) {
		from := turn % programs
		to := (from + 1 + turn/programs%(programs-1)) % programs
		turn++
		return all[from].caller.invite(all[to].name)
	}
	b.Run("call", func(b *testing.B) {
		for range programs * (programs - 1) { // everybody has called everybody
			if _, err := next(); err != nil {
				b.Fatal(err)
			}
		}
		took := make([]time.Duration, 0, b.N)
		before := totalCPU(b, all)
		for b.Loop() {
			d, err := next()
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, d)
		}
		used := totalCPU(b, all) - before
		report(b, took)
		b.ReportMetric(ms(used)/float64(len(took)), "cpu-ms/call")
	})
	b.Run("idle", func(b *testing.B) {
		for once := true; b.Loop(); once = false {
			if once {
				measureIdle(b, all)
			}
		}
	})
}

func measureIdle(b *testing.B, all []*program) {
	<-time.After(settleTime)
	before := make([]time.Duration, len(all))
	for i, p := range all {
		before[i] = cpuOf(b, p.cmd.Process.Pid)
	}
	start := time.Now()
	<-time.After(idleTime)
	var cpu, rss []float64
	for i, p := range all {
		cpu = append(cpu, 100*float64(cpuOf(b, p.cmd.Process.Pid)-before[i])/float64(time.Since(start)))
		rss = append(rss, memoryOf(b, p.cmd.Process.Pid).RSS)
	}
	b.ReportMetric(slices.Max(cpu), "cpu-%")
	b.ReportMetric(slices.Max(rss), "rss-MiB")
	b.ReportMetric(0, "ns/op")
	text, _ := json.Marshal(map[string][]float64{"cpu-%": cpu, "rss-MiB": rss})
	b.Log(string(text))
}
