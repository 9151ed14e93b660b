package simnet

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestQueueOrder: events come out in the order of their time, those of one
// time in the order in which they went in.
func TestQueueOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q queue
	var seq uint64
	var want []event
	out := func() {
		slices.SortFunc(want, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
		if got := q.pop(); got != want[0] {
			t.Fatalf("out came %+v, want %+v", got, want[0])
		}
		want = want[1:]
	}
	for range 20_000 {
		if len(want) > 0 && rng.IntN(5) < 2 {
			out()
			continue
		}
		seq++
		e := event{at: rng.Int64N(50), seq: seq, ref: rng.Int32()}
		q.push(e)
		want = append(want, e)
		if len(want) > 64 {
			out()
		}
	}
	for len(want) > 0 {
		out()
	}
}

func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		good, all int
		want      [2]float64
	}{ // values of Newcombe, Statistics in Medicine 17 (1998), table I, method 3
		{81, 263, [2]float64{0.2553, 0.3662}},
		{15, 148, [2]float64{0.0624, 0.1605}},
		{0, 20, [2]float64{0, 0.1611}},
		{1, 29, [2]float64{0.0061, 0.1718}},
		{0, 0, [2]float64{0, 1}},
	} {
		got := wilson(tt.good, tt.all)
		for i := range got {
			if round(got[i], 4) != tt.want[i] {
				t.Errorf("%d of %d: %.4f, want %.4f", tt.good, tt.all, got, tt.want)
			}
		}
	}
}

// TestCities: the table is square, and a way is about as long back as forth.
func TestCities(t *testing.T) {
	c, err := readCities(rttTable)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range c.delay {
		if len(row) != len(c.names) {
			t.Fatalf("%s: %d columns for %d cities", c.names[i], len(row), len(c.names))
		}
		for j, d := range row {
			if d <= 0 || d*10 > c.delay[j][i]*11+10e6 {
				t.Errorf("%s to %s: %s there, %s back", c.names[i], c.names[j], d, c.delay[j][i])
			}
		}
	}
	if _, err := readCities("city,A\nA,x\n"); err == nil {
		t.Error("a table that is not one was read")
	}
}
