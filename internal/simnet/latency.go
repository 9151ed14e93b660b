package simnet

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

//go:embed rtt.csv
var rttTable string

// cities holds the one-way delays between places.
type cities struct {
	names []string
	delay [][]time.Duration // one way
}

// readCities parses rtt.csv: a head with the names, then a row for each city
// with the round-trip times in milliseconds.
func readCities(table string) (*cities, error) {
	r := csv.NewReader(strings.NewReader(table))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("simnet: round-trip times: %w", err)
	}
	c := &cities{names: rows[0][1:]}
	for _, row := range rows[1:] {
		delays := make([]time.Duration, 0, len(c.names))
		for _, cell := range row[1:] {
			ms, err := strconv.Atoi(cell)
			if err != nil {
				return nil, fmt.Errorf("simnet: round-trip times of %s: %w", row[0], err)
			}
			delays = append(delays, time.Duration(ms)*time.Millisecond/2)
		}
		c.delay = append(c.delay, delays)
	}
	if len(c.delay) != len(c.names) {
		return nil, fmt.Errorf("simnet: round-trip times: %d rows for %d cities", len(c.delay), len(c.names))
	}
	return c, nil
}

// The delay of a node's own access line, one way, is drawn once for each node
// between these; jitter is drawn for each packet, up to a twentieth of the way.
const (
	accessLeast = 500 * time.Microsecond
	accessMost  = 8 * time.Millisecond
	jitterPart  = 20
)

func drawAccess(rng *rand.Rand) time.Duration {
	return accessLeast + time.Duration(rng.Int64N(int64(accessMost-accessLeast)))
}

// oneWay returns the mean time of a packet from a to b.
func (s *Sim) oneWay(a, b *node) time.Duration {
	return s.cities.delay[a.city][b.city] + a.access + b.access
}

// The probe timeout of QUIC for a path of known round trip with little
// variance: srtt + 4·rttvar + max_ack_delay, rttvar being srtt/8 here.
const (
	maxAckDelay = 25 * time.Millisecond
	maxSends    = 6 // of one packet, before its connection counts as dead
)

// travel draws the time that a packet from a to b takes, and how often it is
// sent. ok is false when it never arrives.
func (s *shard) travel(a, b *node) (d time.Duration, sends int, ok bool) { return s.travelBy(a, a, b) }

// travelBy is travel with the chances of another node.
func (s *shard) travelBy(by, a, b *node) (d time.Duration, sends int, ok bool) {
	way := s.oneWay(a, b)
	pto := 3*way + maxAckDelay
	for sends = 1; by.rng.Float64() < s.cfg.Loss; sends++ {
		if sends == maxSends {
			return 0, sends, false
		}
		d += pto
		pto *= 2
	}
	return d + way + time.Duration(by.rng.Int64N(int64(way)/jitterPart+1)), sends, true
}
