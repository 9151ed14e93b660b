package bootstrap

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

func TestHousehold(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"2001:db8:1:2::1": "2001:db8:1:2:ffff::9", "fe80::1%eth0": "fe80::2",
	} {
		if household(netip.MustParseAddr(a)) != household(netip.MustParseAddr(b)) {
			t.Errorf("%s and %s can be one host", a, b)
		}
	}
	for a, b := range map[string]string{"192.0.2.1": "192.0.2.2", "2001:db8:1:2::1": "2001:db8:1:3::1"} {
		if household(netip.MustParseAddr(a)) == household(netip.MustParseAddr(b)) {
			t.Errorf("%s and %s are different hosts", a, b)
		}
	}
}

// TestNobodyIsServedBeforeTheRing: the port answers before the server is a
// member of its ring; it then says so.
func TestNobodyIsServedBeforeTheRing(t *testing.T) {
	t.Parallel()
	s, err := New(Config{
		State: filepath.Join(t.TempDir(), "state"), Charter: identity.DefaultCharter("lan.example", identity.PublicKey{}, time.Now()),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.db.Close()
	for _, m := range []wire.Message{&wire.EnrolStart{}, &wire.GetTime{}, &wire.Register{}, &wire.GetCharter{}} {
		answer := s.ServeEnrol(t.Context(), link.EnrolPeer{}, m)
		if e, ok := answer.(*wire.Error); !ok || e.Code != wire.CodeUnavailable {
			t.Errorf("%s is answered %+v", m.Type(), answer)
		}
	}
}
