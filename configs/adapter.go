package configs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Adapter configures an adapter.
type Adapter struct {
	// State is the folder for keys and database. Default: see DefaultState.
	State string `koanf:"state" toml:"state" help:"folder for keys and database"`
	// PassphraseFile holds the passphrase that seals the keys: a path, or
	// "fd:N". Empty: what systemd hands over, else none.
	PassphraseFile string `koanf:"passphrase_file" toml:"passphrase_file" help:"file with the passphrase that seals the keys in the state folder, or fd:N; empty: systemd's credential secp2psip.passphrase, else none"`
	// Join is the join link; it is needed once, before the name is enrolled.
	Join string `koanf:"join" toml:"join" help:"join link from the bootstrap server; needed once"`
	// Listen is the UDP address of the link: "IP:PORT", or ":PORT" for every
	// address of both families. Port 0 takes a free one.
	Listen string `koanf:"listen" toml:"listen" help:"UDP address of the link to other adapters"`
	// Advertise lists the addresses that others are told: "IP" or "IP:PORT",
	// at most 8. Empty: the host's own.
	Advertise []string `koanf:"advertise" toml:"advertise" help:"addresses that other adapters are told; empty: the host's own"`
	// OpenNetworks lists networks of which the table of members takes any number.
	OpenNetworks []string `koanf:"open_networks" toml:"open_networks" help:"networks, such as an office's, of which any number of adapters are known; private ones always are"`
	// Role says whether the adapter holds a part of the ring.
	Role string `koanf:"role" toml:"role" help:"hold a part of the ring when others can call this adapter, never, or always" oneof:"auto client peer"`
	// Clients is how many adapters that nobody can call this one passes sealed
	// packets on to, 0 to 1,024.
	Clients int `koanf:"clients" toml:"clients" help:"how many adapters that nobody can call this one passes sealed packets on to"`
	// CacheFor is how long a resolution is used again; 0: not at all.
	CacheFor Duration `koanf:"cache_for" toml:"cache_for" help:"how long a looked-up name is used again"`
	// CallRecords writes a line to calls.jsonl in the state folder for every
	// call that has ended.
	CallRecords bool    `koanf:"call_records" toml:"call_records" help:"write a line to calls.jsonl in the state folder for every call"`
	Privacy     Privacy `koanf:"privacy" toml:"privacy"`
	NAT         NAT     `koanf:"nat" toml:"nat"`
	SIP         SIP     `koanf:"sip" toml:"sip"`
	Limits      Limits  `koanf:"limits" toml:"limits"`
	Metrics     Metrics `koanf:"metrics" toml:"metrics"`
	Log         Log     `koanf:"log" toml:"log"`
}

// Privacy configures what others can see of who calls whom.
type Privacy struct {
	// HiddenLookups asks for names through two other members of the ring.
	HiddenLookups bool `koanf:"hidden_lookups" toml:"hidden_lookups" help:"look names up through other adapters, so that those who hold the records do not see who asks; slower"`
}

// NAT configures what is done about a router before this host.
type NAT struct {
	// PortMapping asks the router to map the link's UDP port to this host.
	PortMapping string `koanf:"port_mapping" toml:"port_mapping" help:"ask the router, by NAT-PMP or UPnP, to let others in to the link's port" oneof:"off auto"`
}

// SIP configures the side towards the phone.
type SIP struct {
	// Listen lists where phones reach the adapter: "udp:IP:PORT" or
	// "tcp:IP:PORT". Other than loopback addresses need Accounts.
	Listen []string `koanf:"listen" toml:"listen" help:"where phones reach the adapter, as udp:IP:PORT or tcp:IP:PORT"`
	// Redirect says which phones get a 302 and which are carried.
	Redirect string `koanf:"redirect" toml:"redirect" help:"302 to phones that are known to follow it, to all, or to none" oneof:"auto always never"`
	// Path says how calls go on.
	Path string `koanf:"path" toml:"path" help:"how calls go on: phone to phone, through the adapters without or with the media, or as the overlay prefers" oneof:"auto direct carried protected require-protected"`
	// MediaPorts are the UDP ports towards phones on protected calls,
	// "FIRST-LAST"; a stream takes two.
	MediaPorts string `koanf:"media_ports" toml:"media_ports" help:"UDP ports towards phones on protected calls, as FIRST-LAST"`
	// HostIP is the address that replaces a phone's loopback address; empty:
	// the one towards the other adapter.
	HostIP string `koanf:"host_ip" toml:"host_ip" help:"this host's address for media; empty: the one towards the other adapter"`
	// DigestAlgorithms lists what phones may prove a password with (RFC 8760):
	// MD5, and SHA-256 after it. MD5 comes first because some phones read the
	// first challenge only.
	DigestAlgorithms []string `koanf:"digest_algorithms" toml:"digest_algorithms" help:"digest algorithms that phones are offered: MD5, or MD5,SHA-256"`
	// Passwords says who is asked for a password.
	Passwords string `koanf:"passwords" toml:"passwords" help:"who needs a password: phones of other hosts, or every phone" oneof:"outside always"`
	// Accounts lists the phones' passwords. With any, every phone needs one.
	Accounts []Account `koanf:"accounts" toml:"accounts"`
}

// Account is one phone's password.
type Account struct {
	User     string `koanf:"user" toml:"user"`
	Password string `koanf:"password" toml:"password"` // 8 to 128 bytes
}

// DefaultAdapter returns the defaults, with state as the folder.
func DefaultAdapter(state string) Adapter {
	return Adapter{
		State:  state,
		Listen: ":5871",

		CallRecords:  true,
		Advertise:    []string{},
		OpenNetworks: []string{},
		Role:         "auto",
		Clients:      64,
		CacheFor:     Minute,
		NAT:          NAT{PortMapping: "off"},
		SIP: SIP{
			Listen:           []string{"udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "udp:[::1]:5060", "tcp:[::1]:5060"},
			Redirect:         "auto",
			Path:             "auto",
			MediaPorts:       "40100-41099",
			DigestAlgorithms: []string{"MD5"},
			Passwords:        "outside",
			Accounts:         []Account{},
		},
		Limits: defaultLimits(),
		Log:    defaultLog(),
	}
}

// Validate returns what is wrong with c, nil if nothing is. Join is not
// looked into.
func (c Adapter) Validate() []Problem {
	var r rules
	r.need(c.State != "", "state", "there must be a folder", `set it, for example "/var/lib/secp2psip/adapter"`)
	r.listen("listen", c.Listen)
	r.advertise("advertise", c.Advertise, false, c.ListenAddr())
	r.networks("open_networks", c.OpenNetworks)
	r.between("clients", c.Clients, 0, 1024)
	r.lasts("cache_for", c.CacheFor, 0, Hour)
	c.SIP.validate(&r)
	c.Limits.validate(&r)
	r.common(c, c.Metrics)
	return r.problems
}

func (s SIP) validate(r *rules) {
	r.need(len(s.Listen) > 0, "sip.listen", "no phone could reach the adapter", `give at least "udp:127.0.0.1:5060"`)
	r.each("sip.listen", s.Listen, sipListen)
	for i, addr := range s.Listen {
		if _, ap, err := ParseSIPListen(addr); err == nil && !ap.Addr().IsLoopback() && len(s.Accounts) == 0 {
			r.add(fmt.Sprintf("sip.listen[%d]", i), fmt.Sprintf("%q is not a loopback address and no phone needs a password: anyone near could call in your name", addr),
				"add [[sip.accounts]] with user and password, or listen on 127.0.0.1")
		}
	}
	r.need(s.Passwords != "always" || len(s.Accounts) > 0, "sip.passwords", "no phone has a password, so none could register", "add [[sip.accounts]] with user and password")
	if s.HostIP != "" {
		ip, err := netip.ParseAddr(s.HostIP)
		r.need(err == nil && !ip.IsUnspecified(), "sip.host_ip", fmt.Sprintf("%q is not an address of this host", s.HostIP), `give an IP address such as "192.168.1.20", or ""`)
	}
	r.subset("sip.digest_algorithms", s.DigestAlgorithms, "MD5", "SHA-256")
	r.need(len(s.DigestAlgorithms) == 0 || s.DigestAlgorithms[0] == "MD5", "sip.digest_algorithms", "MD5 must come first: some phones read the first challenge only",
		`write ["MD5"] or ["MD5", "SHA-256"]`)
	if _, err := ParsePorts(s.MediaPorts); err != nil {
		r.add("sip.media_ports", err.Error(), `write the first and the last one, at least two, like "40100-41099"`)
	}
	seen := map[string]bool{}
	for i, a := range s.Accounts {
		key := fmt.Sprintf("sip.accounts[%d]", i)
		if what, mend := userPart(a.User); what != "" {
			r.add(key+".user", what, mend)
		}
		r.need(!seen[a.User], key+".user", fmt.Sprintf("%q has a password already", a.User), "remove one of the two")
		seen[a.User] = true
		r.need(len(a.Password) >= 8 && len(a.Password) <= 128, key+".password", "a password has 8 to 128 bytes", "make one with: openssl rand -hex 12")
	}
}

// ParseSIPListen splits "udp:IP:PORT" or "tcp:IP:PORT".
func ParseSIPListen(text string) (transport string, addr netip.AddrPort, err error) {
	transport, rest, _ := strings.Cut(text, ":")
	addr, err = netip.ParseAddrPort(rest)
	if err != nil || transport != "udp" && transport != "tcp" {
		return "", netip.AddrPort{}, fmt.Errorf("%q is not udp:IP:PORT or tcp:IP:PORT", text)
	}
	return transport, addr, nil
}

// ParsePorts splits "FIRST-LAST".
func ParsePorts(text string) (ports [2]uint16, err error) {
	first, last, _ := strings.Cut(text, "-")
	for i, one := range []string{first, last} {
		n, err := strconv.ParseUint(one, 10, 16)
		if err != nil || n == 0 {
			return ports, fmt.Errorf("%q is no range of ports", text)
		}
		ports[i] = uint16(n)
	}
	if int(ports[1]) < int(ports[0])+2 {
		return ports, fmt.Errorf("%q has no place for a stream, which takes two ports, the first of them even", text)
	}
	return ports, nil
}

func sipListen(text string) (what, mend string) {
	if _, _, err := ParseSIPListen(text); err != nil {
		return err.Error(), `write it like "udp:127.0.0.1:5060" or "tcp:[::1]:5060"`
	}
	return "", ""
}

// ListenAddr returns Listen as an address; c is valid.
func (c Adapter) ListenAddr() netip.AddrPort { return listenAddr(c.Listen) }

// OpenPrefixes returns OpenNetworks; c is valid.
func (c Adapter) OpenPrefixes() (out []netip.Prefix) {
	for _, v := range c.OpenNetworks {
		if p, err := netip.ParsePrefix(v); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// AdvertiseAddrs returns Advertise as IP:PORT, with the port of Listen where
// none is given; c is valid.
func (c Adapter) AdvertiseAddrs() []netip.AddrPort {
	return addrPorts(withPort(c.Advertise, c.ListenAddr().Port()))
}
