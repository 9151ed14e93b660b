package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// Rules of the overlay's clock.
const (
	clockDeadband  = time.Second     // a smaller difference is the network's
	clockJump      = 2 * time.Second // wall and monotonic clock apart by more: one was set, or the machine slept
	clockNearby    = 10 * time.Minute
	clockOwners    = 3   // distinct owners that outvote a wrong clock without the issuer
	maxTimeSamples = 256 // Learn reads no more
	maxClockFile   = 1 << 10
)

// TimeSample is what one node said about the time.
type TimeSample struct {
	Owner  OwnerTag
	Issuer bool          // it holds the issuing key
	Offset time.Duration // its time minus Clock.Now(), at the middle of the exchange
}

// TimeReport tells what Learn made of the samples.
type TimeReport struct {
	Accepted bool
	Shift    time.Duration // by which Now moved
	Owners   int           // distinct owners among the samples
	Issuer   bool          // an issuer was among them
	Spread   time.Duration // between the earliest and the latest owner
	Refused  string        // why not accepted: too_few_owners, below_floor
}

// Reasons of a refusal in a TimeReport.
const (
	ClockTooFewOwners = "too_few_owners"
	ClockBelowFloor   = "below_floor"
)

// Clock is the overlay's time: the system's clock and a learnt offset, never
// below a floor that outlives restarts. It never sets the system's clock. When
// the system's clock is set while the program runs, overlay time goes on
// evenly; when the machine slept, it follows. Safe for concurrent use.
type Clock struct {
	path string
	wall func() time.Time     // without monotonic reading
	mono func() time.Duration // since some moment

	mu       sync.Mutex
	offset   time.Duration // overlay time − wall
	floor    time.Time     // durable
	synced   bool
	lastWall time.Time
	lastMono time.Duration
}

// clockFile is the persisted state, in ms.
type clockFile struct {
	Floor  int64 `json:"floor_unix_ms"`
	Offset int64 `json:"offset_ms"`
}

// NewClock reads the state in the file at path, which need not exist; an empty
// path keeps nothing. system is the system's clock, nil for time.Now. A system
// clock behind the floor (a board without a battery wakes in 1970) starts at
// the floor.
func NewClock(path string, system func() time.Time) (*Clock, error) {
	if system == nil {
		system = time.Now
	}
	start := system()
	wall := func() time.Time { return system().Round(0) }
	mono := func() time.Duration { return system().Sub(start) }
	return NewClockOf(path, wall, mono)
}

// NewClockOf is NewClock where the system's clock and the time since some
// moment, which nobody sets, come from different places.
func NewClockOf(path string, wall func() time.Time, mono func() time.Duration) (*Clock, error) {
	c := &Clock{path: path, wall: wall, mono: mono, lastWall: wall(), lastMono: mono()}
	if err := c.load(); err != nil {
		return nil, err
	}
	if behind := c.floor.Sub(c.lastWall.Add(c.offset)); behind > 0 {
		c.offset += behind
	}
	return c, nil
}

func (c *Clock) load() error {
	if c.path == "" {
		return nil
	}
	info, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var f clockFile
	if info.Size() > maxClockFile {
		return fmt.Errorf("%w: %s is no clock file; delete it", ErrMalformed, c.path)
	}
	b, err := os.ReadFile(c.path)
	if err != nil {
		return err
	}
	const century = 100 * 365 * 24 * time.Hour
	if err := json.Unmarshal(b, &f); err != nil || f.Floor < 0 || f.Offset > century.Milliseconds() || f.Offset < -century.Milliseconds() {
		return fmt.Errorf("%w: %s is no clock file; delete it", ErrMalformed, c.path)
	}
	c.floor = time.UnixMilli(f.Floor)
	c.offset = time.Duration(f.Offset) * time.Millisecond
	return nil
}

// Now returns the overlay's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

// Synced tells whether the ring, or the issuer, has confirmed the time since
// the start and the system's clock has not been set since.
func (c *Clock) Synced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nowLocked()
	return c.synced
}

// Offset returns overlay time minus the system's clock.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nowLocked()
	return c.offset
}

func (c *Clock) nowLocked() time.Time {
	wall, mono := c.wall(), c.mono()
	jump := wall.Sub(c.lastWall) - (mono - c.lastMono)
	if jump > clockJump || jump < -clockJump {
		c.jumpedLocked(jump)
	}
	c.lastWall, c.lastMono = wall, mono
	now := wall.Add(c.offset)
	if now.Before(c.floor) {
		c.offset += c.floor.Sub(now)
		now = c.floor
	}
	return now
}

// jumpedLocked decides what a jump of the wall clock against the monotonic one
// was. Backwards: it was set, so overlay time goes on evenly. Forwards by about
// the known offset: it was set right, likewise. Else forwards: the machine
// slept, or a clock that was believed so far was mended; follow it.
func (c *Clock) jumpedLocked(jump time.Duration) {
	c.synced = false
	mended := c.offset - jump // the offset if overlay time goes on evenly
	if jump < 0 || c.offset > clockNearby && mended.Abs() < clockNearby {
		c.offset = mended
	}
}

// Learn sets the clock by what nodes said. The samples of one owner count
// once, by their median. An issuer's word suffices; else the median of at
// least three owners counts. A time below the floor is refused.
func (c *Clock) Learn(samples []TimeSample) TimeReport { return c.learn(samples, clockOwners) }

// LearnAll is Learn where the samples come from all members there are, of a
// ring with fewer than three other owners.
func (c *Clock) LearnAll(samples []TimeSample) TimeReport { return c.learn(samples, 1) }

func (c *Clock) learn(samples []TimeSample, enough int) TimeReport {
	owners, issuers := votes(samples)
	r := TimeReport{Owners: len(owners), Issuer: len(issuers) > 0}
	if len(owners) > 0 {
		r.Spread = owners[len(owners)-1] - owners[0]
	}
	shift := median(issuers)
	switch {
	case len(issuers) > 0:
	case len(owners) >= enough:
		shift = median(owners)
	default:
		r.Refused = ClockTooFewOwners
		return r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowLocked()
	if shift.Abs() <= clockDeadband {
		shift = 0
	}
	if now.Add(shift).Before(c.floor) {
		r.Refused = ClockBelowFloor
		return r
	}
	c.offset += shift
	c.synced = true
	r.Accepted, r.Shift = true, shift
	return r
}

// votes returns one offset for each owner, and for each issuer, sorted.
func votes(samples []TimeSample) (owners, issuers []time.Duration) {
	byOwner := make(map[OwnerTag][]time.Duration)
	issuer := make(map[OwnerTag]bool)
	for _, s := range samples[:min(len(samples), maxTimeSamples)] {
		byOwner[s.Owner] = append(byOwner[s.Owner], s.Offset)
		issuer[s.Owner] = issuer[s.Owner] || s.Issuer
	}
	for owner, offsets := range byOwner {
		slices.Sort(offsets)
		vote := median(offsets)
		owners = append(owners, vote)
		if issuer[owner] {
			issuers = append(issuers, vote)
		}
	}
	slices.Sort(owners)
	slices.Sort(issuers)
	return owners, issuers
}

// median of sorted values, the lower middle one of an even number; 0 of none.
func median(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)/2]
}

// Save writes the offset, and if the time is confirmed raises the floor to it.
// An unconfirmed time never raises the floor, so that a clock that was wrong
// by years cannot strand the node in the future.
func (c *Clock) Save() error {
	c.mu.Lock()
	now := c.nowLocked()
	if c.synced && now.After(c.floor) {
		c.floor = now
	}
	f := clockFile{Floor: max(c.floor.UnixMilli(), 0), Offset: c.offset.Milliseconds()}
	c.mu.Unlock()
	if c.path == "" {
		return nil
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return WriteFileAtomic(c.path, append(b, '\n'), 0o600)
}
