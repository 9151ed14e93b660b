package docs_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bound is a value of the table of limits, and the constant that makes it so.
type bound struct {
	row        string // its first cell
	file, name string
	unit       string // "" a number, "B", "KiB", "s"
}

// bounds are what the table "The rest" says, but for what the charter and the
// configuration hold.
var bounds = []bound{
	{"calls and texts from one person to one person", "../adapter/gate.go", "defaultBurst", ""},
	{"records of one owner at one holder", "../internal/limits/limits.go", "OwnerRecords", ""},
	{"records of one owner at one holder", "../internal/limits/limits.go", "OwnerBytes", "KiB"},
	{"records of all owners at one holder", "../internal/limits/limits.go", "StoreBytes", "MiB"},
	{"devices of one person", "../internal/limits/limits.go", "Devices", ""},
	{"pairs of caller and callee that are counted", "../adapter/gate.go", "maxPairs", ""},
	{"pairs of caller and callee that are counted", "../sipbridge/pace.go", "pacePairs", ""},
	{"calls and texts of one node", "../adapter/gate.go", "nodeRate", ""},
	{"age of a signed INVITE, REDIRECT or text", "../adapter/callout.go", "callWindow", "s"},
	{"nonces remembered against replay", "../adapter/gate.go", "maxNonces", ""},
	{"tokens of carried calls", "../adapter/gate.go", "maxTokens", ""},
	{"tokens of carried calls", "../adapter/gate.go", "tokenLife", "s"},
	{"one record; its data", "../internal/record/record.go", "MaxRecord", "KiB"},
	{"one record; its data", "../internal/record/record.go", "MaxData", "KiB"},
	{"one message between nodes", "../internal/wire/wire.go", "MaxMessage", "KiB"},
	{"pinned keys", "../internal/identity/pins.go", "MaxPins", ""},
	{"open invitations", "../bootstrap/invite.go", "maxInvitations", ""},
	{"SIP message from a phone", "../sipbridge/config.go", "MaxMessage", "B"},
	{"SIP message from a phone", "../sipbridge/text.go", "MaxText", "KiB"},
	{"SIP header fields of one message; its Call-ID", "../sipbridge/message/message.go", "MaxFields", ""},
	{"SIP header fields of one message; its Call-ID", "../sipbridge/message/message.go", "MaxCallID", "B"},
	{"contacts of one REGISTER", "../sipbridge/message/contact.go", "MaxContacts", ""},
	{"SIP connections over TCP", "../sipbridge/config.go", "MaxConns", ""},
	{"SIP connections over TCP", "../sipbridge/tcp.go", "connsPerIP", ""},
	{"a SIP message over TCP, from its first byte", "../sipbridge/tcp.go", "messageTime", "s"},
	{"a SIP connection over which no account spoke", "../sipbridge/tcp.go", "strangerTime", "s"},
	{"final SIP answers kept for repetition", "../sipbridge/replay.go", "replayBytes", "MiB"},
	{"final SIP answers kept for repetition", "../sipbridge/replay.go", "replayFor", "s"},
	{"call targets in 302s", "../sipbridge/targets.go", "targetsMax", ""},
	{"call targets in 302s", "../sipbridge/targets.go", "targetFor", "s"},
	{"names served at one adapter; phones of one name", "../sipbridge/config.go", "MaxAccounts", ""},
	{"names served at one adapter; phones of one name", "../sipbridge/config.go", "MaxBindings", ""},
	{"wrong passwords from one address", "../sipbridge/digest.go", "missesMax", ""},
	{"wrong passwords from one address", "../sipbridge/digest.go", "missSources", ""},
	{"password challenges in use", "../sipbridge/digest.go", "noncesMax", ""},
	{"texts that wait for a phone", "../sipbridge/client.go", "clientMax", ""},
	{"phones whose reachability is remembered", "../sipbridge/probe.go", "probesMax", ""},
}

// The bounds that the page gives are those that the code has.
func TestLimitsAreTheCodes(t *testing.T) {
	_, section, ok := strings.Cut(read(t, "operations.md"), "### The rest\n")
	if !ok {
		t.Fatal("operations.md: no section The rest")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]string{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			rows[strings.TrimSpace(cells[1])] = cells[2]
		}
	}
	for _, b := range bounds {
		want := b.text(t)
		cell, ok := rows[b.row]
		if !ok {
			t.Errorf("operations.md: no row %q, which says %s", b.row, want)
		} else if !strings.Contains(strings.NewReplacer(", ", " ", ";", " ").Replace(cell), " "+want+" ") {
			t.Errorf("operations.md: %q says %q; %s has %s", b.row, cell, b.name, want)
		}
	}
}

// text writes the constant as the page does.
func (b bound) text(t *testing.T) string {
	t.Helper()
	v := int64(-1)
	for _, file := range goFiles(t, b.file) {
		if e := constantOf(file, b.name); e != nil {
			v = evaluate(t, file, e)
		}
	}
	if v < 0 {
		t.Fatalf("%s has no constant %s", b.file, b.name)
	}
	switch b.unit {
	case "KiB":
		return fmt.Sprint(v>>10, " KiB")
	case "MiB":
		return fmt.Sprint(v>>20, " MiB")
	case "B":
		return thousands(v) + " bytes"
	case "s":
		return fmt.Sprint(v/int64(time.Second), " s")
	}
	return thousands(v)
}

// thousands writes 4096 as 4,096.
func thousands(v int64) string {
	s := strconv.FormatInt(v, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func constantOf(file *ast.File, name string) (found ast.Expr) {
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for i, id := range spec.Names {
				if id.Name == name && i < len(spec.Values) {
					found = spec.Values[i]
				}
			}
		}
		return true
	})
	return found
}

// evaluate computes a constant of whole numbers and durations.
func evaluate(t *testing.T, file *ast.File, e ast.Expr) int64 {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		v, err := strconv.ParseInt(strings.ReplaceAll(e.Value, "_", ""), 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	case *ast.Ident:
		return evaluate(t, file, constantOf(file, e.Name))
	case *ast.SelectorExpr:
		if pkg, ok := e.X.(*ast.Ident); ok && pkg.Name == "limits" {
			for _, file := range goFiles(t, "../internal/limits/limits.go") {
				return evaluate(t, file, constantOf(file, e.Sel.Name))
			}
		}
		return int64(map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}[e.Sel.Name])
	case *ast.BinaryExpr:
		x, y := evaluate(t, file, e.X), evaluate(t, file, e.Y)
		switch e.Op {
		case token.MUL:
			return x * y
		case token.SHL:
			return x << y
		case token.ADD:
			return x + y
		}
	}
	t.Fatalf("cannot read %T", e)
	return 0
}
