//go:build linux

package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	dhtNodes = flag.Int("dht.nodes", 32, "processes of each kind in BenchmarkDHT")
	dhtOne   = flag.Bool("dht.one", false, "our nodes of BenchmarkDHT in one process, each with its own socket")
	dhtJSON  = flag.String("dht.json", "", "append the figures of BenchmarkDHT to `FILE`, one JSON object a line")
)

// How BenchmarkDHT takes turns. Both sides refuse what comes too fast from one
// address or node (OpenDHT beyond 200 requests a second, ours beyond 50 from
// one node), so they are asked at a pace that neither refuses.
const (
	dhtBatch  = 20                     // operations of one side in a row
	dhtGap    = 5 * time.Millisecond   // after each operation
	dhtRest   = 250 * time.Millisecond // after each batch: what it has set off ends in its own account
	dhtWarm   = 3                      // rounds that do not count
	dhtForm   = 2 * time.Minute        // at most, until all are connected
	dhtSettle = 10 * time.Second       // for both, once all are connected
	dhtIdle   = 10 * time.Second       // of measuring what both use while nobody asks
	dhtValue  = 400                    // bytes, about what a record of ours has
)

// side is one of the two networks. put stores something new from one node, get
// reads from another node what a third party has stored; both take n turns, and
// return the times of those that succeeded.
// The times of one operation are the times until a first answer, where there is
// such a thing, and until the operation is complete.
type side interface {
	put(n int) []dhtTime
	get(n int) []dhtTime
	cpu() time.Duration // of all its processes so far
	memory() []memory
}

type dhtTime struct {
	first, complete time.Duration
	spent           time.Duration // CPU time of the bench itself to be taken off
}

// dhtFigures is what is reported of one side; times in ms.
type dhtFigures struct {
	PutP50      float64 `json:"put_p50_ms"`
	PutP99      float64 `json:"put_p99_ms"`
	FirstP50    float64 `json:"get_first_p50_ms,omitempty"`
	GetP50      float64 `json:"get_p50_ms"`
	GetP99      float64 `json:"get_p99_ms"`
	PutCPU      float64 `json:"put_cpu_ms"` // over all processes, idling taken off
	GetCPU      float64 `json:"get_cpu_ms"`
	Failed      int     `json:"failed"`           // puts and gets
	IdlePercent float64 `json:"idle_cpu_percent"` // of a core, for each process
	RSS         float64 `json:"rss_mib"`          // of the median process
	PSS         float64 `json:"pss_mib"`
}

type dhtReport struct {
	Nodes    int        `json:"nodes"`
	One      bool       `json:"one_process"` // ours
	Gets     int        `json:"gets"`
	OpenDHT  dhtFigures `json:"opendht"`
	Ours     dhtFigures `json:"secp2psip"`
	GetRatio float64    `json:"get_ratio"` // of the medians of complete gets, ours by theirs
	PutRatio float64    `json:"put_ratio"`
	Load     string     `json:"load"`
}

// tally collects one side's turns.
type tally struct {
	side
	puts, gets     []dhtTime
	failed         int
	putCPU, getCPU time.Duration
	putFor, getFor time.Duration // wall time over which that CPU time was used
}

func (t *tally) turn(ops func(int) []dhtTime, times *[]dhtTime, cpu, wall *time.Duration) {
	start, before := time.Now(), t.cpu()
	done := ops(dhtBatch)
	<-time.After(dhtRest)
	*cpu += t.cpu() - before
	*wall += time.Since(start)
	for _, d := range done {
		*cpu -= d.spent
	}
	*times = append(*times, done...)
	t.failed += dhtBatch - len(done)
}

func (t *tally) putTurn() { t.turn(t.put, &t.puts, &t.putCPU, &t.putFor) }
func (t *tally) getTurn() { t.turn(t.get, &t.gets, &t.getCPU, &t.getFor) }

// BenchmarkDHT takes turns between OpenDHT and this program: -dht.nodes
// processes of dhtnode and as many adapters, all on loopback, and in the
// bench two more nodes of each, which are asked.
//
// OpenDHT's put and get are those of its library, of random keys and unsigned
// values. Our put is a device's registration, signed, checked by every holder
// and on disk with each of them; our get is a whole resolution: the
// registration from two positions, the account and k of n shares, the key
// rebuilt and every signature verified, with nothing in a cache. Links are warm
// on both sides. The node that asks has one processor, as all adapters have,
// unless GOMAXPROCS is set.
func BenchmarkDHT(b *testing.B) {
	if os.Getenv("GOMAXPROCS") == "" {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	theirs, ours := &tally{side: newOpenDHT(b, *dhtNodes)}, &tally{side: newRing(b, *dhtNodes)}
	sides := []*tally{theirs, ours}
	<-time.After(dhtSettle)
	for range dhtWarm {
		dhtRound(sides)
	}
	for _, s := range sides {
		*s = tally{side: s.side}
	}
	idle := dhtIdling(sides)
	for b.Loop() {
		dhtRound(sides)
		slices.Reverse(sides)
	}
	r := dhtReport{
		Nodes: *dhtNodes, One: *dhtOne, Gets: len(ours.gets),
		OpenDHT: theirs.figures(idle[0]), Ours: ours.figures(idle[1]), Load: load(b),
	}
	r.GetRatio, r.PutRatio = r.Ours.GetP50/r.OpenDHT.GetP50, r.Ours.PutP50/r.OpenDHT.PutP50
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(r.GetRatio, "get-ratio")
	b.ReportMetric(r.PutRatio, "put-ratio")
	r.print(b)
}

// dhtAwait looks now and then, until what is true.
func dhtAwait(b *testing.B, what string, is func() bool) {
	b.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	over := time.After(dhtForm)
	for !is() {
		select {
		case <-tick.C:
		case <-over:
			b.Fatalf("%s: still not so after %v", what, dhtForm)
		}
	}
}

// dhtRound lets every side put and get once, one after the other.
func dhtRound(sides []*tally) {
	for _, s := range sides {
		s.putTurn()
	}
	for _, s := range sides {
		s.getTurn()
	}
}

// dhtIdling returns what part of a core each side uses while nobody asks.
func dhtIdling(sides []*tally) []float64 {
	var before []time.Duration
	for _, s := range sides {
		before = append(before, s.cpu())
	}
	start := time.Now()
	<-time.After(dhtIdle)
	var out []float64
	for i, s := range sides {
		out = append(out, float64(s.cpu()-before[i])/float64(time.Since(start)))
	}
	return out
}

func (t *tally) figures(idle float64) dhtFigures {
	pick := func(times []dhtTime, of func(dhtTime) time.Duration) []time.Duration {
		var out []time.Duration
		for _, x := range times {
			out = append(out, of(x))
		}
		slices.Sort(out)
		return out
	}
	first := pick(t.gets, func(x dhtTime) time.Duration { return x.first })
	gets := pick(t.gets, func(x dhtTime) time.Duration { return x.complete })
	puts := pick(t.puts, func(x dhtTime) time.Duration { return x.complete })
	net := func(used, wall time.Duration, n int) float64 {
		return ms(used-time.Duration(idle*float64(wall))) / float64(n)
	}
	var rss, pss []float64
	held := t.memory()
	for _, m := range held {
		rss, pss = append(rss, m.RSS), append(pss, m.PSS)
	}
	slices.Sort(rss)
	slices.Sort(pss)
	return dhtFigures{
		PutP50: ms(percentile(puts, .5)), PutP99: ms(percentile(puts, .99)),
		FirstP50: ms(percentile(first, .5)), GetP50: ms(percentile(gets, .5)), GetP99: ms(percentile(gets, .99)),
		PutCPU: net(t.putCPU, t.putFor, len(t.puts)), GetCPU: net(t.getCPU, t.getFor, len(t.gets)),
		Failed: t.failed, IdlePercent: 100 * idle / float64(*dhtNodes+2), RSS: rss[len(rss)/2], PSS: pss[len(pss)/2],
	}
}

func load(b *testing.B) string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

func (r dhtReport) print(b *testing.B) {
	kind := "processes of each"
	if r.One {
		kind = "processes of OpenDHT, as many nodes of ours in one process"
	}
	fmt.Printf("\n%d %s, %d gets of each, load %s\n", r.Nodes, kind, r.Gets, r.Load)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tOpenDHT\tsecp2psip\tratio\t")
	line := func(what string, theirs, ours float64) {
		ratio := "–"
		if theirs > 0 && ours > 0 {
			ratio = fmt.Sprintf("%.2f", ours/theirs)
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%s\t\n", what, theirs, ours, ratio)
	}
	t, o := r.OpenDHT, r.Ours
	line("get complete p50, ms", t.GetP50, o.GetP50)
	line("get complete p99, ms", t.GetP99, o.GetP99)
	line("get first value p50, ms", t.FirstP50, o.FirstP50)
	line("put p50, ms", t.PutP50, o.PutP50)
	line("put p99, ms", t.PutP99, o.PutP99)
	line("failed puts and gets", float64(t.Failed), float64(o.Failed))
	line("CPU of a get, all processes, ms", t.GetCPU, o.GetCPU)
	line("CPU of a put, all processes, ms", t.PutCPU, o.PutCPU)
	line("CPU idling, % of a core a process", t.IdlePercent, o.IdlePercent)
	line("RSS of a process, MiB", t.RSS, o.RSS)
	line("PSS of a process, MiB", t.PSS, o.PSS)
	_ = w.Flush()
	text, err := json.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Println(string(text))
	if *dhtJSON == "" {
		return
	}
	f, err := os.OpenFile(*dhtJSON, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(text, '\n')); err != nil {
		b.Fatal(err)
	}
}
