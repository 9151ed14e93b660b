package directory

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// Ring stores and fetches records by position. All methods are safe for
// concurrent use, return when ctx ends, and answer for this node's own
// positions like any other's.
type Ring interface {
	// Store puts r at a position and returns who holds it now. It returns
	// ErrStale or ErrConflict (wrapped or not) where a holder refuses r for that.
	Store(ctx context.Context, pos identity.NodeID, r record.Record) ([]Holder, error)
	// Fetch reads the records of a resource at a position; part nil reads all
	// parts. No records and no error means that the holder has none.
	Fetch(ctx context.Context, pos, resource identity.NodeID, part *uint64) (Answer, error)
	// Size is how many members this node knows, itself included; 0 when it is
	// in no ring.
	Size() int
}

// Holder is a node that stores records, and the person it belongs to.
type Holder struct {
	Node  identity.NodeID   `json:"node"`
	Owner identity.OwnerTag `json:"owner"`
}

// Answer is what a holder says about a position.
type Answer struct {
	Records     []record.Record
	Holder      Holder
	Responsible bool // it has shown that the position is its own, or its predecessor's whose replica it is
	RTT         time.Duration
}

// Pins remembers the keys of names. identity.Pins is one.
type Pins interface {
	Get(aor identity.AOR) (identity.Pin, bool)
	SetAll(pins map[identity.AOR]identity.Pin) error
}

// Config of a Directory. Ring and Trust are required.
type Config struct {
	Ring  Ring
	Trust *identity.Trust
	Now   func() time.Time // overlay time; nil = time.Now
	Pins  Pins             // nil = pinned in memory only
	// Keys returns the account keys that sealed registrations may be opened
	// with; nil = none.
	Keys func() []identity.PrivateKey
	Self identity.OwnerTag // whose node this is: does not count as an independent owner

	Log      zerolog.Logger
	Refused  func(reason string)            // counts refusals; nil = ignored
	Conflict func(c *keyshare.Conflict)     // alarm: called once for each new conflict; nil = logged only
	Changed  func(changed *KeyChangedError) // alarm: a pinned key has changed; nil = logged only
	Matched  func(aor identity.AOR)         // the ring says the pinned key; nil = ignored
	Followed func(f Followed)               // a pin has moved to a key that the pinned one has signed; nil = logged only

	// Hidden makes what the questions of one resolution are asked with, so that
	// nobody who is asked learns who asks; nil = they are asked openly, of Ring.
	Hidden func(h Hiding) Fetcher

	// Confirmed reports whether another member was given the record at a position
	// within the last so long: a round of repair passes it by. nil = never.
	Confirmed func(pos identity.NodeID, part uint64, within time.Duration) bool

	CacheFor  time.Duration // how long a resolution is used again; 0 = 60 s, below 0 = not at all
	CacheSize int           // names; 0 = 1024
	Timeout   time.Duration // of one resolution or publication; 0 = 3 s
	Listen    time.Duration // how long a resolution listens on; 0 = 2 s
	Watch     int           // share positions read beyond the k, while listening; 0 = 2, below 0 = none
	MaxActive int           // names resolved at once; 0 = 256
}

func (c *Config) fill() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Pins == nil {
		c.Pins, _ = identity.LoadPins("") // cannot fail: reads nothing
	}
	if c.Keys == nil {
		c.Keys = func() []identity.PrivateKey { return nil }
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.Conflict == nil {
		c.Conflict = func(*keyshare.Conflict) {}
	}
	if c.Changed == nil {
		c.Changed = func(*KeyChangedError) {}
	}
	if c.Followed == nil {
		c.Followed = func(Followed) {}
	}
	if c.Matched == nil {
		c.Matched = func(identity.AOR) {}
	}
	if c.Confirmed == nil {
		c.Confirmed = func(identity.NodeID, uint64, time.Duration) bool { return false }
	}
	c.CacheFor = orElse(c.CacheFor, time.Minute)
	c.CacheSize = orElse(c.CacheSize, 1024)
	c.Timeout = orElse(c.Timeout, 3*time.Second)
	c.Listen = orElse(c.Listen, 2*time.Second)
	c.Watch = orElse(c.Watch, 2)
	c.MaxActive = orElse(c.MaxActive, 256)
}

func orElse[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Directory publishes and resolves. It is safe for concurrent use.
type Directory struct {
	cfg   Config
	trust atomic.Pointer[identity.Trust]
	pace  Pace

	hiddenPace Pace

	ctx  context.Context // ends with Run; every goroutine's
	stop context.CancelFunc

	pinning sync.Mutex // held while a pin is decided on and written

	mu        sync.Mutex
	closed    bool
	work      sync.WaitGroup // added to only under mu while open
	active    map[identity.AOR]*flight
	running   int // flights that have not ended, listening included
	cache     *lru[identity.AOR, *entry]
	aliases   *lru[identity.AOR, identity.AOR]
	conflicts *lru[identity.AOR, *dispute]
	pending   map[identity.AOR]identity.Pin // first-use pins not written yet
	toWrite   []*flight                     // that have ended and left a pin to be written
}

// New returns a Directory. It starts nothing; resolving works from the first
// moment, Run only ends what is going on.
func New(cfg Config) (*Directory, error) {
	if cfg.Ring == nil || cfg.Trust == nil {
		return nil, errors.New("directory: Ring and Trust are required")
	}
	cfg.fill()
	d := &Directory{
		cfg:       cfg,
		active:    make(map[identity.AOR]*flight),
		cache:     newLRU[identity.AOR, *entry](cfg.CacheSize),
		aliases:   newLRU[identity.AOR, identity.AOR](cfg.CacheSize),
		conflicts: newLRU[identity.AOR, *dispute](maxDisputes),
		pending:   make(map[identity.AOR]identity.Pin),
	}
	d.trust.Store(cfg.Trust)
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d, nil
}

// Trust returns what records are verified with.
func (d *Directory) Trust() *identity.Trust { return d.trust.Load() }

// SetTrust replaces it, for a new edition of the charter. Resolutions under
// way end with the old one.
func (d *Directory) SetTrust(t *identity.Trust) { d.trust.Store(t) }

// Run blocks until ctx ends, then ends every resolution and publication and
// returns when their goroutines have.
func (d *Directory) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-d.ctx.Done():
	}
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.work.Wait()
	return nil
}

// spawn runs f in a goroutine that Run waits for.
func (d *Directory) spawn(f func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	d.work.Go(f)
	return nil
}
