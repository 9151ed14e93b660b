//go:build linux

package lab

import (
	"os/exec"
	"testing"
)

// packages names the Debian package of each program that a test may need.
func packageOf(program string) string {
	switch program {
	case "ip":
		return "iproute2"
	case "miniupnpd":
		return "miniupnpd-nftables"
	case "nft":
		return "nftables"
	case "linphonec":
		return "linphone-cli"
	case "sipp":
		return "sip-tester"
	default:
		return program
	}
}

// Require fails the test, and never skips it, where a program is missing.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed: run scripts/install-test-deps.sh, or install the Debian package %s", p, packageOf(p))
		}
	}
}
