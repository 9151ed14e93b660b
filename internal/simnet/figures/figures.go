package figures

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/secp2psip/secp2psip/internal/simnet"
)

// Maker draws all figures into a folder.
type Maker struct {
	Dir      string
	Seed     uint64
	Small    bool                // small rings and few trials, to see whether it works
	Progress func(figure string) // nil = nobody wants to know
	captions []string
}

// figure is one of them.
type figure struct {
	name    string
	draw    func(ctx context.Context, name string) error
	caption string
}

// Draw makes every figure, and README.md with their captions. It stops early
// when ctx ends.
func (m *Maker) Draw(ctx context.Context) error {
	for _, f := range []figure{
		{"hops", m.hops, "Queries one after the other until a look-up knows who is responsible, mean, in rings that stand, each node's table bounded at 2,048 members; a still ring of the product's own next-hop functions."},
		{"latency", m.latency, "Time from asking for a name to its verified key and devices: the registration from two positions and 4 of 10 shares. Cold: every link of the asking node is cut before each look-up."},
		{"bad-peers", m.badPeers, "Resolutions that give the right key and device, beside plain Chord look-ups along one path."},
		{"share-holders", m.shareHolders, "Points: readings of keyshare's own code with real signatures, the holders drawn from 100 nodes anew each time. Lines: hypergeometric distribution. No reading gave a key of the attackers; the thin lines are what unsigned shares would allow."},
		{"bytes", m.bytes, "What a node sends, by purpose, where the median node stays for 84 s. Handshakes include the first packets to nodes that have died."},
	} {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if m.Progress != nil {
			m.Progress(f.name)
		}
		if err := f.draw(ctx, f.name); err != nil {
			return err
		}
		m.captions = append(m.captions, fmt.Sprintf("## %s\n\n![%s](%s.svg)\n\n%s `secp2psip sim --figures docs/figures --seed %d`\n", f.name, f.name, f.name, f.caption, m.Seed))
	}
	text := "# Figures\n\nAll are made by `make figures`. One seed gives the same data.\n\n" + strings.Join(m.captions, "\n")
	return os.WriteFile(filepath.Join(m.Dir, "README.md"), []byte(text), 0o644) // #nosec G306 -- figures are for everybody to read
}

// run runs one simulation.
func (m *Maker) run(ctx context.Context, cfg simnet.Config) (*simnet.Result, *simnet.Sim, error) {
	cfg.Seed = m.Seed
	s, err := simnet.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	r := s.Run(ctx)
	return r, s, ctx.Err()
}

func (m *Maker) pick(large, small []int) []int {
	if m.Small {
		return small
	}
	return large
}

func (m *Maker) hops(ctx context.Context, name string) error {
	var ours, half plotter.XYs
	for _, n := range m.pick([]int{100, 300, 1000, 3000, 10_000}, []int{100, 200}) {
		r, _, err := m.run(ctx, simnet.Config{Nodes: n, RoutingOnly: true, Lookups: 5000})
		if err != nil {
			return err
		}
		ours = append(ours, plotter.XY{X: float64(n), Y: r.HopsMean})
		half = append(half, plotter.XY{X: float64(n), Y: math.Log2(float64(n)) / 2})
	}
	p := newPlot("Hops of a look-up", "nodes N", "queries one after the other, mean")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, sizeTicks(ours)
	p.Y.Min, p.Y.Max = 0, 8
	p.Y.Tick.Marker = everyTicks(0, 8, 1)
	p.Legend.Top, p.Legend.Left, p.Legend.XOffs, p.Legend.YOffs = true, true, 8, -4
	if err := add(p, series{name: "½·log₂N, plain Chord", at: half, colour: 1, dash: 1}, series{name: "secp2psip, 2,048 members a table", at: ours, points: 1}); err != nil {
		return err
	}
	return save(p, m.Dir, name)
}

func (m *Maker) latency(ctx context.Context, name string) error {
	p := newPlot("Time of a whole resolution", "time, ms", "share of resolutions done")
	for i, cold := range []bool{false, true} {
		nodes := m.pick([]int{50}, []int{16})[0]
		_, s, err := m.run(ctx, simnet.Config{Nodes: nodes, Lookups: 300, Warmup: 20 * time.Second, Duration: 30 * time.Second, Cold: cold})
		if err != nil {
			return err
		}
		took := s.Latencies()
		var at plotter.XYs
		for k, ms := range took {
			at = append(at, plotter.XY{X: ms, Y: float64(k+1) / float64(len(took))})
		}
		if err := add(p, series{name: []string{"links warm", "links cold"}[i], at: at, colour: i, dash: i}); err != nil {
			return err
		}
	}
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, 1
	p.Legend.XOffs, p.Legend.YOffs = -12, 12
	return save(p, m.Dir, name)
}

func (m *Maker) badPeers(ctx context.Context, name string) error {
	p := newPlot("Right look-ups among bad peers", "bad peers, %", "right, %")
	nodes := m.pick([]int{50}, []int{16})[0]
	lookups := m.pick([]int{100}, []int{10})[0]
	for i, attack := range []simnet.Attack{simnet.Drop, simnet.Lie, simnet.Withhold} {
		var at plotter.XYs
		for bad := 0; bad <= 45; bad += 15 {
			cfg := simnet.Config{Nodes: nodes, Lookups: lookups, Warmup: 20 * time.Second, Duration: 15 * time.Second, Bad: float64(bad) / 100}
			if bad > 0 {
				cfg.Attack = attack
			}
			r, _, err := m.run(ctx, cfg)
			if err != nil {
				return err
			}
			at = append(at, plotter.XY{X: float64(bad), Y: 100 * r.Success})
		}
		if err := add(p, series{name: fmt.Sprintf("secp2psip, %d nodes, %s", nodes, attack), at: at, colour: i, points: i + 1}); err != nil {
			return err
		}
	}
	for i, n := range []int{nodes, 100_000} {
		var at plotter.XYs
		for bad := 0; bad <= 45; bad += 5 {
			success, _ := simnet.PlainChord(n, 4000, float64(bad)/100, m.Seed)
			at = append(at, plotter.XY{X: float64(bad), Y: 100 * success})
		}
		if err := add(p, series{name: fmt.Sprintf("one path of Chord, %s nodes", thousands(n)), at: at, colour: 3 + i, dash: 1 + i}); err != nil {
			return err
		}
	}
	p.Y.Min, p.Y.Max = 0, 101
	p.Y.Tick.Marker = everyTicks(0, 100, 20)
	p.X.Max = 75 // room for the legend
	p.X.Tick.Marker = everyTicks(0, 45, 5)
	p.Legend.TextStyle.Font.Size = vg.Length(8)
	p.Legend.YOffs = 90
	return save(p, m.Dir, name)
}

func (m *Maker) shareHolders(_ context.Context, name string) error {
	p := newPlot("Calls refused by bad share holders; none is hijacked", "bad nodes among 100", "chance, %")
	trials := m.pick([]int{300}, []int{10})[0]
	for i, kn := range [][2]int{{2, 5}, {4, 10}, {7, 15}} {
		var measured, hijacked, predicted, unsigned plotter.XYs
		var bad []int
		for b := 0; b <= 100; b += 5 {
			bad = append(bad, b)
		}
		got, err := simnet.HolderTrials(kn[0], kn[1], 100, bad, trials, m.Seed) // #nosec G602 -- each is a pair
		if err != nil {
			return err
		}
		for _, h := range got {
			x, all := float64(h.Bad), float64(h.Trials)
			measured = append(measured, plotter.XY{X: x, Y: 100 * float64(h.Refused) / all})
			hijacked = append(hijacked, plotter.XY{X: x, Y: 100 * float64(h.Hijacked) / all})
			predicted = append(predicted, plotter.XY{X: x, Y: 100 * h.PredictRefused()})
			unsigned = append(unsigned, plotter.XY{X: x, Y: 100 * h.PredictUnsigned()})
		}
		what := fmt.Sprintf("%d of %d", kn[0], kn[1])
		if err := add(p,
			series{name: what + ": refused, predicted", at: predicted, colour: i},
			series{name: what + ": refused, measured", at: measured, colour: i, points: i + 1, noLine: true},
			series{name: what + ": hijacked, measured", at: hijacked, colour: i, points: 5, noLine: true},
			series{name: what + ": hijacked if unsigned", at: unsigned, colour: i, dash: 2},
		); err != nil {
			return err
		}
	}
	p.Y.Min, p.Y.Max = -1, 101
	p.Y.Tick.Marker = everyTicks(0, 100, 20)
	p.X.Max = 165 // room for the legend
	p.X.Tick.Marker = everyTicks(0, 100, 20)
	p.Legend.TextStyle.Font.Size = vg.Length(8)
	p.Legend.Top = true
	return save(p, m.Dir, name)
}

// everyTicks returns marks from one number to another, each with its label.
func everyTicks(from, to, step int) (out plot.ConstantTicks) {
	for v := from; v <= to; v += step {
		out = append(out, plot.Tick{Value: float64(v), Label: fmt.Sprint(v)})
	}
	return out
}

// sizeTicks marks the sizes of rings that were measured.
func sizeTicks(at plotter.XYs) (out plot.ConstantTicks) {
	for _, xy := range at {
		out = append(out, plot.Tick{Value: xy.X, Label: thousands(int(xy.X))})
	}
	return out
}

// thousands writes a number as people read it.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func (m *Maker) bytes(ctx context.Context, name string) error {
	p := newPlot("What a node sends under churn", "nodes N", "bytes a second")
	var parts [4]plotter.XYs
	for _, n := range m.pick([]int{32, 64, 128, 256, 512}, []int{12, 16}) {
		r, _, err := m.run(ctx, simnet.Config{Nodes: n, Session: 84 * time.Second, Lookups: n / 5, Warmup: 2 * time.Minute, Duration: 60 * time.Second})
		if err != nil {
			return err
		}
		b := r.BytesPerSNode
		for i, v := range []float64{b.Routing, b.Membership, b.Handshakes, b.Records} {
			parts[i] = append(parts[i], plotter.XY{X: float64(n), Y: v})
		}
	}
	for i, what := range []string{"routing: look-ups", "membership: the ring's upkeep and the table", "handshakes, those with the dead included", "records: their exchange and repair"} {
		if err := add(p, series{name: what, at: parts[i], colour: i, dash: i, points: i + 1}); err != nil {
			return err
		}
	}
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, sizeTicks(parts[0])
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Min, p.Y.Max = 50, 100_000 // room for the legend
	p.Legend.Left, p.Legend.Top, p.Legend.XOffs, p.Legend.YOffs = true, true, 8, -4
	return save(p, m.Dir, name)
}
