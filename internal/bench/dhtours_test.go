//go:build linux

package bench

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// ring is a LAN of adapters as processes, with the bootstrap server and the
// adapter that asks in the bench itself.
type ring struct {
	b      *testing.B
	lan    *testnet.LAN
	all    []*program
	reader *node.Node
	names  []identity.AOR
	turn   int
	writer writer
}

// writer is a device that only publishes: its adapter has left the ring.
type writer struct {
	User       string
	DeviceKey  string
	Part       uint64
	Chain      [][]byte
	Delegation identity.SignedDelegation
	key        identity.PrivateKey
	self       wire.Peer
	seq        uint64
}

func newRing(b *testing.B, n int) *ring {
	b.Helper()
	r := &ring{b: b, lan: testnet.New(b, nil)}
	member := r.lan.Add("writer", nil)
	member.Phone(440)
	member.Joined()
	self := member.It.Node().Self()
	member.Stop(b)
	r.writer = readWriter(b, member.State())
	r.writer.self = self
	reader := r.lan.Add("reader", nil)
	reader.Phone(440)
	reader.Joined()
	r.reader = reader.It.Node()
	r.all = startPrograms(b, r.lan, n)
	for _, p := range r.all {
		aor, err := identity.NewAOR(p.name, testnet.Overlay)
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

// readWriter reads the keys of a stopped adapter from its state file.
func readWriter(b *testing.B, state string) (w writer) {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(state, adapter.StateFile), 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return json.Unmarshal(tx.Bucket([]byte("accounts")).Get([]byte("writer")), &w)
	})
	if err != nil {
		b.Fatal(err)
	}
	if w.key, err = identity.ParsePrivateKey(w.DeviceKey); err != nil {
		b.Fatal(err)
	}
	return w
}

// put signs and publishes new versions of the writer's registration.
func (r *ring) put(n int) []dhtTime {
	return r.times(n, func() (took, spent time.Duration) {
		start := time.Now()
		data, err := canon.Marshal(record.Registration{
			Node: r.writer.self.ID, Addrs: r.writer.self.Addrs, Device: r.writer.key.Public(),
		})
		if err != nil {
			r.b.Fatal(err)
		}
		r.writer.seq = max(r.writer.seq+1, uint64(start.UnixMilli()))
		aor, err := identity.NewAOR(r.writer.User, testnet.Overlay)
		if err != nil {
			r.b.Fatal(err)
		}
		rec, err := record.Sign(record.Body{
			AOR: aor.String(), Kind: record.KindRegistration, Part: r.writer.Part, Seq: r.writer.seq, Time: start.UnixMilli(),
			Lifetime: r.reader.Trust().Charter().RegistrationLifetime, Data: data,
		}, r.writer.key, record.Chain{Certificates: r.writer.Chain, Delegation: r.writer.Delegation})
		if err != nil {
			r.b.Fatal(err)
		}
		receipt, err := r.reader.Directory().Publish(r.b.Context(), rec)
		if err != nil {
			r.b.Fatalf("%v: %+v", err, receipt)
		}
		return time.Since(start), 0
	})
}

// get resolves the next name with nothing known of it: no resolution, no
// certificate, no delegation and no record whose signature has been checked.
func (r *ring) get(n int) []dhtTime {
	return r.times(n, func() (took, spent time.Duration) {
		before := cpuTime(r.b)
		forgetAll(r.b, r.reader)
		spent = cpuTime(r.b) - before
		name := r.names[r.turn%len(r.names)]
		r.turn++
		start := time.Now()
		res, err := r.reader.Directory().Resolve(r.b.Context(), name, directory.Options{Fresh: true, NoPin: true})
		took = time.Since(start)
		r.check(res, err)
		return took, spent
	})
}

// check fails unless the resolution was whole.
func (r *ring) check(res *directory.Resolution, err error) {
	if err != nil {
		r.b.Fatalf("a resolution has failed: %v", err)
	}
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

func (r *ring) times(n int, op func() (took, spent time.Duration)) []dhtTime {
	out := make([]dhtTime, n)
	for i := range out {
		out[i].complete, out[i].spent = op()
		<-time.After(dhtGap)
	}
	return out
}

// cpu is that of the adapters and of the bench itself.
func (r *ring) cpu() time.Duration { return totalCPU(r.b, r.all) + cpuTime(r.b) }

func (r *ring) memory() []memory {
	var pids []int
	for _, p := range r.all {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return memories(r.b, pids)
}
