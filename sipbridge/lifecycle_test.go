package sipbridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConfigChecks(t *testing.T) {
	good := func() Config {
		return Config{Overlay: "lan.example", Directory: &hub{}, Listen: []string{"127.0.0.1:0"}}
	}
	if _, err := New(good()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no directory":  {func(c *Config) { c.Directory = nil }, "directory"},
		"overlay":       {func(c *Config) { c.Overlay = "a b" }, "host name"},
		"redirect":      {func(c *Config) { c.Redirect = "sometimes" }, "auto, always or never"},
		"path":          {func(c *Config) { c.Path = "safe" }, "auto, direct, carried, protected or require-protected"},
		"no relay":      {func(c *Config) { c.Path = PathRequireProtected }, "needs a relay"},
		"contradiction": {func(c *Config) { c.Path, c.Redirect = PathDirect, RedirectNever }, "302"},
		"lifetimes":     {func(c *Config) { c.MinExpires = 2 * time.Hour }, "longer"},
		"listen":        {func(c *Config) { c.Listen = []string{"sip.example:5060"} }, "127.0.0.1:5060"},
		"exposed":       {func(c *Config) { c.Listen = []string{"192.0.2.7:5060"} }, "no account has a digest password"},
		"exposed, all":  {func(c *Config) { c.Listen = []string{"tcp:0.0.0.0:5060"} }, "digest password"},
		"exposed, IPv6": {func(c *Config) { c.Listen = []string{"[::]:5060"} }, "digest password"},
		"half exposed": {func(c *Config) {
			c.Listen, c.Accounts, c.Digest = []string{"192.0.2.7:5060"}, []string{"alice", "bob"}, map[string]string{"alice": "x"}
		}, `"bob" has no digest password`},
	} {
		cfg := good()
		c.change(&cfg)
		if _, err := New(cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := good()
	cfg.Listen, cfg.Accounts, cfg.Digest = []string{"192.0.2.7:5060"}, []string{"alice"}, map[string]string{"alice": "x"}
	if _, err := New(cfg); err != nil {
		t.Errorf("guarded: %v", err)
	}
}

func TestParseListen(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:5060":     "udp 127.0.0.1:5060, tcp 127.0.0.1:5060",
		"udp:127.0.0.1:5060": "udp 127.0.0.1:5060",
		"tcp:[::1]:5060":     "tcp [::1]:5060",
		"localhost:5070":     "udp 127.0.0.1:5070, tcp 127.0.0.1:5070",
	} {
		list, err := parseListen([]string{in})
		var got []string
		for _, e := range list {
			got = append(got, e.network+" "+e.addr.String())
		}
		if err != nil || strings.Join(got, ", ") != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "127.0.0.1", "udp:", ":5060", "tls:127.0.0.1:5061", "127.0.0.1:70000"} {
		if got, err := parseListen([]string{in}); !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
}

// A port that another program has: the error names it and says what to do.
func TestPortInUse(t *testing.T) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for network, a := range map[string]net.Addr{"udp": udp.LocalAddr(), "tcp": tcp.Addr()} {
		b, err := New(Config{Overlay: "lan.example", Directory: &hub{}, Listen: []string{"127.0.0.1:0", network + ":" + a.String()}})
		if err != nil {
			t.Fatal(err)
		}
		err = b.Run(context.Background())
		if !errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), a.String()) || !strings.Contains(err.Error(), "choose another") {
			t.Errorf("%s: %v", network, err)
		}
		if runtime.GOOS == "linux" && !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("%s does not name this program: %v", network, err)
		}
	}
}

func TestNoSuchAddress(t *testing.T) {
	b, err := New(Config{Overlay: "lan.example", Directory: &hub{}, Listen: []string{"192.0.2.7:0"}, Digest: map[string]string{"alice": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(context.Background()); !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), "192.0.2.7") {
		t.Errorf("%v", err)
	}
}

// IPv4 and IPv6, UDP and TCP, all at once; and when it ends, nothing is left.
func TestRunAndEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	listen := []string{"127.0.0.1:0"}
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		ln.Close()
		listen = append(listen, "[::1]:0")
	}
	t.Run("run", func(t *testing.T) {
		h, _, ended := held()
		t.Cleanup(func() {
			if ended.Load() == 0 {
				t.Error("the hub's call was not ended")
			}
		})
		r := start(t, h, func(c *Config) { c.Listen = listen })
		addrs := r.Addrs()
		if len(addrs) != 2*len(listen) {
			t.Fatalf("%v", addrs)
		}
		for i, a := range addrs {
			if a.Addr.Port() == 0 || a.Network == "tcp" && a.Addr != addrs[i-len(listen)].Addr {
				t.Errorf("%v", addrs)
			}
			r.udp, r.tcp = a.Addr, a.Addr
			p := r.phone(t, a.Network, "alice")
			if m := p.ask(p.request("OPTIONS", "sip:lan.example")); m.Status != 200 {
				t.Errorf("%v: %s", a, m)
			}
			p.send(p.request("INVITE", "bob", fmt.Sprint("Call-ID: ", i)))
			if m := p.recv(); m.Status != 100 {
				t.Errorf("%v: %s", a, m)
			}
		}
	})
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

func TestHosts(t *testing.T) {
	n := 0
	ips := []netip.Addr{lan}
	var h hosts
	h.init(&Config{Overlay: "lan.example", HostIPs: func() []netip.Addr { n++; return ips }})
	for range 100 {
		if !h.isOwnIP(lan) || h.isOwnIP(other) || !h.isOwnIP(netip.MustParseAddr("::ffff:192.0.2.7")) || !h.isOwnIP(netip.MustParseAddr("127.4.5.6")) || h.isOwnIP(netip.Addr{}) {
			t.Fatal("wrong")
		}
	}
	if n != 1 {
		t.Errorf("the interfaces were read %d times", n)
	}
	if a := h.wayTo(netip.MustParseAddr("127.0.0.9")); a != loop {
		t.Errorf("%v", a)
	}
	if a := h.wayTo(netip.IPv6Loopback()); a != netip.IPv6Loopback() {
		t.Errorf("%v", a)
	}
	if got := interfaceIPs(); !slices.Contains(got, loop) {
		t.Errorf("%v", got)
	}
}
