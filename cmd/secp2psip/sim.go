package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secp2psip/secp2psip/internal/simnet"
	"github.com/secp2psip/secp2psip/internal/simnet/figures"
)

const longSim = `Run a ring of many nodes in one process on a virtual network and clock: the
program's own code, latency from measured round-trip times between cities,
nodes that come and go. The same seed gives the same figures, but for the time
and memory that the run took.

Without flags it runs 1,000 nodes whose median session is 84 s for 10 virtual
minutes.

A look-up is right when it leads to the node that the sorted list of all
members says. Bytes are what a node sends in a second: for look-ups (routing),
to keep the ring together (membership), for handshakes, and for records.`

func (a *app) simCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sim",
		Short:   "Simulate a large ring and measure it",
		Long:    longSim,
		Example: "  secp2psip sim\n  secp2psip sim --nodes 200 --session 0 --lookups 5000\n  secp2psip sim --nodes 1000 --loss 0.02 --seed 7 --json\n  secp2psip sim --nodes 200 --session 30m --nat 0.3 --cut 1m\n  secp2psip sim --nodes 100 --session 0 --attack lie --bad 0.3\n  secp2psip sim --nodes 100000 --routing-only --session 0 --lookups 10000\n  secp2psip sim --nodes 2000 --session 174m --settled --plain --duration 20m --lookups 10000\n  secp2psip sim --verifications",
		Args:    none,
	}
	var cfg simnet.Config
	cmd.Flags().IntVar(&cfg.Nodes, "nodes", 1000, "live nodes, 2 to 1000000")
	cmd.Flags().IntVar(&cfg.Lookups, "lookups", 1000, "look-ups that are judged")
	cmd.Flags().DurationVar(&cfg.Session, "session", 84*time.Second, "median time that a node stays, 0 for ever")
	cmd.Flags().DurationVar(&cfg.Duration, "duration", 0, "virtual time that is measured (default 10m or three sessions, the longer)")
	cmd.Flags().DurationVar(&cfg.Warmup, "warmup", time.Minute, "virtual time before that, once all nodes have joined")
	cmd.Flags().Float64Var(&cfg.Loss, "loss", 0, "chance that a packet is lost, 0 to below 1")
	cmd.Flags().BoolVar(&cfg.RoutingOnly, "routing-only", false, "look-ups in a ring that stands from the start; needs --session 0")
	cmd.Flags().IntVar(&cfg.Names, "names", 0, "with --routing-only: look up the names of so many people in place of positions")
	cmd.Flags().IntVar(&cfg.Members, "members", 0, "bound of each node's table of members (default 8192, with --routing-only 2048)")
	cmd.Flags().IntVar(&cfg.Budget, "ring-bytes", 0, "bytes a second of each node to keep the ring together (default that of limits.ring_bytes)")
	cmd.Flags().IntVar(&cfg.K, "k", 4, "shares that give a key back")
	cmd.Flags().IntVar(&cfg.N, "n", 10, "shares that there are of a key")
	cmd.Flags().BoolVar(&cfg.Settled, "settled", false, "begin with a ring that stands for long, not with its nodes' joining one by one")
	cmd.Flags().BoolVar(&cfg.Plain, "plain", false, "no names and records: look up random positions")
	attack := cmd.Flags().String("attack", "", "what bad nodes do: "+strings.Join(simnet.Attacks(), ", "))
	cmd.Flags().Float64Var(&cfg.Bad, "bad", 0, "share of the devices that are bad, 0 to 1 (default with --attack 0.1)")
	cmd.Flags().Float64Var(&cfg.NAT, "nat", 0, "share of the devices that nobody reaches from outside, 0 to below 1")
	cmd.Flags().DurationVar(&cfg.Cut, "cut", 0, "for so long, in the middle of the run, the ring is in two halves")
	cmd.Flags().Uint64Var(&cfg.Seed, "seed", 1, "what all chance is drawn from")
	count := cmd.Flags().Bool("verifications", false, "count the signatures that a look-up of a name makes its node check, in rings of 10 to 10,000 nodes, and measure nothing else")
	dir := cmd.Flags().String("figures", "", "draw every figure of the documentation into this folder, and measure nothing else")
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *dir != "" {
			return a.drawFigures(cmd.Context(), *dir, cfg.Seed)
		}
		if *count {
			return a.countVerifications(cmd.Context(), cfg, *asJSON)
		}
		cfg.Attack = simnet.Attack(*attack)
		return a.simulate(cmd.Context(), cfg, *asJSON)
	}
	return cmd
}

// Collecting garbage is a fifth of a run's time where memory is scarce: while a run
// takes less than two thirds of what the machine has to spare, and less than simMost
// in any case, the heap may grow to five times what lives.
const (
	simGarbage = 400
	simLeast   = 3 << 30 // bytes
	simMost    = 12 << 30
)

// simulate runs a simulation and prints what came of it; what there is so far
// when ctx ends.
func (a *app) simulate(ctx context.Context, cfg simnet.Config, asJSON bool) error {
	bar := &simBar{out: a.stderr}
	if terminal(a.stderr) {
		cfg.Progress = bar.show
	}
	defer debug.SetGCPercent(debug.SetGCPercent(simGarbage))
	limit := min(simMost, max(simLeast, simnet.SpareMemory()*2/3))
	simnet.LargePages(limit)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
	s, err := simnet.New(cfg)
	if err != nil {
		return fail(exitUsage, "run 'secp2psip sim --help'", "%s", strings.TrimPrefix(err.Error(), simnet.ErrConfig.Error()+": "))
	}
	r := s.Run(ctx)
	bar.clear()
	if asJSON {
		err = a.printJSON(r)
	} else {
		err = a.printSim(r)
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

// countVerifications prints what looking names up costs in rings of several
// sizes, and the line that it stays below.
func (a *app) countVerifications(ctx context.Context, cfg simnet.Config, asJSON bool) error {
	var out struct {
		Rings []simnet.Verification `json:"rings"`
		A     float64               `json:"a"`
		B     float64               `json:"b"` // a + b·log10 N is nowhere below the measured
	}
	for _, n := range simnet.VerifySizes() {
		v, err := simnet.Verify(ctx, n, cfg.Members, 100, cfg.Seed)
		if err != nil {
			return err
		}
		out.Rings = append(out.Rings, v)
	}
	out.A, out.B = simnet.FitLog(out.Rings)
	if asJSON {
		return a.printJSON(out)
	}
	t := a.table("NODES", "VERIFICATIONS", "RIGHT")
	for _, v := range out.Rings {
		t.row(fmt.Sprint(v.Nodes), fmt.Sprintf("%.1f", v.Mean), fmt.Sprintf("%.1f %%", 100*v.Right))
	}
	if err := t.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "at most %.1f + %.1f log10 N signatures for a look-up of a name with empty caches and cold links\n", out.A, out.B)
	return err
}

// drawFigures runs all the simulations that the documentation shows.
func (a *app) drawFigures(ctx context.Context, dir string, seed uint64) error {
	m := figures.Maker{Dir: dir, Seed: seed, Progress: func(name string) {
		fmt.Fprintf(a.stderr, "secp2psip: drawing %s\n", name)
	}}
	return m.Draw(ctx)
}

// simBar is a line on a terminal that tells how far a run has come.
type simBar struct {
	out   io.Writer
	last  time.Time
	shown bool
}

func (b *simBar) show(p simnet.Progress) {
	const every = 200 * time.Millisecond
	if time.Since(b.last) < every {
		return
	}
	b.last, b.shown = time.Now(), true
	const width = 30
	done := min(width, int(p.Done*width))
	fmt.Fprintf(b.out, "\r\x1b[K[%s%s] %3.0f %%  %s, %d nodes, %d look-ups, %s",
		strings.Repeat("#", done), strings.Repeat(".", width-done), 100*p.Done, p.Stage, p.Nodes, p.Lookups, p.Virtual.Round(time.Second))
}

func (b *simBar) clear() {
	if b.shown {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

func (a *app) printSim(r *simnet.Result) error {
	t := a.table("WHAT", "VALUE")
	row := func(what, format string, args ...any) { t.row(what, fmt.Sprintf(format, args...)) }
	row("nodes", "%d", r.Nodes)
	row("look-ups right", "%d of %d, %.2f %% (95 %%: %.2f to %.2f %%)", r.ResolvedRight, r.Lookups, 100*r.Success, 100*r.SuccessInterval[0], 100*r.SuccessInterval[1])
	row("wrong, refused", "%d, %d", r.ResolvedWrong, r.Refused)
	row("hops", "mean %.2f, p99 %d", r.HopsMean, r.HopsP99)
	row("latency", "p50 %.0f ms, p99 %.0f ms", r.LatencyMS.P50, r.LatencyMS.P99)
	b := r.BytesPerSNode
	row("bytes/s a node", "routing %.0f, membership %.0f, handshakes %.0f, records %.0f; certificates %.0f, keep-alives %.0f", b.Routing, b.Membership, b.Handshakes, b.Records, r.Certificates, r.KeepAlive)
	row("virtual time", "%.0f s, %d nodes died since the start", r.VirtualS, r.Deaths)
	row("it took", "%.1f s, %.0f MiB", r.WallS, r.RSSMiB)
	row("seed", "%d", r.Seed)
	if r.Settled {
		row("start", "%s", "a ring that stood from the start")
	}
	return t.flush()
}
