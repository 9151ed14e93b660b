package node

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// What doctor says of each kind of translator: the kind, who was asked, what was
// tried, and what to do.
func TestNATIsNamed(t *testing.T) {
	seen := []admin.Seen{{By: "10.0.0.1:5870", As: "203.0.113.1:7"}, {By: "10.0.0.2:5871", As: "203.0.113.1:8"}}
	client := func(kind Mapping) *admin.Reach {
		return &admin.Reach{Client: true, Mapping: string(kind), Observed: seen, Attached: make([]admin.Attached, 3)}
	}
	silent := client(MappingNone)
	silent.STUNSilent = true
	member := client(MappingSymmetric)
	member.Client, member.By = false, make([]admin.Voucher, 2)
	for _, tt := range []struct {
		name, result string
		reach        *admin.Reach
		says, mend   string
	}{
		{"at the start", admin.CheckWarn, nil, "no other node has told", "no firewall drops UDP from and to port 5871"},
		{"none", admin.CheckOK, client(MappingNone), "no address translator", ""},
		{"one observer", admin.CheckWarn, client(MappingUnknown), "of unknown kind", "more members"},
		{"at home", admin.CheckOK, client(MappingIndependent), "endpoint-independent mapping: everybody sees 203.0.113.1:7", ""},
		{"symmetric", admin.CheckWarn, client(MappingSymmetric), "(symmetric) mapping: others see different ports", "forward UDP port 5871 to this host, or ask"},
		{"symmetric with a mapped port", admin.CheckOK, member, "others call this node all the same", ""},
		{"one of two", admin.CheckWarn, client(MappingDependent), "address-dependent or symmetric", "forward UDP port 5871"},
		{"firewall", admin.CheckWarn, silent, "nobody answers by STUN any more", "drops UDP from and to port 5871"},
	} {
		v := natView{reach: tt.reach, port: 5871, opened: 1, failed: 2, router: "the router was not asked for a port", orAsk: ", or ask"}
		c := v.check()
		if c.Result != tt.result || !strings.Contains(c.Detail, tt.says) || !strings.Contains(c.Mend, tt.mend) || (tt.mend == "") != (c.Mend == "") {
			t.Errorf("%s: %+v", tt.name, c)
		}
		if tt.reach == nil {
			continue
		}
		for _, want := range []string{"STUN from 10.0.0.1:5870 and 10.0.0.2:5871", "dialled back by", "hole punching: 1 direct ways opened, 2 not", "router was not asked", "relayed by 3 members"} {
			if !strings.Contains(c.Detail, want) {
				t.Errorf("%s: %q lacks %q", tt.name, c.Detail, want)
			}
		}
	}
}

func TestFamiliesAreNamed(t *testing.T) {
	for addrs, want := range map[string]string{
		"127.0.0.1 ::1 192.168.1.2 fd00::2": "IPv4 and IPv6",
		"127.0.0.1 ::1 192.168.1.2 fe80::2": "no IPv6",
		"127.0.0.1 fd00::2":                 "no IPv4",
		"127.0.0.1 ::1 fe80::2":             "on no network",
	} {
		var at []netip.Addr
		for a := range strings.FieldsSeq(addrs) {
			at = append(at, netip.MustParseAddr(a))
		}
		if c := families(at); !strings.Contains(c.Detail, want) || (c.Result == admin.CheckWarn) != (c.Mend != "") {
			t.Errorf("%s: %+v", addrs, c)
		}
	}
}

// Who is dialled back at which address, and which one counts as an attempt to have
// somebody else dialled. What an honest node behind a router says does not.
func TestWhoseAddressItIs(t *testing.T) {
	nets := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")}
	for _, tt := range []struct {
		a, observed string
		own, aimed  bool
	}{
		{"203.0.113.5", "203.0.113.5", true, false},
		{"10.0.0.7", "10.0.0.9", true, false},
		{"192.168.1.7", "203.0.113.5", false, false},
		{"192.168.1.7", "10.0.0.9", false, false},
		{"fe80::7", "2001:db8::7", false, false},
		{"2001:db8::7", "203.0.113.5", false, false},
		{"203.0.113.5", "2001:db8::7", false, false},
		{"203.0.113.6", "203.0.113.5", false, true},
		{"2001:db8::8", "2001:db8::7", false, true},
		{"10.0.0.7", "203.0.113.5", false, true},
		{"10.0.0.1", "10.0.0.9", false, true},
		{"fd00::7", "203.0.113.5", false, true},
		{"127.0.0.1", "203.0.113.5", false, true},
	} {
		a, observed := netip.MustParseAddr(tt.a), netip.MustParseAddr(tt.observed)
		if own := ownAddress(a, observed, nets); own != tt.own || !own && aimed(a, observed, nets) != tt.aimed {
			t.Errorf("%s of a node seen as %s: own %v, aimed %v", tt.a, tt.observed, own, aimed(a, observed, nets))
		}
	}
}
