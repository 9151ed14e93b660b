package main

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/internal/metrics"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/seal"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// daemon is one daemon that is built and does not run yet.
type daemon struct {
	// run serves until ctx ends, leaves the ring then, and returns when all
	// its goroutines have ended.
	run func(ctx context.Context) error
	// ready is closed once phones and nodes are answered: sockets open, state
	// read. An adapter that waits for its first REGISTER is ready.
	ready <-chan struct{}
	// health says why calls cannot be served now, nil if they can.
	health func() error
	// handlers answer on the admin socket.
	handlers admin.Handlers
}

// tools is what the command line lends a daemon.
type tools struct {
	version string
	log     zerolog.Logger
	metrics *metrics.Set
	keys    seal.Source // where the passphrase comes from
}

// refused counts a refusal in the metrics.
func (t tools) refused(room, reason string) { t.metrics.Refused(room)(reason) }

// daemons are the parts that the command line puts together. Each function
// starts nothing.
type daemons struct {
	bootstrap func(cfg configs.Bootstrap, t tools) (*daemon, error)
	// join is nil if no link was given.
	adapter func(cfg configs.Adapter, join *joinlink.Link, t tools) (*daemon, error)
	// demo runs until it is done, or until ctx ends with opts.stay.
	demo func(ctx context.Context, opts demoOptions, t tools) error
	// restore makes the state folder out of a backup. It refuses a folder
	// that has a state already.
	restore func(ctx context.Context, file, state string) error
}

func theDaemons() daemons {
	return daemons{
		bootstrap: buildBootstrap,
		adapter:   buildAdapter,
		demo:      runDemo,
		restore:   func(_ context.Context, file, state string) error { return bootstrap.Restore(file, state) },
	}
}

func buildBootstrap(cfg configs.Bootstrap, t tools) (*daemon, error) {
	s, err := bootstrap.New(bootstrap.Config{
		State: cfg.State, Passphrase: t.keys, Charter: charterOf(cfg), AnyName: cfg.Overlay == configs.DefaultBootstrap("").Overlay, Listen: cfg.ListenAddr(), Advertise: cfg.AdvertiseIPs(), JoinAddrs: cfg.AdvertiseAddrs(),
		Open: cfg.Enrol == "open", OpenPerSource: cfg.OpenPerSource, MaxNames: cfg.MaxNames, Reserved: cfg.Reserved,
		Version: t.version, Log: t.log, Refused: t.refused,
	})
	if err != nil {
		return nil, err
	}
	watchRing(t.metrics, s.Node)
	return &daemon{run: s.Run, ready: s.Ready(), health: func() error { return joined(s.Node()) }, handlers: s.Handlers()}, nil
}

// charterOf is the plan for a new overlay.
func charterOf(cfg configs.Bootstrap) identity.Charter {
	c := identity.DefaultCharter(cfg.Overlay, identity.PublicKey{}, time.Now())
	c.K, c.N, c.RegistrationReplicas, c.Paths = uint8(cfg.K), uint8(cfg.N), uint8(cfg.RegistrationReplicas), cfg.Paths
	c.OwnerRecords = max(c.OwnerRecords, uint32(cfg.N)+uint32(c.MaxDevices)+2)
	if extra := cfg.N - 10; extra > 0 { // shares beyond the default's need room with each holder
		c.OwnerBytes += uint32(extra) * shareRoom
	}
	c.CertificateLifetime = wholeSeconds(cfg.Lifetimes.Certificate)
	c.ShareLifetime = c.CertificateLifetime
	c.RenewAfter, c.Grace = wholeSeconds(cfg.Lifetimes.Renew), wholeSeconds(cfg.Lifetimes.Grace)
	return c
}

// shareRoom is what one share takes at most, with its certificate chain and
// with the share of the key before it, in bytes.
const shareRoom = 4 << 10

func wholeSeconds(d configs.Duration) uint32 { return uint32(time.Duration(d) / time.Second) }

func buildAdapter(cfg configs.Adapter, join *joinlink.Link, t tools) (*daemon, error) {
	ports, err := configs.ParsePorts(cfg.SIP.MediaPorts)
	if err != nil {
		return nil, err
	}
	config := adapter.Config{
		MediaPorts: ports, NoRecords: !cfg.CallRecords, CallRate: cfg.Limits.CallBurst,
		State: cfg.State, Passphrase: t.keys, Join: join, Listen: cfg.ListenAddr(), Advertise: cfg.AdvertiseAddrs(), SIP: sipConfig(cfg.SIP, cfg.Limits),
		Role: node.Role(cfg.Role), Clients: node.Clients{Most: cmp.Or(cfg.Clients, -1)}, RingBytes: cfg.Limits.RingBytes, OpenNetworks: cfg.OpenPrefixes(), PortMapping: cfg.NAT.PortMapping == "auto",
		HideLookups: cfg.Privacy.HiddenLookups,
		CacheFor:    cmp.Or(time.Duration(cfg.CacheFor), noCache), Version: t.version, Log: t.log, Refused: t.refused,
		Called: func(c admin.Call) {
			t.metrics.Call(c.Direction, c.Path, c.Status, time.Duration(c.SetupMS*float64(time.Millisecond)))
		},
	}
	config.Limits.RequestRate = rate.Limit(cfg.Limits.PeerRequests)
	config.Limits.RequestBurst, config.Limits.Conns = cfg.Limits.PeerBurst, cfg.Limits.Nodes
	config.Stores = node.StoreLimits{Rate: cfg.Limits.StoreRate, Burst: cfg.Limits.StoreBurst}
	a, err := adapter.New(config)
	if err != nil {
		return nil, err
	}
	watchRing(t.metrics, a.Node)
	return &daemon{run: a.Run, ready: a.Bridge().Ready(), health: a.Health, handlers: a.Handlers()}, nil
}

// noCache is what the directory takes for "not at all".
const noCache = -1

func sipConfig(c configs.SIP, l configs.Limits) sipbridge.Config {
	out := sipbridge.Config{
		Listen: c.Listen, Redirect: c.Redirect, Path: c.Path,
		MaxPending: l.SIPRequests,
		SHA256:     slices.Contains(c.DigestAlgorithms, "SHA-256"), LocalDigest: c.Passwords == "always", Digest: map[string]string{},
	}
	out.Carry.MaxCalls = l.CarriedCalls
	if slices.Equal(c.Listen, configs.DefaultAdapter("").SIP.Listen) {
		out.Listen = nil // the bridge's own default, which does without [::1] where there is no IPv6
	}
	for _, a := range c.Accounts {
		out.Accounts = append(out.Accounts, a.User)
		out.Digest[a.User] = a.Password
	}
	if ip, err := netip.ParseAddr(c.HostIP); err == nil {
		out.HostIPs = func() []netip.Addr { return []netip.Addr{ip} }
	}
	return out
}

// joined says why a node cannot serve, nil if it can.
func joined(n *node.Node) error {
	select {
	case <-n.Joined():
		return nil
	default:
		return node.ErrNotJoined
	}
}

// watchRing shows a node in the metrics; the node may come later.
func watchRing(m *metrics.Set, get func() *node.Node) {
	status := func() (s admin.Status) {
		if n := get(); n != nil {
			n.FillStatus(&s)
		}
		return s
	}
	m.Ring(metrics.Ring{
		Members:    func() int { return status().Ring.Members },
		Successors: func() int { return len(status().Ring.Succ) },
		Joined:     func() bool { return slices.Contains([]string{"joined", "client"}, status().Phase) },
		Links:      func() int { return len(status().Links) },
		Records:    func() int { return status().Store.Records },
		DiskFails:  func() bool { return status().Store.DiskFails },
		PortMapped: func() bool { r := status().Reach; return r != nil && r.PortMapping != nil && r.PortMapping.Proven },
	})
}
