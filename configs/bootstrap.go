package configs

import "net/netip"

// Bootstrap configures a bootstrap server. Overlay, K, N,
// RegistrationReplicas, Lifetimes and Paths go into the charter when the
// overlay is made.
type Bootstrap struct {
	// State is the folder for keys and database. Default: see DefaultState.
	State string `koanf:"state" toml:"state" help:"folder for keys and database"`
	// PassphraseFile holds the passphrase that seals the keys: a path, or
	// "fd:N". Empty: what systemd hands over, else none.
	PassphraseFile string `koanf:"passphrase_file" toml:"passphrase_file" help:"file with the passphrase that seals the keys in the state folder, or fd:N; empty: systemd's credential secp2psip.passphrase, else none"`
	// Overlay is the name space, a host name that need not exist in the DNS.
	Overlay string `koanf:"overlay" toml:"overlay" help:"name of the overlay: the part after the @"`
	// Listen is the UDP address of the link and of STUN: "IP:PORT", or
	// ":PORT" for every address of both families.
	Listen string `koanf:"listen" toml:"listen" help:"UDP address of the link and of STUN"`
	// Advertise lists what join links say: "HOST" or "HOST:PORT", at most 8.
	// Empty: the host's own addresses.
	Advertise []string `koanf:"advertise" toml:"advertise" help:"addresses that join links carry; empty: the host's own"`
	// Enrol is "invite" or "open".
	Enrol string `koanf:"enrol" toml:"enrol" help:"who may enrol: whoever has an invitation, or anyone" oneof:"invite open"`
	// K of N shares rebuild a key; 2 ≤ K ≤ N ≤ 64.
	K int `koanf:"k" toml:"k" help:"shares that rebuild a key"`
	N int `koanf:"n" toml:"n" help:"shares that a key is split into"`
	// RegistrationReplicas is how often a registration lies on the ring, 1 to 16.
	RegistrationReplicas int `koanf:"registration_replicas" toml:"registration_replicas" help:"places on the ring of each registration"`
	// OpenPerSource bounds the names that one address may enrol in open mode.
	OpenPerSource int `koanf:"open_per_source" toml:"open_per_source" help:"names that one address may enrol in open mode"`
	// MaxNames bounds all names.
	MaxNames  int       `koanf:"max_names" toml:"max_names" help:"names that can be enrolled in all"`
	Lifetimes Lifetimes `koanf:"lifetimes" toml:"lifetimes"`
	// Reserved lists user parts and numbers that nobody may enrol.
	Reserved []string `koanf:"reserved" toml:"reserved" help:"names and numbers that nobody may enrol"`
	// Paths lists how calls may go on, in order of preference.
	Paths   []string `koanf:"paths" toml:"paths" help:"how calls may go on, in order of preference: protected, direct, carried; or require-protected"`
	Metrics Metrics  `koanf:"metrics" toml:"metrics"`
	Log     Log      `koanf:"log" toml:"log"`
}

// Lifetimes of certificates and shares.
type Lifetimes struct {
	Certificate Duration `koanf:"certificate" toml:"certificate" help:"how long certificates and shares are valid"`
	Renew       Duration `koanf:"renew" toml:"renew" help:"age from which they are renewed"`
	Grace       Duration `koanf:"grace" toml:"grace" help:"how long they hold beyond that while this server is gone"`
}

// Metrics configures the page for Prometheus.
type Metrics struct {
	// Listen is a loopback "IP:PORT" for HTTP; empty: no metrics.
	Listen string `koanf:"listen" toml:"listen" help:"loopback address for /metrics, /healthz and /readyz; empty: none"`
}

// Log configures the log, which goes to the standard error.
type Log struct {
	Level  string `koanf:"level" toml:"level" help:"least level that is logged" oneof:"trace debug info warn error"`
	Format string `koanf:"format" toml:"format" help:"auto: console on a terminal, json elsewhere" oneof:"auto console json"`
}

// DefaultBootstrap returns the defaults, with state as the folder.
func DefaultBootstrap(state string) Bootstrap {
	return Bootstrap{
		State:                state,
		Overlay:              "lan.example",
		Listen:               ":5870",
		Advertise:            []string{},
		Enrol:                "invite",
		K:                    4,
		N:                    10,
		RegistrationReplicas: 4,
		OpenPerSource:        8,
		MaxNames:             10000,
		Lifetimes:            Lifetimes{Certificate: 90 * Day, Renew: 30 * Day, Grace: 180 * Day},
		Reserved:             []string{"echo", "anonymous", "admin", "root", "operator", "bootstrap", "112", "911"},
		Paths:                []string{"protected", "direct", "carried"},
		Log:                  defaultLog(),
	}
}

func defaultLog() Log { return Log{Level: "info", Format: "auto"} }

// Validate returns what is wrong with c, nil if nothing is.
func (c Bootstrap) Validate() []Problem {
	var r rules
	r.need(c.State != "", "state", "there must be a folder", `set it, for example "/var/lib/secp2psip/bootstrap"`)
	r.overlay("overlay", c.Overlay)
	r.listen("listen", c.Listen)
	r.advertise("advertise", c.Advertise, true, c.ListenAddr())
	r.between("k", c.K, 2, 64)
	r.between("n", c.N, 2, 64)
	r.need(c.K <= c.N, "k", "it is larger than n: a key could never be rebuilt", "make k smaller or n larger; 4 of 10 is the default")
	r.between("registration_replicas", c.RegistrationReplicas, 1, 16)
	r.between("open_per_source", c.OpenPerSource, 1, 1_000_000)
	r.between("max_names", c.MaxNames, 1, 1_000_000)
	l := c.Lifetimes
	r.lasts("lifetimes.certificate", l.Certificate, Hour, 3650*Day)
	r.lasts("lifetimes.renew", l.Renew, Minute, 3650*Day)
	r.lasts("lifetimes.grace", l.Grace, 0, 3650*Day)
	r.need(l.Renew < l.Certificate, "lifetimes.renew", "certificates would end before they are renewed", "choose an age below lifetimes.certificate; a third of it is usual")
	r.each("reserved", c.Reserved, userPart)
	r.subset("paths", c.Paths, "protected", "direct", "carried", "require-protected")
	r.common(c, c.Metrics)
	return r.problems
}

// ListenAddr returns Listen as an address; c is valid.
func (c Bootstrap) ListenAddr() netip.AddrPort { return listenAddr(c.Listen) }

// AdvertiseAddrs returns Advertise as HOST:PORT, with the port of Listen
// where none is given; c is valid.
func (c Bootstrap) AdvertiseAddrs() []string { return withPort(c.Advertise, c.ListenAddr().Port()) }

// AdvertiseIPs returns those of AdvertiseAddrs that are addresses and not host
// names; c is valid.
func (c Bootstrap) AdvertiseIPs() []netip.AddrPort { return addrPorts(c.AdvertiseAddrs()) }
