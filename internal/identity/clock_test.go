package identity

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// machine has a clock that can be set, and one that cannot.
type machine struct {
	wall time.Time
	mono time.Duration
}

func (m *machine) run(d time.Duration)   { m.wall, m.mono = m.wall.Add(d), m.mono+d }
func (m *machine) set(t time.Time)       { m.wall = t }
func (m *machine) sleep(d time.Duration) { m.wall = m.wall.Add(d) }

var march = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (m *machine) clock(t *testing.T, path string) *Clock {
	t.Helper()
	c, err := NewClockOf(path, func() time.Time { return m.wall }, func() time.Duration { return m.mono })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sample(owner byte, offset time.Duration) TimeSample {
	return TimeSample{Owner: OwnerTag{owner}, Offset: offset}
}

func near(a, b time.Time) bool { return a.Sub(b).Abs() <= time.Second }

func TestClockLearn(t *testing.T) {
	hour := time.Hour
	for name, c := range map[string]struct {
		samples []TimeSample
		all     bool
		want    TimeReport
	}{
		"nobody":      {nil, false, TimeReport{Refused: ClockTooFewOwners}},
		"nobody, all": {nil, true, TimeReport{Refused: ClockTooFewOwners}},
		"two owners": {[]TimeSample{sample(1, hour), sample(2, hour)}, false,
			TimeReport{Refused: ClockTooFewOwners, Owners: 2}},
		"one owner thrice": {[]TimeSample{sample(1, hour), sample(1, hour), sample(1, hour)}, false,
			TimeReport{Refused: ClockTooFewOwners, Owners: 1}},
		"three owners": {[]TimeSample{sample(1, hour), sample(2, hour+time.Minute), sample(3, hour-time.Minute)}, false,
			TimeReport{Accepted: true, Owners: 3, Shift: hour, Spread: 2 * time.Minute}},
		"a liar among three": {[]TimeSample{sample(1, hour), sample(2, hour), sample(3, 1e6*hour)}, false,
			TimeReport{Accepted: true, Owners: 3, Shift: hour, Spread: 1e6*hour - hour}},
		"a liar with many nodes": {[]TimeSample{sample(1, hour), sample(2, hour), sample(3, 9*hour), sample(3, 9*hour), sample(3, 9*hour)}, false,
			TimeReport{Accepted: true, Owners: 3, Shift: hour, Spread: 8 * hour}},
		"the issuer alone": {[]TimeSample{{OwnerTag{9}, true, hour}}, false,
			TimeReport{Accepted: true, Owners: 1, Issuer: true, Shift: hour}},
		"the issuer against others": {[]TimeSample{{OwnerTag{9}, true, hour}, sample(1, 5*hour), sample(2, 5*hour), sample(3, 5*hour)}, false,
			TimeReport{Accepted: true, Owners: 4, Issuer: true, Shift: hour, Spread: 4 * hour}},
		"all there are": {[]TimeSample{sample(1, hour)}, true, TimeReport{Accepted: true, Owners: 1, Shift: hour}},
		"the network's jitter": {[]TimeSample{{OwnerTag{9}, true, 300 * time.Millisecond}}, false,
			TimeReport{Accepted: true, Owners: 1, Issuer: true}},
	} {
		m := &machine{wall: march}
		clock := m.clock(t, "")
		learn := clock.Learn
		if c.all {
			learn = clock.LearnAll
		}
		got := learn(c.samples)
		if got != c.want || clock.Synced() != c.want.Accepted || !clock.Now().Equal(march.Add(c.want.Shift)) {
			t.Errorf("%s: %+v, now %s, synced %t", name, got, clock.Now(), clock.Synced())
		}
	}
}

// A board without a battery wakes in 1970, learns the time, and after the
// next power cut starts near it.
func TestClockWithoutBattery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	m := &machine{wall: time.Unix(100, 0)}
	c := m.clock(t, path)
	if !c.Now().Equal(time.Unix(100, 0)) || c.Synced() {
		t.Fatal(c.Now())
	}
	if r := c.Learn([]TimeSample{{OwnerTag{9}, true, march.Sub(c.Now())}}); !r.Accepted {
		t.Fatal(r)
	}
	m.run(time.Hour)
	if !c.Now().Equal(march.Add(time.Hour)) || !c.Synced() {
		t.Fatal(c.Now())
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	m = &machine{wall: time.Unix(5, 0)}
	c = m.clock(t, path)
	if !c.Now().Equal(march.Add(time.Hour)) || c.Synced() {
		t.Fatal("after the power cut:", c.Now(), c.Synced())
	}
	m.run(time.Minute)
	if !c.Now().Equal(march.Add(time.Hour + time.Minute)) {
		t.Fatal("it stands:", c.Now())
	}
	// Three owners who live in the past cannot turn it back.
	for range 2 {
		if r := c.Learn([]TimeSample{sample(1, -48*time.Hour), sample(2, -48*time.Hour), sample(3, -48*time.Hour)}); r.Accepted || r.Refused != ClockBelowFloor {
			t.Fatal(r)
		}
	}
	// NTP arrives and sets the system's clock right: overlay time goes on.
	m.run(time.Minute)
	m.set(march.Add(time.Hour + 3*time.Minute))
	if !near(c.Now(), march.Add(time.Hour+2*time.Minute)) || c.Offset().Abs() > clockNearby {
		t.Fatal("after NTP:", c.Now(), c.Offset())
	}
	m.run(time.Second)
	if !near(c.Now(), march.Add(time.Hour+2*time.Minute+time.Second)) {
		t.Fatal(c.Now())
	}
}

func TestClockJumps(t *testing.T) {
	for name, c := range map[string]struct {
		offset time.Duration // learnt before
		jump   func(*machine)
		want   time.Duration // of overlay time since
		synced bool
	}{
		"evenly":                           {0, func(m *machine) { m.run(time.Hour) }, time.Hour, true},
		"a small step of NTP":              {0, func(m *machine) { m.run(time.Hour); m.set(m.wall.Add(time.Second)) }, time.Hour + time.Second, true},
		"set back":                         {0, func(m *machine) { m.run(time.Hour); m.set(march.Add(-24 * time.Hour)) }, time.Hour, false},
		"set to 1970":                      {0, func(m *machine) { m.set(time.Unix(0, 0)) }, 0, false},
		"slept":                            {0, func(m *machine) { m.sleep(8 * time.Hour) }, 8 * time.Hour, false},
		"slept, with a clock that is slow": {5 * time.Hour, func(m *machine) { m.sleep(8 * time.Hour) }, 8 * time.Hour, false},
		"slow clock mended":                {5 * time.Hour, func(m *machine) { m.set(m.wall.Add(5*time.Hour + time.Minute)) }, 0, false},
		"fast clock mended":                {-5 * time.Hour, func(m *machine) { m.set(m.wall.Add(-5 * time.Hour)) }, 0, false},
	} {
		m := &machine{wall: march}
		clock := m.clock(t, "")
		clock.Learn([]TimeSample{{OwnerTag{9}, true, c.offset}})
		before := clock.Now()
		c.jump(m)
		if got := clock.Now().Sub(before); got != c.want || clock.Synced() != c.synced {
			t.Errorf("%s: %s, synced %t", name, got, clock.Synced())
		}
	}
}

// A clock that was wrong by years and never confirmed leaves no trace.
func TestClockUnconfirmedRaisesNoFloor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	c := (&machine{wall: march.AddDate(50, 0, 0)}).clock(t, path)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	if c = (&machine{wall: march}).clock(t, path); !c.Now().Equal(march) {
		t.Fatal(c.Now())
	}
}

func TestClockKeepsOffset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	m := &machine{wall: march}
	c := m.clock(t, path)
	c.Learn([]TimeSample{{OwnerTag{9}, true, -time.Hour}})
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	m.run(time.Minute)
	if c = m.clock(t, path); c.Offset() != -time.Hour || !c.Now().Equal(march.Add(time.Minute-time.Hour)) {
		t.Fatal(c.Offset(), c.Now())
	}
}

func TestClockBrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	for _, text := range []string{"", "{", `{"floor_unix_ms":-1}`, `{"offset_ms":9000000000000000}`, string(make([]byte, 2000))} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewClock(path, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestClockFollowsTheSystem(t *testing.T) {
	c, err := NewClock("", nil)
	if err != nil || time.Since(c.Now()).Abs() > time.Minute {
		t.Fatal(c.Now(), err)
	}
}
