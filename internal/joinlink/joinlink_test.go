package joinlink

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func seq(n int, from byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

func sample() Link {
	return Link{
		Addrs:   []string{"192.0.2.7:5870", "[2001:db8::7]:5870", "boot.example:443"},
		Overlay: "lan.example",
		Root:    [RootLen]byte(seq(RootLen, 1)),
		User:    "bob",
		Secret:  [SecretLen]byte(seq(SecretLen, 200)),
	}
}

// The texts are fixed: a link that was printed once must work in every later
// version.
func TestGolden(t *testing.T) {
	open := sample()
	open.Addrs, open.Secret, open.User = open.Addrs[:1], [SecretLen]byte{}, ""
	uni := sample()
	uni.Addrs, uni.User = uni.Addrs[:1], "zoë"
	tests := []struct {
		name string
		link Link
		text string
	}{
		{"invitation", sample(), "secp2psip://192.0.2.7:5870,[2001:db8::7]:5870,boot.example:443/lan.example#v1.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyDIycrLzM3Oz9DR0tPU1dbXXZ3AUQ.bob"},
		{"open", open, "secp2psip://192.0.2.7:5870/lan.example#v1.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyBcIeue"},
		{"not ASCII", uni, "secp2psip://192.0.2.7:5870/lan.example#v1.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyDIycrLzM3Oz9DR0tPU1dbXkZ0VVw.zo%C3%AB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.link.String(); got != tt.text {
				t.Errorf("String:\n got %s\nwant %s", got, tt.text)
			}
			got, err := Parse(" " + tt.text + "\n")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.link, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Nobody may mistake a damaged link for one that leads elsewhere: every
// changed, missing or doubled character is found.
func TestDamageIsFound(t *testing.T) {
	good := sample().String()
	for i := range good {
		for name, bad := range map[string]string{
			"cut":     good[:i],
			"without": good[:i] + good[i+1:],
			"doubled": good[:i+1] + good[i:],
			"changed": good[:i] + "7" + good[i+1:],
		} {
			if bad == good {
				continue
			}
			if l, err := Parse(bad); !errors.Is(err, ErrLink) {
				t.Errorf("%s at %d: Parse(%q) = %+v, %v", name, i, bad, l, err)
			}
		}
	}
}

func TestErrorsSayWhat(t *testing.T) {
	fragment := "#v1.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyBcIeue"
	tests := []struct{ text, want string }{
		{"", "must begin with secp2psip://"},
		{"https://example.org/", "must begin with secp2psip://"},
		{"secp2psip://192.0.2.7:5870/lan.example", "put the link in quotes"},
		{"secp2psip://192.0.2.7:5870" + fragment, "overlay's name is missing"},
		{"secp2psip://192.0.2.7/lan.example" + fragment, "is not HOST:PORT"},
		{"secp2psip://192.0.2.7:0/lan.example" + fragment, "is not HOST:PORT"},
		{"secp2psip://192.0.2.7:05870/lan.example" + fragment, "is not HOST:PORT"},
		{"secp2psip://[fe80::1%eth0]:5870/lan.example" + fragment, "IPv6 address in brackets"},
		{"secp2psip://192.0.2.7:5870/LAN" + fragment, "not an overlay name"},
		{"secp2psip://192.0.2.7:5870/lan.example#v2.AQID", "newer program"},
		{"secp2psip://192.0.2.8:5870/lan.example" + fragment, "copy the whole line again"},
		{"secp2psip://" + strings.Repeat("a", MaxLen), "longer than"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.text)
		if !errors.Is(err, ErrLink) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%.60q) = %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]func(*Link){
		"no address":     func(l *Link) { l.Addrs = nil },
		"many addresses": func(l *Link) { l.Addrs = make([]string, MaxAddrs+1) },
		"no port":        func(l *Link) { l.Addrs[0] = "192.0.2.7" },
		"bare IPv6":      func(l *Link) { l.Addrs[0] = "2001:db8::7:5870" },
		"no overlay":     func(l *Link) { l.Overlay = "" },
		"long name":      func(l *Link) { l.User = strings.Repeat("x", MaxUser+1) },
		"not UTF-8":      func(l *Link) { l.User = "\xff" },
	}
	for name, spoil := range tests {
		l := sample()
		spoil(&l)
		if err := l.Validate(); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A link comes from a mail, a chat or a QR code that anyone may have made.
// Whatever Parse accepts is bounded and is the only text for that link.
func FuzzParse(f *testing.F) {
	f.Add(sample().String())
	f.Add("secp2psip://192.0.2.7:5870/lan.example#v1.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyBcIeue")
	f.Add("secp2psip://h:1/o#v1..%")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrLink) {
				t.Fatalf("Parse(%q): %v does not wrap ErrLink", text, err)
			}
			return
		}
		if err := l.Validate(); err != nil {
			t.Fatalf("Parse(%q) gave an invalid link: %v", text, err)
		}
		if got := l.String(); got != strings.TrimSpace(text) {
			t.Fatalf("Parse(%q).String() = %q", text, got)
		}
	})
}
