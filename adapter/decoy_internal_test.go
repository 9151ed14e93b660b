package adapter

import (
	"testing"
	"time"
)

// Look-ups of one's own names come as a Poisson process does, five minutes apart
// for each name in the mean.
func TestDecoysComeAtRandom(t *testing.T) {
	t.Parallel()
	const draws = 20_000
	for _, names := range []int{0, 1, 4} {
		var sum time.Duration
		short := 0
		mean := decoyEvery / time.Duration(max(names, 1))
		for range draws {
			d := nextDecoy(names)
			if d < 0 || d > 20*mean {
				t.Fatal(d)
			}
			if sum += d; d < mean/10 {
				short++
			}
		}
		if got := sum / draws; got < mean*95/100 || got > mean*105/100 {
			t.Errorf("%v apart in the mean, with %d names", got, names)
		}
		if short < draws/13 || short > draws/8 { // 1 - exp(-0.1), a tenth
			t.Errorf("%d of %d come within a tenth of that", short, draws)
		}
	}
}
