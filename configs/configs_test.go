package configs

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The samples are documentation: they must load, say what the defaults are,
// and name every key.
func TestSamples(t *testing.T) {
	for _, kind := range []string{KindBootstrap, KindAdapter} {
		data, err := Sample(kind)
		if err != nil {
			t.Fatal(err)
		}
		src := Source{File: write(t, string(data))}
		var got, want any
		if kind == KindBootstrap {
			l, err := LoadBootstrap(src, "/s")
			if err != nil {
				t.Fatal(err)
			}
			got, want = l.Config, DefaultBootstrap("/s")
		} else {
			l, err := LoadAdapter(src, "/s")
			if err != nil {
				t.Fatal(err)
			}
			got, want = l.Config, DefaultAdapter("/s")
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(sameAddr)); diff != "" {
			t.Errorf("%s differs from the defaults: %s", kind, diff)
		}
		at := findPositions(data)
		for _, f := range Fields(kind) {
			if _, ok := at[f.Key]; !ok && f.Key != "state" {
				t.Errorf("%s lacks %s", kind, f.Key)
			}
		}
	}
}

func sameAddr(a, b netip.AddrPort) bool { return a == b }

// What is commented out in a sample works when the marks are removed.
func TestSampleWithoutMarks(t *testing.T) {
	for _, kind := range []string{KindBootstrap, KindAdapter} {
		data, err := Sample(kind)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
				line = line[1:]
			}
			lines = append(lines, line)
		}
		src := Source{File: write(t, strings.Join(lines, ""))}
		if kind == KindBootstrap {
			l, err := LoadBootstrap(src, "")
			if err != nil || l.Config.State == "" {
				t.Errorf("%+v, %v", l, err)
			}
			continue
		}
		l, err := LoadAdapter(src, "")
		if err != nil || l.Config.State == "" || len(l.Config.SIP.Accounts) != 1 {
			t.Errorf("%+v, %v", l, err)
		}
	}
}

func flagSet(t *testing.T, kind string, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	DefineFlags(fs, kind, "/state")
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

// Each setting is given in one layer more than the one before it.
func TestPrecedence(t *testing.T) {
	file := write(t, `cache_for = "30m"
[log]
level = "warn"
[sip]
redirect = "always"
listen = ["udp:127.0.0.2:5060"]
`)
	l, err := LoadAdapter(Source{
		File:  file,
		Env:   []string{"PATH=/bin", "SECP2PSIP_LOG_LEVEL=debug", "SECP2PSIP_SIP_REDIRECT=never", "SECP2PSIP_ADVERTISE=192.0.2.1, 192.0.2.2:7"},
		Flags: flagSet(t, KindAdapter, "--sip-redirect", "auto", "--sip-digest-algorithms", "MD5", "--sip-digest-algorithms=SHA-256"),
	}, "/state")
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultAdapter("/state")
	want.CacheFor = 30 * Minute
	want.Log.Level = "debug"
	want.SIP.Redirect = "auto"
	want.SIP.Listen = []string{"udp:127.0.0.2:5060"}
	want.SIP.DigestAlgorithms = []string{"MD5", "SHA-256"}
	want.Advertise = []string{"192.0.2.1", "192.0.2.2:7"}
	if diff := cmp.Diff(want, l.Config); diff != "" {
		t.Error(diff)
	}
	addrs := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5871"), netip.MustParseAddrPort("192.0.2.2:7")}
	if got := l.Config.AdvertiseAddrs(); !cmp.Equal(got, addrs, cmp.Comparer(sameAddr)) {
		t.Errorf("advertised %v", got)
	}
	if got := l.Config.ListenAddr().String(); got != "[::]:5871" {
		t.Errorf("listen %v", got)
	}
	if len(l.Warnings) != 0 {
		t.Errorf("warnings %q", l.Warnings)
	}
}

// Every mistake is named with its place, the key, what is wrong and the mend.
func TestFileMistakes(t *testing.T) {
	tests := []struct{ kind, text, want string }{
		{KindBootstrap, "\noverlai = \"x\"", `c.toml:2:1: unknown key "overlai"; did you mean "overlay"?`},
		{KindBootstrap, "zzzzzzzzz = 1", `c.toml:1:1: unknown key "zzzzzzzzz"; remove the line; see 'secp2psip config sample' for the keys`},
		{KindAdapter, "redirect = \"auto\"", `c.toml:1:1: unknown key "redirect"; redirect belongs under [sip]`},
		{KindAdapter, "enrol = \"open\"", `c.toml:1:1: unknown key "enrol"; it is a setting of a bootstrap server`},
		{KindBootstrap, "join = \"x\"", `c.toml:1:1: unknown key "join"; it is a setting of an adapter`},
		{KindAdapter, "[[sip.accounts]]\nuser = \"a\"\npasswort = \"x\"", `c.toml:3:1: unknown key "sip.accounts.passwort"; did you mean "sip.accounts.password"?`},
		{KindAdapter, "[log]\nlevle = \"info\"\nformt = \"auto\"", "c.toml:2:1: unknown key \"log.levle\"; did you mean \"log.level\"?\nc.toml:3:1: unknown key \"log.formt\"; did you mean \"log.format\"?"},
		{KindBootstrap, "k = \"four\"", `c.toml:1:1: k: it must be a whole number`},
		{KindBootstrap, "[lifetimes]\ngrace = \"long\"", `c.toml:2:1: lifetimes.grace: it must be a duration in quotes, such as "90d", "36h" or "5m"`},
		{KindBootstrap, "[lifetimes]\n\ngrace = 3", `c.toml:3:1: lifetimes.grace: it must be a duration in quotes, such as "90d", "36h" or "5m"`},
		{KindBootstrap, "paths = \"direct\"", `c.toml:1:1: paths: it must be a list of strings, such as ["a", "b"]`},
		{KindBootstrap, "k = 4\noverlay = lan.example\n", "c.toml:2:"},
		{KindBootstrap, "k = 4\nk = 5\n", "c.toml:2:1: "},
		{KindBootstrap, "k = 11", `c.toml:1:1: k: it is larger than n: a key could never be rebuilt; make k smaller or n larger; 4 of 10 is the default`},
		{KindBootstrap, "n = 3", `c.toml: k: it is larger than n: a key could never be rebuilt; make k smaller or n larger; 4 of 10 is the default`},
		{KindBootstrap, "overlay = \"LAN\"", `c.toml:1:1: overlay: "LAN" is not a lower-case host name; use letters, digits, hyphens and dots, as in lan.example; the name need not exist in the DNS`},
		{KindBootstrap, "# one\nenrol = \"opne\"\n[log]\nlevel = \"loud\"", "c.toml:2:1: enrol: \"opne\" is not one of invite, open; did you mean \"open\"?\nc.toml:4:1: log.level: \"loud\" is not one of trace, debug, info, warn, error"},
		{KindBootstrap, "paths = [\"direct\",\n  \"carryed\"]", `c.toml:2:3: paths[1]: "carryed" is not one of protected, direct, carried, require-protected; did you mean "carried"?`},
		{KindBootstrap, "paths = []", `c.toml:1:1: paths: the list is empty; name at least one of protected, direct, carried, require-protected`},
		{KindBootstrap, "reserved = [\"a@b\"]", `c.toml:1:13: reserved[0]: "a@b" is not a name; give the part before the @, such as "bob" or "101"`},
		{KindBootstrap, "lifetimes = {certificate = \"1d\"}", `c.toml:1:1: lifetimes.renew: certificates would end before they are renewed; choose an age below lifetimes.certificate; a third of it is usual`},
		{KindBootstrap, "metrics.listen = \"192.168.1.1:9\"", `c.toml:1:1: metrics.listen: "192.168.1.1:9" is not a loopback address and metrics have no password; use "127.0.0.1:9570" and a proxy if others must see them`},
		{KindBootstrap, "advertise = [\"0.0.0.0\"]", `c.toml:1:14: advertise[0]: "0.0.0.0" is not an address that others can reach; give the host's own address`},
		{KindBootstrap, "advertise = [\"fe80::1%eth0\"]", `c.toml:1:14: advertise[0]: "fe80::1%eth0" is not an address; write it like "192.168.1.10", "192.168.1.10:5870" or "[fd00::1]:5870"`},
		{KindAdapter, "listen = \"5871\"", `c.toml:1:1: listen: "5871" is not IP:PORT; write it like ":5870" for every address, or "192.168.1.10:5870", "[fd00::1]:5870"`},
		{KindAdapter, "advertise = [\"boot.example\"]", `c.toml:1:14: advertise[0]: "boot.example" is not an address; write it like "192.168.1.10", "192.168.1.10:5870" or "[fd00::1]:5870"`},
		{KindAdapter, "[sip]\nlisten = [\"127.0.0.1:5060\"]", `c.toml:2:11: sip.listen[0]: "127.0.0.1:5060" is not udp:IP:PORT or tcp:IP:PORT; write it like "udp:127.0.0.1:5060" or "tcp:[::1]:5060"`},
		{KindAdapter, "[sip]\nlisten = [\"udp:192.168.1.5:5060\"]", `c.toml:2:11: sip.listen[0]: "udp:192.168.1.5:5060" is not a loopback address and no phone needs a password: anyone near could call in your name; add [[sip.accounts]] with user and password, or listen on 127.0.0.1`},
		{KindAdapter, "[[sip.accounts]]\nuser = \"alice\"\npassword = \"longenough\"\n[[sip.accounts]]\nuser = \"alice\"\npassword = \"short\"", "c.toml:5:1: sip.accounts[1].user: \"alice\" has a password already; remove one of the two\nc.toml:6:1: sip.accounts[1].password: a password has 8 to 128 bytes; make one with: openssl rand -hex 12"},
		{KindAdapter, "[sip]\nhost_ip = \"here\"", `c.toml:2:1: sip.host_ip: "here" is not an address of this host; give an IP address such as "192.168.1.20", or ""`},
		{KindAdapter, "[sip]\ndigest_algorithms = [\"SHA-256\"]", `c.toml:2:1: sip.digest_algorithms: MD5 must come first: some phones read the first challenge only; write ["MD5"] or ["MD5", "SHA-256"]`},
		{KindAdapter, "[sip]\npasswords = \"always\"", `c.toml:2:1: sip.passwords: no phone has a password, so none could register; add [[sip.accounts]] with user and password`},
		{KindAdapter, "listen = \":0\"\nadvertise = [\"192.0.2.1\", \"192.0.2.2:7\"]", `c.toml:2:14: advertise[0]: "192.0.2.1" has no port, and listen takes any free one; give a port here or there`},
		{KindAdapter, "cache_for = \"2h\"", `c.toml:1:1: cache_for: 2h is not between 0s and 1h; choose a duration in that range`},
	}
	for _, tt := range tests {
		src := Source{File: write(t, tt.text)}
		var err error
		if tt.kind == KindBootstrap {
			_, err = LoadBootstrap(src, "/s")
		} else {
			_, err = LoadAdapter(src, "/s")
		}
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		got := strings.ReplaceAll(err.Error(), filepath.Dir(src.File)+string(filepath.Separator), "")
		if got != tt.want && (!strings.HasSuffix(tt.want, ":") && !strings.HasSuffix(tt.want, ": ") || !strings.HasPrefix(got, tt.want)) {
			t.Errorf("%q:\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

// A mistake outside the file names the variable or the flag.
func TestOtherMistakes(t *testing.T) {
	file := write(t, "[log]\nlevel = \"info\"\n")
	tests := []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"variable", []string{"SECP2PSIP_LOG_LEVEL=lout"}, nil, `SECP2PSIP_LOG_LEVEL: "lout" is not one of trace, debug, info, warn, error`},
		{"type", []string{"SECP2PSIP_K=four"}, nil, `SECP2PSIP_K: "four" is not a whole number`},
		{"flag", []string{"SECP2PSIP_LOG_LEVEL=info"}, []string{"--log-level", "wran"}, `--log-level: "wran" is not one of trace, debug, info, warn, error; did you mean "warn"?`},
	}
	for _, tt := range tests {
		_, err := LoadBootstrap(Source{File: file, Env: tt.env, Flags: flagSet(t, KindBootstrap, tt.args...)}, "/s")
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n got %v\nwant %s", tt.name, err, tt.want)
		}
	}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	DefineFlags(fs, KindBootstrap, "/state")
	want := `invalid argument "x" for "--k" flag: "x" is not a whole number`
	if err := fs.Parse([]string{"--k", "x"}); err == nil || err.Error() != want {
		t.Errorf("flag type: %v", err)
	}
}

// A daemon that finds a mistake later can still name its place.
func TestErrorNamesTheOrigin(t *testing.T) {
	file := write(t, "join = \"nonsense\"\n")
	l, err := LoadAdapter(Source{File: file}, "/s")
	if err != nil {
		t.Fatal(err)
	}
	want := file + ":1:1: join: no link; ask for one"
	if err := l.Error("join", "no link", "ask for one"); err.Error() != want || !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWarnings(t *testing.T) {
	file := write(t, "join = \"x\"\n")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := LoadAdapter(Source{File: file, Env: []string{"SECP2PSIP_LISTN=:1", "SECP2PSIP_ENROL=open", "SECP2PSIP_PORT_5870_TCP=x", "SECP2PSIP_CONFIG=x"}}, "/s")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		file + " holds secrets and every user of this machine can read it; run: chmod 640 " + file,
		"the environment variable SECP2PSIP_LISTN is not a setting; did you mean SECP2PSIP_LISTEN?",
	}
	if diff := cmp.Diff(want, l.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestReadErrors(t *testing.T) {
	big := write(t, strings.Repeat("#\n", maxFile))
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir(), big} {
		if _, err := LoadAdapter(Source{File: path}, "/s"); !errors.Is(err, ErrRead) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestDefaultState(t *testing.T) {
	tests := []struct {
		host Host
		env  map[string]string
		want string
	}{
		{Host{OS: "linux", UID: 0}, nil, "/var/lib/secp2psip/adapter"},
		{Host{OS: "linux", UID: 7}, map[string]string{"HOME": "/h"}, "/h/.local/state/secp2psip/adapter"},
		{Host{OS: "linux", UID: 0}, map[string]string{"XDG_STATE_HOME": "/x"}, "/x/secp2psip/adapter"},
		{Host{OS: "linux", UID: 7}, map[string]string{"HOME": "/h", "XDG_STATE_HOME": "rel"}, "/h/.local/state/secp2psip/adapter"},
		{Host{OS: "linux", UID: 7}, map[string]string{"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, "/var/lib/a"},
		{Host{OS: "windows", UID: -1}, map[string]string{"LocalAppData": "/l"}, "/l/secp2psip/adapter"},
	}
	for _, tt := range tests {
		tt.host.Getenv = func(name string) string { return tt.env[name] }
		if got := DefaultState(KindAdapter, tt.host); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.env, got, tt.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]Duration{
		"0s": 0, "90d": 90 * Day, "1d12h": 36 * Hour, "5m": 5 * Minute, "1h30m": 90 * Minute, "1m1s": 61 * Second, "2h": 2 * Hour, "1d1s": Day + Second,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v (%s), %v", text, int64(got), got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "-5m", "5", "1d-1h", "99999d", "36500d2000000h", "1d 2h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// The file comes from an editor or a script. Whatever it holds, loading ends
// with a valid configuration or with an error that says so.
func FuzzLoad(f *testing.F) {
	for _, kind := range []string{KindBootstrap, KindAdapter} {
		data, err := Sample(kind)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("sip.accounts = [{user = \"a\"}, {password = 3}]\n[[x.y]]\n[x.y.z]\n"))
	f.Add([]byte("a = [[1, {b = 2}], # c\n \"d\"]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		at := findPositions(data)
		if problems := checkFile("f", data, at, DefaultAdapter("/s")); len(problems) > 0 {
			for _, p := range problems {
				if p.What == "" {
					t.Fatalf("an empty problem: %+v", p)
				}
			}
			return
		}
		file := write(t, string(data))
		l, err := LoadAdapter(Source{File: file}, "/s")
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if p := l.Config.Validate(); len(p) > 0 {
			t.Fatalf("%q loaded and is not valid: %v", data, p)
		}
	})
}
