package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// arrows says which rooms of this module a room may import. A room stands for
// its subfolders too, unless they have a line of their own; within itself a
// room may import as it likes.
var arrows = map[string][]string{
	"internal/canon":     {},
	"internal/limits":    {},
	"internal/identity":  {"internal/canon", "internal/limits"},
	"internal/seal":      {},
	"internal/record":    {"internal/canon", "internal/identity", "internal/limits"},
	"internal/wire":      {"internal/canon", "internal/identity", "internal/record"},
	"internal/stack":     {},
	"internal/socket":    {},
	"internal/hidden":    {"internal/identity", "internal/wire"},
	"internal/resume":    {},
	"internal/link":      {"internal/identity", "internal/record", "internal/socket", "internal/stack", "internal/wire", "internal/limits"},
	"internal/evidence":  {"internal/canon", "internal/identity", "internal/record", "internal/wire"},
	"chord":              {"internal/identity", "internal/record", "internal/stack", "internal/wire", "internal/limits"},
	"keyshare":           {"internal/canon", "internal/identity", "internal/record"},
	"internal/directory": {"internal/identity", "internal/record", "internal/stack", "keyshare"},
	"internal/media":     {"internal/socket"},
	"sipbridge":          {"internal/identity", "internal/media", "internal/limits", "internal/socket"},
	"internal/joinlink":  {},
	"internal/metrics":   {},
	"internal/portmap":   {},
	"internal/admin":     {"internal/identity"},
	"configs":            {"internal/joinlink", "internal/limits"},
	"internal/ringdir":   {"chord", "internal/directory", "internal/identity", "internal/record", "internal/wire"},
	"internal/node":      {"chord", "internal/admin", "internal/canon", "internal/directory", "internal/evidence", "internal/hidden", "internal/identity", "internal/link", "internal/portmap", "internal/record", "internal/ringdir", "internal/seal", "internal/wire", "keyshare"},
	"bootstrap":          {"internal/admin", "internal/canon", "internal/directory", "internal/identity", "internal/joinlink", "internal/link", "internal/node", "internal/record", "internal/seal", "internal/wire", "keyshare"},
	"adapter":            {"internal/admin", "internal/canon", "internal/directory", "internal/identity", "internal/joinlink", "internal/link", "internal/media", "internal/node", "internal/portmap", "internal/record", "internal/resume", "internal/seal", "internal/wire", "sipbridge", "internal/limits"},
	"internal/simnet":    {"chord", "internal/canon", "internal/directory", "internal/identity", "internal/record", "internal/ringdir", "internal/wire", "keyshare"},
	"internal/demo":      {"adapter", "bootstrap", "internal/admin", "internal/identity", "internal/joinlink", "internal/media", "internal/node", "sipbridge"},
	"cmd":                {"adapter", "bootstrap", "configs", "internal/admin", "internal/demo", "internal/identity", "internal/joinlink", "internal/metrics", "internal/node", "internal/seal", "internal/simnet", "sipbridge"},
	"e2e":                {},
	"internal/archtest":  {},
	"internal/matrix":    {},
	"internal/testnet":   {"adapter", "bootstrap", "internal/admin", "internal/demo", "internal/identity", "internal/joinlink", "internal/node", "internal/socket", "sipbridge"},
	"internal/bench":     {"internal/testnet"},
	"docs":               {},
}

// forTests lists the rooms that only tests may import.
var forTests = []string{"internal/testnet", "internal/bench"}

// outside says which rooms alone may import a package from elsewhere, and
// why. The longest matching path counts; tests are held to it too.
var outside = []struct {
	path  string
	rooms []string
	why   string
}{
	{"github.com/hashicorp/vault/shamir", []string{"keyshare"}, "its Combine accepts anything; keyshare checks the shares before"},
	{"github.com/hashicorp/vault", nil, "all of it but the shamir folder is under another licence"},
	{"github.com/emiago/sipgo", []string{"sipbridge", "internal/demo", "e2e"}, "SIP is the front's matter; demo and the end-to-end tests play phones"},
	{"github.com/quic-go/quic-go", []string{"internal/link", "internal/bench"}, "there is one transport, and its limits are set in one place; the benchmarks compare with it bare"},
	{"go.etcd.io/bbolt", []string{"internal/evidence", "internal/record", "internal/node", "adapter", "bootstrap"}, "state is kept by those who own it"},
	{"golang.org/x/crypto", []string{"internal/seal"}, "what the standard library lacks is needed for keys at rest alone"},
	{"filippo.io/edwards25519", []string{"internal/identity"}, "keys change their form in one place"},
	{"github.com/spf13/cobra", []string{"cmd"}, "the command line is cmd's"},
	{"github.com/knadh/koanf", []string{"configs"}, "rooms take plain structs"},
	{"github.com/huin/goupnp", []string{"internal/portmap"}, "what a router says is bounded and checked in one place"},
	{"github.com/jackpal/go-nat-pmp", []string{"internal/portmap"}, "the same"},
	{"github.com/mdlayher/netlink", []string{"internal/node"}, "who moves is a node's matter"},
	{"github.com/prometheus", []string{"internal/metrics"}, "rooms count through functions that they are given"},
}

// noSockets lists the rooms that must not reach the network: they are given
// messages and give messages back, so that tests and simulations can run them.
var noSockets = []string{"internal/canon", "internal/identity", "internal/record", "internal/wire", "internal/directory", "internal/joinlink", "keyshare", "chord", "internal/simnet"}

// strangers never import one another, not even in tests.
var strangers = []string{"chord", "keyshare", "sipbridge", "internal/link"}

func TestImports(t *testing.T) {
	for _, s := range goFiles(t) {
		for _, v := range importViolations(s) {
			t.Error(v)
		}
	}
}

// A line for a room that is gone is a rule that nobody reads.
func TestArrowsHaveRooms(t *testing.T) {
	rooms := map[string]bool{}
	for _, s := range goFiles(t) {
		if r, ok := roomOf(s.room()); ok {
			rooms[r] = true
		}
	}
	for room := range arrows {
		if !rooms[room] {
			t.Errorf("the rules name %s, which does not exist", room)
		}
	}
}

// roomOf returns the line of arrows that a folder falls under.
func roomOf(folder string) (string, bool) {
	for {
		if _, ok := arrows[folder]; ok {
			return folder, true
		}
		i := strings.LastIndexByte(folder, '/')
		if i < 0 {
			return "", false
		}
		folder = folder[:i]
	}
}

func importViolations(s source) (list []string) {
	own, ok := roomOf(s.room())
	if !ok {
		return []string{fmt.Sprintf("%s: the rules do not say what %s may import; add a line to arrows", s.path, s.room())}
	}
	s.imports(func(at, path string) {
		if why := forbidden(own, path, s.test()); why != "" {
			list = append(list, fmt.Sprintf("%s: %s must not import %s: %s", at, own, path, why))
		}
	})
	return list
}

// forbidden says why room own must not import path, "" if it may.
func forbidden(own, path string, test bool) string {
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return forbiddenRoom(own, rest, test)
	}
	if slices.Contains(noSockets, own) && !test && network(path) {
		return "this room must not reach the network"
	}
	if path == "testing" && !test && own != "e2e" && !slices.Contains(forTests, own) {
		return "only tests need it"
	}
	for _, rule := range outside {
		if path != rule.path && !strings.HasPrefix(path, rule.path+"/") {
			continue
		}
		if !slices.Contains(rule.rooms, own) {
			return rule.why
		}
		return ""
	}
	return ""
}

func forbiddenRoom(own, folder string, test bool) string {
	other, ok := roomOf(folder)
	switch {
	case !ok:
		return "the rules do not know that room"
	case other == own:
		return ""
	case slices.Contains(strangers, own) && slices.Contains(strangers, other):
		return "these rooms are strangers to each other; what both need comes through an interface"
	case slices.Contains(forTests, other) && !test:
		return "only tests may import it"
	case other == "configs" && own != "cmd":
		return "configuration is cmd's matter; rooms take plain structs"
	case !test && !slices.Contains(arrows[own], other):
		return "no arrow leads there"
	}
	return ""
}

func network(path string) bool {
	switch path {
	case "net", "net/http", "net/rpc", "net/smtp", "crypto/tls":
		return true
	}
	return strings.HasPrefix(path, "golang.org/x/net/")
}

// The rules find what they are for.
func TestImportsFindViolations(t *testing.T) {
	tests := []struct{ file, path, want string }{
		{"chord/a.go", module + "/internal/link", "strangers"},
		{"chord/zave/a_test.go", module + "/sipbridge/carry", "strangers"},
		{"keyshare/a.go", "github.com/hashicorp/vault/sdk", "another licence"},
		{"internal/directory/a.go", "github.com/hashicorp/vault/shamir", "Combine accepts anything"},
		{"keyshare/a.go", "github.com/hashicorp/vault/shamir", ""},
		{"adapter/a.go", "github.com/emiago/sipgo/sip", "front's matter"},
		{"sipbridge/carry/a.go", "github.com/emiago/sipgo/sip", ""},
		{"internal/record/a.go", "net", "network"},
		{"internal/record/a.go", "net/netip", ""},
		{"internal/record/a_test.go", "net", ""},
		{"adapter/a_test.go", module + "/configs", "cmd's matter"},
		{"cmd/secp2psip/a.go", module + "/configs", ""},
		{"internal/identity/a.go", module + "/internal/record", "no arrow"},
		{"internal/identity/a_test.go", module + "/internal/record", ""},
		{"adapter/a.go", "testing", "only tests"},
		{"internal/testnet/a.go", "testing", ""},
		{"adapter/a.go", module + "/internal/testnet", "only tests"},
		{"adapter/a_test.go", module + "/internal/testnet", ""},
		{"adapter/a.go", module + "/nowhere", "do not know"},
		{"nowhere/a.go", "fmt", "add a line"},
	}
	for _, tt := range tests {
		s := parse(t, tt.file, fmt.Appendf(nil, "package p\nimport _ %q\n", tt.path))
		got := strings.Join(importViolations(s), "\n")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s importing %s: %q, want %q", tt.file, tt.path, got, tt.want)
		}
	}
}
