package simnet

import (
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Config describes one run. A zero field takes the default in brackets.
type Config struct {
	Nodes    int           // live nodes, 2 to 1,000,000 [1,000]
	Lookups  int           // that are judged [1,000]
	Session  time.Duration // median time that a node stays; 0 = for ever
	Warmup   time.Duration // from the last join of the first fill to the first judged look-up; 0 = 1 min
	Duration time.Duration // that is measured; 0 = 10 min or three median sessions, whichever is longer
	Loss     float64       // chance that a packet is lost, below 1
	Seed     uint64
	Attack   Attack
	Bad      float64       // share of the devices that attack; 0 to 1
	NAT      float64       // share of the devices that nobody reaches from outside; 0 to below 1
	Cut      time.Duration // for so long, in the middle of what is measured, the ring is in two halves that do not reach each other
	Members  int           // bound of the product's table of members; 0 = the product's
	Budget   int           // what a node may spend on membership, in bytes a second; 0 = the product's

	K, N int  // of n shares of a key k give it back [4, 10]
	Cold bool // every link of a node is cut before it looks something up
	// Plain looks up random positions, and nobody has a name or a record.
	Plain bool
	// RoutingOnly runs look-ups in a ring that stands when the run begins and never
	// changes. Nobody looks after anything, and the tables are bounded by Members,
	// by 2,048 where that is 0.
	RoutingOnly bool
	// Settled begins with a ring that stands for long instead of one that forms join by
	// join: every node knows the others by signed descriptors, as many as its table
	// takes.
	Settled bool
	// Names is with RoutingOnly how many people there are whose names are looked up;
	// 0 looks up random positions.
	Names int

	shards int  // 2 where it is 0; the same comes of 1
	alone  bool // one goroutine runs all shards

	Progress func(Progress) // nil = nobody wants to know; called now and then
}

// Progress tells how far a run has come.
type Progress struct {
	Stage   string        // "filling", "warming up", "measuring"
	Virtual time.Duration // since the start
	Done    float64       // of the whole, 0 to 1
	Nodes   int
	Lookups int
}

func (c *Config) complete() error {
	def := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	def(&c.Nodes, 1000)
	def(&c.K, 4)
	def(&c.N, 10)
	def(&c.shards, 2)
	c.Plain = c.Plain || c.RoutingOnly && c.Names == 0
	def(&c.Lookups, 1000)
	if c.Warmup == 0 {
		c.Warmup = time.Minute
	}
	if c.Duration == 0 {
		c.Duration = max(10*time.Minute, 3*c.Session)
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Bad > 0 && c.Attack == NoAttack {
		c.Attack = Drop
	}
	if c.Attack != NoAttack && c.Bad == 0 {
		c.Bad = 0.1
	}
	if err := c.Attack.check(); err != nil {
		return err
	}
	if c.RoutingOnly && (c.Session > 0 || c.Cut > 0 || c.NAT > 0 || c.Nodes < minStill) {
		return fmt.Errorf("%w: routing only is for %d nodes or more, of which none goes, and without a cut", ErrConfig, minStill)
	}
	if c.Settled && (c.RoutingOnly || c.NAT > 0 || c.Nodes < minStill) {
		return fmt.Errorf("%w: a settled ring has %d nodes or more, none of them behind a NAT; routing only is settled always", ErrConfig, minStill)
	}
	switch {
	case c.Names < 0 || c.Names > c.Nodes || c.Names > 0 && !c.RoutingOnly:
		return fmt.Errorf("%w: %d names, not 0 to the number of nodes, and with routing only", ErrConfig, c.Names)
	case c.K < 2 || c.N < c.K || c.N > identity.MaxShares:
		return fmt.Errorf("%w: %d of %d shares, not 2 to n of at most %d", ErrConfig, c.K, c.N, identity.MaxShares)
	case c.Nodes < 2 || c.Nodes > 1_000_000:
		return fmt.Errorf("%w: %d nodes, not 2 to 1,000,000", ErrConfig, c.Nodes)
	case c.Budget < 0:
		return fmt.Errorf("%w: %d bytes a second to keep the ring together", ErrConfig, c.Budget)
	case c.Lookups < 0:
		return fmt.Errorf("%w: %d look-ups", ErrConfig, c.Lookups)
	case c.Loss < 0 || c.Loss >= 1:
		return fmt.Errorf("%w: a loss of %g, not 0 to below 1", ErrConfig, c.Loss)
	case c.Bad < 0 || c.Bad > 1:
		return fmt.Errorf("%w: a share of %g bad nodes, not 0 to 1", ErrConfig, c.Bad)
	case c.NAT < 0 || c.NAT >= 1:
		return fmt.Errorf("%w: a share of %g behind NATs, not 0 to below 1", ErrConfig, c.NAT)
	case c.Cut < 0 || c.Cut > c.Duration:
		return fmt.Errorf("%w: a cut of %s, not within the %s that are measured", ErrConfig, c.Cut, c.Duration)
	case c.Session < 0 || c.Warmup < 0 || c.Duration < 0:
		return fmt.Errorf("%w: a time below 0", ErrConfig)
	case c.Session > 0 && c.Session < time.Second:
		return fmt.Errorf("%w: sessions of %s, not a second or more", ErrConfig, c.Session)
	}
	return nil
}
