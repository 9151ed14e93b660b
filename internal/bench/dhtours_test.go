//go:build linux

package bench

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// ring is a LAN of adapters, as processes or in the bench itself, with the
// bootstrap server and the adapter that asks in the bench.
type ring struct {
	b       *testing.B
	all     []*program // none where all are in the bench
	asking  *adapter.Adapter
	reader  *node.Node // its node
	self    identity.AOR
	names   []identity.AOR
	turn    int
	revoked bool // what the asking adapter has published last is a tombstone
}

func newRing(b *testing.B, n int) *ring {
	b.Helper()
	lan := testnet.New(b, nil)
	member := lan.Add("reader", oftenStored)
	member.Phone(440)
	member.Joined()
	r := &ring{b: b, asking: member.It, reader: member.It.Node()}
	if *dhtOne {
		startMembers(b, lan, n)
	} else {
		r.all = startPrograms(b, lan, n, "SECP2PSIP_LIMITS_STORE_RATE=1000", "SECP2PSIP_LIMITS_STORE_BURST=10000")
	}
	r.self, _ = identity.NewAOR(member.Name, testnet.Overlay)
	for i := range n {
		aor, err := identity.NewAOR(programName(i), testnet.Overlay)
		if err != nil {
			b.Fatal(err)
		}
		r.names = append(r.names, aor)
	}
	dhtAwait(b, "the ring comes to rest", func() bool {
		v := r.reader.Ring().View()
		return v.Ideal && v.Complete && v.Members() == n+1 // the adapters and the server
	})
	for _, p := range r.reader.Ring().View().Peers() {
		if _, err := r.reader.Link().Connect(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

// oftenStored lets one name be stored again and again, as often as put does.
func oftenStored(c *adapter.Config) { c.Stores = node.StoreLimits{Rate: 1000, Burst: 10_000} }

// startMembers starts n adapters in the bench, each with a phone.
func startMembers(b *testing.B, lan *testnet.LAN, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Duration(n)*testnet.Deadline)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(4)
	for i := range n {
		m := lan.Add(programName(i), oftenStored)
		phone := m.Unregistered(m.Name, 440)
		g.Go(func() error { return phone.Register(ctx) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// put lets the asking adapter take its phone's registration back and publish
// it anew, by turns: each time it signs a record with a new sequence number,
// which is on disk before it is used, and stores it at all its positions, where
// it is on disk, too, before the holder says so.
func (r *ring) put(n int) []dhtTime {
	return r.times(n, func() (took, spent time.Duration, ok bool) {
		reg := sipbridge.Registration{AOR: r.self}
		if r.revoked {
			reg.Bindings = []sipbridge.Binding{{Contact: "sip:reader@127.0.0.1:9", Expires: time.Now().Add(time.Hour)}}
		}
		r.revoked = !r.revoked
		start := time.Now()
		err := r.asking.Register(r.b.Context(), reg)
		if err != nil {
			r.b.Log(err)
		}
		return time.Since(start), 0, err == nil
	})
}

// get resolves the next name with nothing known of it: no resolution, no
// certificate, no delegation and no record whose signature has been checked.
func (r *ring) get(n int) []dhtTime {
	return r.times(n, func() (took, spent time.Duration, ok bool) {
		before := cpuTime(r.b)
		forgetAll(r.b, r.reader)
		spent = cpuTime(r.b) - before
		name := r.names[r.turn%len(r.names)]
		r.turn++
		start := time.Now()
		res, err := r.reader.Directory().Resolve(r.b.Context(), name, directory.Options{Fresh: true, NoPin: true})
		took = time.Since(start)
		if err != nil {
			r.b.Log(err)
			return took, spent, false
		}
		r.check(res)
		return took, spent, true
	})
}

// check fails unless the resolution was whole.
func (r *ring) check(res *directory.Resolution) {
	regs := 0
	for _, a := range res.Evidence.Asked {
		if a.Kind == "registration" && a.Outcome == directory.OutcomeFound {
			regs++
		}
	}
	if res.Cached || len(res.Evidence.Shares) != res.Evidence.K || regs < 2 && !late(res) || len(res.Devices) == 0 {
		r.b.Fatalf("not a whole resolution: %+v", res)
	}
}

// late tells whether an answer took so long that the resolution did without
// the second registration.
func late(res *directory.Resolution) bool { return res.Evidence.ElapsedMS >= 5 }

func (r *ring) times(n int, op func() (took, spent time.Duration, ok bool)) (out []dhtTime) {
	for range n {
		if took, spent, ok := op(); ok {
			out = append(out, dhtTime{complete: took, spent: spent})
		}
		<-time.After(dhtGap)
	}
	return out
}

// cpu is that of the adapters and of the bench itself.
func (r *ring) cpu() time.Duration { return totalCPU(r.b, r.all) + cpuTime(r.b) }

// memory is, where all are in the bench, their part of what the bench holds.
func (r *ring) memory() []memory {
	if *dhtOne {
		m := memoryOf(r.b, os.Getpid())
		n := float64(len(r.names) + 2)
		return []memory{{RSS: m.RSS / n, PSS: m.PSS / n}}
	}
	var pids []int
	for _, p := range r.all {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return memories(r.b, pids)
}
