package simnet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord"
)

// epoch is when every run begins, in overlay time.
func epoch() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

// Sim is one run: what all nodes share, and what happens to the whole of them.
// It is owned by one goroutine, and the shards only read it while they run.
type Sim struct {
	cfg    Config
	rng    *rand.Rand // of the churn and the look-ups
	cities *cities
	start  time.Time
	now    int64 // ns since start

	shards []*shard
	ahead  int64             // ns that a packet takes at least from one shard to the other
	heard  []note            // from the shards
	run    func(limit int64) // has every shard run until then
	queue  queue
	seq    uint64  // of its events
	nodes  []*node // by number, dead and alive
	byID   map[chord.ID]int32
	live   []int32 // those that run
	idle   []int32 // those that do not
	ring   oracle

	shelves map[int32][]kept // of a still ring, by number
	named   []*node          // whose names are looked up there

	adversary adversary
	overlay   *overlay // nil for routing only

	parted   bool
	filled   int   // nodes started in the first fill
	from, to int64 // what is measured, once it is known
	lookups  int   // begun and judged
	stats    stats
}

// New returns a run that has not begun.
func New(cfg Config) (*Sim, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	table, err := readCities(rttTable)
	if err != nil {
		return nil, err
	}
	s := &Sim{
		cfg: cfg, cities: table, start: epoch(), byID: make(map[chord.ID]int32),
		rng: rand.New(rand.NewPCG(cfg.Seed, 0x73696d)),
	}
	people := cfg.Nodes
	if cfg.Session > 0 {
		people *= 2
	}
	for range people {
		s.addNode()
	}
	s.stats.init()
	s.part()
	if !cfg.RoutingOnly || cfg.Names > 0 {
		if cfg.RoutingOnly {
			people = cfg.Names
		}
		if s.overlay, err = newOverlay(&cfg, people); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	s.recruit()
	s.translate()
	return s, nil
}

func (s *Sim) at(ns int64) time.Time { return s.start.Add(time.Duration(ns)) }

// push arranges something for the whole run.
func (s *Sim) push(e event) {
	s.seq++
	e.seq = s.seq
	s.queue.push(e)
}

func (s *Sim) after(d time.Duration, e event) {
	e.at = s.now + int64(max(d, 0))
	s.push(e)
}

// The first fill: nodes join at a rate that grows with the ring.
const (
	fillFirst = 2 * time.Second // between the first joins
	fillShare = 20              // then one joins for every so many members each second
	fillLeast = time.Millisecond
)

func (s *Sim) fillPause() time.Duration {
	return min(fillFirst, max(fillLeast, fillShare*time.Second/time.Duration(s.filled)))
}

// Run runs to the end, or until ctx ends, and returns what there is by then.
func (s *Sim) Run(ctx context.Context) *Result {
	wall := time.Now()
	if s.cfg.RoutingOnly {
		s.stand()
	} else if s.enrolAll(); s.cfg.Settled {
		s.form()
	} else {
		s.fill()
	}
	stop := s.work()
	defer stop()
	for ctx.Err() == nil && s.advance() {
		s.cfg.Progress(s.progress())
	}
	for _, sh := range s.shards {
		s.now = max(s.now, sh.now)
	}
	s.set(s.now)
	return s.result(time.Since(wall))
}

// never is later than anything that happens.
const never = int64(1<<63 - 1)

func (q *queue) next() int64 {
	if len(q.heap) == 0 {
		return never
	}
	return q.heap[0].at
}

// advance lets the shards run for as long as nothing of the one can reach the
// other, or until something happens to the whole run, and reports whether there
// is more.
func (s *Sim) advance() bool {
	next, whole := never, s.queue.next()
	for _, sh := range s.shards {
		next = min(next, sh.queue.next())
	}
	first := min(next, whole)
	if s.to > 0 && first >= s.to && s.stats.pending == 0 || first == never {
		s.set(max(s.now, s.to))
		return false
	}
	if next < whole {
		limit := min(next+s.ahead, whole)
		s.run(limit)
		s.exchange()
		return true
	}
	s.set(whole)
	for s.queue.next() == whole {
		s.happen(s.queue.pop())
		s.exchange()
	}
	return true
}

// set has all clocks show one time.
func (s *Sim) set(now int64) {
	s.now = now
	for _, sh := range s.shards {
		sh.now = now
	}
}

func (s *Sim) happen(e event) {
	switch e.kind {
	case evEnd:
		s.end(e)
	case evJoin:
		s.join(e)
	case evLookup:
		s.lookup()
	case evAct:
		if s.to == 0 {
			s.fill()
		} else {
			s.cut()
		}
	}
}

// fill starts the next node of the first fill.
func (s *Sim) fill() {
	if s.filled < s.cfg.Nodes {
		s.filled++
		s.startAny()
		s.after(s.fillPause(), event{kind: evAct})
		return
	}
	s.plan()
}

// plan sets the times of the measurement, now that all nodes are there.
func (s *Sim) plan() {
	s.layAll()
	s.from = s.now + int64(s.cfg.Warmup)
	s.to = s.from + int64(s.cfg.Duration)
	for _, i := range s.live {
		s.schedule(s.nodes[i])
	}
	if s.cfg.Cut > 0 {
		s.push(event{at: s.from + int64(s.cfg.Duration-s.cfg.Cut)/2, kind: evAct})
	}
	if s.cfg.Lookups > 0 {
		s.push(event{at: s.from, kind: evLookup})
	}
}

// cut parts the ring in two halves, or joins them again.
func (s *Sim) cut() {
	s.parted = !s.parted
	for i, n := range s.nodes {
		n.side = 0
		if s.parted {
			n.side = uint8(i % 2)
		}
	}
	if s.parted {
		s.after(s.cfg.Cut, event{kind: evAct})
	}
}

func (s *Sim) progress() Progress {
	p := Progress{Virtual: time.Duration(s.now), Nodes: len(s.ring.ids), Lookups: s.stats.judged, Stage: "measuring"}
	switch {
	case s.to == 0:
		p.Stage = "filling"
		p.Done = 0.1 * float64(s.filled) / float64(s.cfg.Nodes)
	case s.now < s.from:
		p.Stage = "warming up"
		p.Done = 0.1
	default:
		p.Done = 0.1 + 0.9*float64(s.now-s.from)/float64(s.to-s.from)
	}
	return p
}

// oracle knows the ring as it is: the members in the order of their IDs.
type oracle struct {
	ids  []chord.ID
	nums []int32 // their numbers
}

func (o *oracle) search(id chord.ID) (int, bool) {
	return slices.BinarySearchFunc(o.ids, id, chord.ID.Compare)
}

func (o *oracle) add(id chord.ID, num int32) {
	if i, found := o.search(id); !found {
		o.ids = slices.Insert(o.ids, i, id)
		o.nums = slices.Insert(o.nums, i, num)
	}
}

func (o *oracle) remove(id chord.ID) {
	if i, found := o.search(id); found {
		o.ids = slices.Delete(o.ids, i, i+1)
		o.nums = slices.Delete(o.nums, i, i+1)
	}
}

// owner returns the member that is responsible for target.
func (o *oracle) owner(target chord.ID) chord.ID {
	i, _ := o.search(target)
	return o.ids[i%len(o.ids)]
}
