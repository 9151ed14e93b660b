package sipbridge

import (
	"slices"
	"testing"

	"github.com/secp2psip/secp2psip/internal/media/relay"
)

func TestFollows(t *testing.T) {
	for ua, want := range map[string]bool{
		"baresip v1.0.0 (x86_64/linux)":                      true,
		"baresip v0.6.5 (arm)":                               true,
		"baresip v2.0.0 (x86_64/linux)":                      false,
		"baresip v3.16.0 (x86_64/Linux)":                     false,
		"baresip v10.1":                                      false,
		"baresip":                                            false,
		"Linphonec/5.1.65 (belle-sip/5.2.0)":                 true,
		"LinphoneDesktop/5.0.2 (Debian) LinphoneCore/5.1.65": true,
		"LinphoneAndroid/5.2.5 (Pixel) LinphoneSDK/5.3":      true,
		"PJSUA v2.13 Linux-6.1/x86_64":                       true,
		"MicroSIP/3.21.3":                                    false,
		"Twinkle/1.10.2":                                     true,
		"Jitsi2.10.5550Linux":                                true,
		"SIP.js/0.21":                                        false,
		"Yealink SIP-T46S 66.86.0.15":                        false,
		"Z 5.6.1 v2.10.19":                                   false,
		"Grandstream GXP2140 1.0.11.3":                       false,
		"":                                                   false,
		"My baresip v1.0.0":                                  false,
		"baresip v99999999999999999999":                      false,
	} {
		if got := follows(ua); got != want {
			t.Errorf("%q follows = %v", ua, got)
		}
	}
}

func TestPaths(t *testing.T) {
	const known, unknown = "Twinkle/1.10", "Acme"
	for _, c := range []struct {
		redirect, path, ua string
		redirects          bool
		paths              []string // "protected" only where there is a relay
	}{
		{"auto", "auto", known, true, []string{"protected", "direct", "carried"}},
		{"auto", "auto", unknown, false, []string{"protected", "carried"}},
		{"always", "auto", unknown, true, []string{"protected", "direct", "carried"}},
		{"never", "auto", known, false, []string{"protected", "carried"}},
		{"auto", "protected", known, true, []string{"protected", "carried"}},
		{"auto", "require-protected", unknown, false, []string{"protected"}},
		{"auto", "carried", known, true, []string{"carried"}},
		{"auto", "direct", unknown, true, []string{"direct"}},
		{"always", "carried", unknown, true, []string{"carried"}},
		{"never", "carried", known, false, []string{"carried"}},
	} {
		cfg := Config{Redirect: c.redirect, Path: c.path}
		cfg.Carry.Relay = new(relay.Relay)
		got := cfg.redirects([]byte(c.ua))
		if paths := cfg.paths(got); got != c.redirects || !slices.Equal(paths, c.paths) {
			t.Errorf("%+v: %v %v", c, got, paths)
		}
		cfg.Carry.Relay = nil
		if paths := cfg.paths(got); slices.Contains(paths, PathProtected) {
			t.Errorf("%+v without a relay: %v", c, paths)
		}
	}
}
