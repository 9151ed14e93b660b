package sipbridge

import (
	"net/netip"
	"testing"
)

// A phone that listens on all addresses and yet gives 127.0.0.1 for its sound
// must not be offered to others: they would talk to themselves.
func TestVerdictOnWhereSoundGoes(t *testing.T) {
	lan, loop := netip.MustParseAddrPort("10.0.0.3:5062"), netip.MustParseAddrPort("127.0.0.1:5062")
	for _, tt := range []struct {
		name  string
		body  string
		addr  netip.AddrPort
		moved bool
		want  bool
	}{
		{"baresip", "v=0\r\nc=IN IP4 10.0.0.3\r\nm=audio 9 RTP/AVP 0\r\n", lan, false, true},
		{"no description", "", lan, false, true},
		{"linphone: a loopback contact and no description", "", lan, true, false},
		{"a loopback contact, and sound elsewhere", "v=0\r\nc=IN IP4 10.0.0.3\r\n", lan, true, true},
		{"sound on loopback", "v=0\r\nc=IN IP4 127.0.0.1\r\n", lan, false, false},
		{"sound on IPv6 loopback", "v=0\nc=IN IP6 ::1\n", lan, false, false},
		{"one stream on loopback", "c=IN IP4 10.0.0.3\r\nm=audio 9 RTP/AVP 0\r\nc=IN IP4 127.0.0.8\r\n", lan, false, false},
		{"an address that cannot be read", "c=IN IP4 phone.example\r\n", lan, false, false},
		{"a caller on the same host", "c=IN IP4 127.0.0.1\r\n", loop, false, true},
	} {
		c := candidate{key: probeKey{"udp", tt.addr}, moved: tt.moved}
		if why := c.verdict(heard([]byte(tt.body))); (why == "") != tt.want {
			t.Errorf("%s: verdict %q", tt.name, why)
		}
	}
	for _, found := range []reach{silent, refusing} {
		if (candidate{}).verdict(found) == "" {
			t.Errorf("a phone found as %d is offered", found)
		}
	}
}
