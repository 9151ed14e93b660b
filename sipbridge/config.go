package sipbridge

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// Redirect policies (Config.Redirect).
const (
	RedirectAuto   = "auto"   // 302 for phones known to follow one, carry the others
	RedirectAlways = "always" // 302 for every phone
	RedirectNever  = "never"  // carry every call
)

// Choices of call path (Config.Path) beside the paths themselves: PathDirect
// and PathCarried allow nothing else, PathProtected prefers itself and falls
// back to PathCarried.
const (
	PathAuto             = "auto"              // the charter and the two sides choose
	PathRequireProtected = "require-protected" // PathProtected or no call
)

// Config configures a Bridge. Zero values mean the documented defaults.
type Config struct {
	// Listen names the sockets: "udp:127.0.0.1:5060", "tcp:[::1]:5060", or
	// "127.0.0.1:5060" for both transports on one port. Port 0 takes any free
	// one. Default: 127.0.0.1:5060 and, where the host has it, [::1]:5060.
	Listen []string
	// Socket opens the UDP sockets of Listen. Default: the system's.
	Socket func(at netip.AddrPort) (UDPSocket, error)
	// Overlay is the overlay's name, one of the hosts that phones may use.
	Overlay string
	// Redirect is auto (default), always or never.
	Redirect string
	// Path is auto (default), direct, carried, protected or require-protected.
	Path string
	// Accounts are the user parts served, and Digest their passwords. An
	// address other than loopback is listened on only if every account has
	// one. Requests from other than loopback addresses need one always.
	Accounts []string
	Digest   map[string]string
	// LocalDigest asks for the passwords on this host, too: on Linux, a name
	// belongs to the user of the host who registers it; elsewhere nothing else
	// keeps the host's users apart.
	LocalDigest bool
	// SHA256 offers SHA-256 beside MD5 (RFC 8760).
	SHA256 bool
	// Directory is the rest of the program. Required.
	Directory Directory
	// Refreshed, if set, hears of bindings that were extended without a change
	// that others could see. It must return at once.
	Refreshed func(Registration)
	// HostIPs returns the addresses at which others reach this host, the best
	// one first. Default: those of its network interfaces, which count as the
	// host's own in any case.
	HostIPs func() []netip.Addr
	// HostName is the host's own name, which phones without an account put
	// into From. Default: os.Hostname.
	HostName string
	// EchoUser is the user part that rings the echo test; default "echo", and
	// "-" for none.
	EchoUser string
	// MinExpires and MaxExpires clamp the lifetime of a registration. Default
	// 60 s and 1 h.
	MinExpires, MaxExpires time.Duration
	// CallTimeout bounds Directory.Call, Message and Register. Default 30 s,
	// the time after which a phone gives up by itself.
	CallTimeout time.Duration
	// ProbeTimeout bounds the wait for a phone's answer to OPTIONS. Default 2 s.
	ProbeTimeout time.Duration
	// MaxPending bounds the requests in progress. Default 256.
	MaxPending int
	// CallBurst is how many calls and texts one name may send to one other at
	// once; after them, one a second. Default 5; negative: no bound.
	CallBurst int
	// Carry configures the engine that carries calls: bounds, echo test,
	// OnEvent. Its Sender, Agent, Refused, Now and Log are set from here.
	Carry carry.Config
	// Log may be the zero Logger.
	Log zerolog.Logger
	// Refused counts refusals, by the Refused constants. May be nil; must
	// return at once.
	Refused func(reason string)
	// Now is the overlay's time. Default: time.Now.
	Now func() time.Time
}

// Bounds that are not configurable.
const (
	// MaxMessage is the largest SIP message taken from a phone, in bytes: what
	// a datagram can hold (RFC 3261 §18.1.1).
	MaxMessage = 65535
	// MaxBindings is the number of phones of one account.
	MaxBindings = 8
	// MaxAccounts is the number of accounts with a phone.
	MaxAccounts = 256
	// MaxConns is the number of TCP connections from phones.
	MaxConns = 256
)

func (c *Config) setDefaults() {
	if c.Socket == nil {
		c.Socket = systemUDP
	}
	if len(c.Listen) == 0 {
		c.Listen = []string{"127.0.0.1:5060"}
		if ln, err := net.Listen("tcp", "[::1]:0"); err == nil {
			_ = ln.Close()
			c.Listen = append(c.Listen, "[::1]:5060")
		}
	}
	c.Redirect = orElse(c.Redirect, RedirectAuto)
	c.Path = orElse(c.Path, PathAuto)
	c.EchoUser = orElse(c.EchoUser, "echo")
	if c.HostIPs == nil {
		c.HostIPs = interfaceIPs
	}
	if c.HostName == "" {
		c.HostName, _ = os.Hostname()
	}
	setDefault(&c.MinExpires, time.Minute)
	setDefault(&c.MaxExpires, time.Hour)
	setDefault(&c.CallTimeout, 30*time.Second)
	setDefault(&c.ProbeTimeout, 2*time.Second)
	setDefault(&c.MaxPending, limits.SIPRequests)
	setDefault(&c.CallBurst, 5)
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.Refreshed == nil {
		c.Refreshed = func(Registration) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) check() error {
	if c.Directory == nil {
		return fmt.Errorf("%w: no directory", ErrConfig)
	}
	if _, err := identity.NormalizeOverlay(c.Overlay); err != nil {
		return fmt.Errorf("%w: overlay: %w", ErrConfig, err)
	}
	switch c.Redirect {
	case RedirectAuto, RedirectAlways, RedirectNever:
	default:
		return fmt.Errorf("%w: redirect is %q; it can be auto, always or never", ErrConfig, c.Redirect)
	}
	switch c.Path {
	case PathAuto, PathDirect, PathCarried, PathProtected, PathRequireProtected:
	default:
		return fmt.Errorf("%w: path is %q; it can be auto, direct, carried, protected or require-protected", ErrConfig, c.Path)
	}
	if c.Path == PathRequireProtected && c.Carry.Relay == nil {
		return fmt.Errorf("%w: path = require-protected needs a relay for media", ErrConfig)
	}
	if c.Path == PathDirect && c.Redirect == RedirectNever {
		return fmt.Errorf("%w: path = direct needs a 302, which redirect = never forbids; change one of them", ErrConfig)
	}
	if c.MinExpires > c.MaxExpires {
		return fmt.Errorf("%w: the shortest registration (%v) is longer than the longest (%v)", ErrConfig, c.MinExpires, c.MaxExpires)
	}
	return nil
}

// checkExposure refuses an address at which passwords are asked for unless
// every account has one.
func (c *Config) checkExposure(addrs []netip.AddrPort) error {
	for _, a := range addrs {
		if a.Addr().IsLoopback() && !c.LocalDigest {
			continue
		}
		if len(c.Digest) == 0 {
			return fmt.Errorf("%w: SIP on %s can be reached by others, and no account has a digest password; give every account one, or listen on 127.0.0.1", ErrConfig, a)
		}
		for _, user := range c.Accounts {
			if c.password(user) == "" {
				return fmt.Errorf("%w: SIP on %s can be reached by others, and the account %q has no digest password; give it one, or listen on 127.0.0.1", ErrConfig, a, user)
			}
		}
	}
	return nil
}

// password returns a user's digest password, "" if there is none.
func (c *Config) password(user string) string {
	if p, ok := c.Digest[user]; ok {
		return p
	}
	if u, err := identity.NormalizeUser(user); err == nil {
		return c.Digest[u]
	}
	return ""
}

func interfaceIPs() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var ips []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			ips = append(ips, p.Addr().Unmap())
		}
	}
	return ips
}

// endpoint is one socket to listen on.
type endpoint struct {
	network string // "udp" or "tcp"
	addr    netip.AddrPort
}

// parseListen reads Config.Listen. An entry without a transport gives two
// endpoints.
func parseListen(list []string) ([]endpoint, error) {
	var out []endpoint
	for _, s := range list {
		network, rest := "", s
		for _, n := range []string{"udp", "tcp"} {
			if r, ok := strings.CutPrefix(s, n+":"); ok {
				network, rest = n, r
			}
		}
		if h, port, err := net.SplitHostPort(rest); err == nil && strings.EqualFold(h, "localhost") {
			rest = net.JoinHostPort("127.0.0.1", port)
		}
		a, err := netip.ParseAddrPort(rest)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is not an address to listen on; write for example 127.0.0.1:5060, udp:127.0.0.1:5060 or tcp:[::1]:5060", ErrConfig, s)
		}
		if network == "" {
			out = append(out, endpoint{"udp", a}, endpoint{"tcp", a})
		} else {
			out = append(out, endpoint{network, a})
		}
	}
	return out, nil
}
