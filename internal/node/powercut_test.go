package node_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
)

// TestPowerCutLAN: a LAN whose nodes all stop at once and start again in any
// order, with what their disks held at that moment and no bootstrap server, is
// one ring again with every name.
func TestPowerCutLAN(t *testing.T) {
	t.Parallel()
	powerCut(t, 16, 1)
}

// lan is real nodes with state files, each the node of one person.
type lan struct {
	*overlay
	dir    string
	chains map[string]identified
	nodes  map[string]*peer
	people []*person
}

// identified is who a node is, across its restarts.
type identified struct {
	key   identity.PrivateKey
	chain [][]byte
	at    netip.AddrPort
}

// newLAN starts n nodes, the first of which makes the ring.
func newLAN(t testing.TB, n int) *lan {
	t.Helper()
	l := &lan{overlay: newOverlay(t), dir: t.TempDir(), chains: map[string]identified{}, nodes: map[string]*peer{}}
	first := l.boot("n0", true)
	var work sync.WaitGroup
	var mu sync.Mutex
	room := make(chan struct{}, 8)
	for i := 1; i < n; i++ {
		l.identify(fmt.Sprintf("n%d", i))
	}
	for i := 1; i < n; i++ {
		name := fmt.Sprintf("n%d", i)
		room <- struct{}{}
		work.Go(func() {
			defer func() { <-room }()
			p := l.run(name, false, first)
			mu.Lock()
			l.nodes[name] = p
			mu.Unlock()
		})
	}
	work.Wait()
	l.becomesIdeal()
	return l
}

func (l *lan) becomesIdeal() {
	l.t.Helper()
	last := error(nil)
	defer func() {
		if l.t.Failed() {
			l.t.Log(last)
		}
	}()
	eventually(l.t, "one ideal ring", func() bool { last = ideal(l.all()); return last == nil })
}

func (l *lan) identify(name string) {
	key, chain := l.member(name)
	l.chains[name] = identified{key: key, chain: chain, at: loopback}
}

func (l *lan) boot(name string, alone bool, seeds ...*peer) *peer {
	l.identify(name)
	l.nodes[name] = l.run(name, alone, seeds...)
	return l.nodes[name]
}

// run starts a node on its state file and waits until it has joined.
func (l *lan) run(name string, alone bool, seeds ...*peer) *peer {
	l.t.Helper()
	who := l.chains[name]
	return l.start(name, func(c *node.Config) {
		c.DB, c.Key, c.Chain, c.Listen, c.Alone = onDisk(l.t, stateFile(l.dir, name)), who.key, who.chain, who.at, alone
		c.Log = zerolog.Nop()
	}, seeds...)
}

func (l *lan) all() []*node.Node {
	var out []*node.Node
	for _, p := range l.nodes {
		out = append(out, p.Node)
	}
	return out
}

// settle publishes a name for each node and waits until every node has its
// neighbours on disk.
func (l *lan) settle() {
	l.t.Helper()
	for name, p := range l.nodes {
		l.people = append(l.people, l.enrol("user-"+name, p.Self()))
	}
	publishAll(l.t, l.people, func(p *person) *node.Node { return l.nodes[strings.TrimPrefix(p.aor.User(), "user-")].Node })
	eventually(l.t, "neighbours on every disk", func() bool {
		for _, p := range l.nodes {
			if p.knownOnDisk() < min(len(l.nodes)-1, 8) {
				return false
			}
		}
		return true
	})
}

// cut stops all nodes at once and leaves of their state files what was
// committed at that moment.
func (l *lan) cut() {
	l.t.Helper()
	for name, p := range l.nodes {
		err := p.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(stateFile(l.dir, name+"-cut"), 0o600) })
		if err != nil {
			l.t.Fatal(err)
		}
		who := l.chains[name]
		who.at = p.Link().Addr()
		l.chains[name] = who
	}
	var work sync.WaitGroup
	for name, p := range l.nodes {
		work.Go(func() {
			p.stop() // without a goodbye to the ring
			_ = p.db.Close()
			if err := os.Rename(stateFile(l.dir, name+"-cut"), stateFile(l.dir, name)); err != nil {
				l.t.Error(err)
			}
		})
	}
	work.Wait()
	clear(l.nodes)
}

func powerCut(t *testing.T, n int, seed uint64) {
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 9))
	l := newLAN(t, n)
	l.settle()
	l.cut()

	names := make([]string, 0, n)
	for i := range n {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	rng.Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
	began, spent := time.Now(), cpuTime(t)
	var work sync.WaitGroup
	var mu sync.Mutex
	for _, name := range names {
		work.Go(func() {
			p := l.run(name, false)
			mu.Lock()
			l.nodes[name] = p
			mu.Unlock()
		})
	}
	work.Wait()
	joined, cpuJoined := time.Since(began), cpuTime(t)-spent
	l.becomesIdeal()
	ring, cpuRing := time.Since(began), cpuTime(t)-spent
	missing := l.people
	eventually(t, "every name is found", func() bool {
		missing = l.unresolved(missing, l.nodes[names[rng.IntN(n)]].Node)
		return len(missing) == 0
	})
	took := time.Since(began)
	t.Logf("%d nodes started again, load %s: all joined after %.2f s (%.2f s of processor time), ideal ring after %.2f s (%.2f s), all %d names found after %.2f s (%.2f s)",
		n, load(t), joined.Seconds(), cpuJoined.Seconds(), ring.Seconds(), cpuRing.Seconds(), len(l.people), took.Seconds(), (cpuTime(t) - spent).Seconds())
}

// cpuTime is what the process has used of the processors, which a busy machine
// changes less than it changes seconds.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// unresolved returns who of the people a node does not find.
func (l *lan) unresolved(people []*person, by *node.Node) (missing []*person) {
	var work sync.WaitGroup
	var mu sync.Mutex
	room := make(chan struct{}, 8)
	ctx := limited(l.t)
	for _, p := range people {
		room <- struct{}{}
		work.Go(func() {
			defer func() { <-room }()
			if err := p.resolves(ctx, by); err != nil {
				mu.Lock()
				missing = append(missing, p)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	return missing
}

// load is the machine's load, without which seconds mean nothing.
func load(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// knownOnDisk counts the members that the node has kept for its next start.
func (p *peer) knownOnDisk() (count int) {
	_ = p.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte("node")); b != nil {
			count = strings.Count(string(b.Get([]byte("known members"))), `"ID"`)
		}
		return nil
	})
	return count
}

// TestKillReal: with 30 % of real nodes dead at once, whose records live with
// the others is found.
func TestKillReal(t *testing.T) {
	t.Parallel()
	killSome(t, 10, 2)
}

// killSome stops 30 % of real nodes at once, without a goodbye. Who has k
// shares and a registration with those left must be found.
func killSome(t *testing.T, n int, seed uint64) {
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 10))
	l := newLAN(t, n)
	l.settle()
	var work sync.WaitGroup
	for _, i := range rng.Perm(n)[:n*3/10] {
		name := fmt.Sprintf("n%d", i)
		p := l.nodes[name]
		delete(l.nodes, name)
		work.Go(p.stop)
	}
	work.Wait()
	var expected []*person
	for _, p := range l.people {
		if shares, registered := l.left(p); shares >= int(l.trust.Charter().K) && registered {
			expected = append(expected, p)
		}
	}
	rest := l.all()
	began := time.Now()
	missing := l.unresolved(expected, rest[rng.IntN(len(rest))])
	at := time.Since(began)
	eventually(t, "everybody whose records live is found", func() bool {
		missing = l.unresolved(missing, rest[rng.IntN(len(rest))])
		return len(missing) == 0
	})
	all := time.Since(began)
	l.becomesIdeal()
	t.Logf("%d of %d nodes killed, load %s: %d of %d names expected, all found %.2f s later (the first look-up of each took %.2f s in all), ideal ring after %.2f s",
		n-len(rest), n, load(t), len(expected), len(l.people), all.Seconds(), at.Seconds(), time.Since(began).Seconds())
}

// left counts what the living hold of a person's records.
func (l *lan) left(p *person) (shares int, registered bool) {
	for _, r := range p.records {
		b := must(r.Body())(l.t)
		for _, n := range l.all() {
			if len(n.Store().Get(record.Resource(p.aor, b.Kind), &b.Part)) == 0 {
				continue
			}
			switch b.Kind {
			case record.KindShare:
				shares++
			case record.KindRegistration:
				registered = true
			}
			break
		}
	}
	return shares, registered
}
