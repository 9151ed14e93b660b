package demo

import (
	"context"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// The protected demo proves what it says: both calls are heard, and what stood
// between the adapters saw nothing, with eyes that see.
func TestProtectedDemo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lan, err := Start(ctx, Options{Adapters: 2, Path: sipbridge.PathProtected})
	if err != nil {
		t.Fatal(err)
	}
	report, err := lan.Script(ctx)
	if err := lan.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Calls {
		if c.Path != sipbridge.PathProtected || !c.Answered || !c.Verified {
			t.Errorf("%+v", c)
		}
	}
	w := report.Wire
	if w == nil || w.Datagrams < 100 || w.Bytes < 100*172 || w.SIP+w.RTP+w.Names+w.Tones != 0 {
		t.Fatalf("%+v", w)
	}
	for _, b := range []string{"SIP/2.0 200 OK\r\nTo: <sip:bob@demo.example>", "\x80\x00\x00\x01", "\x80\xc8\x00\x06"} {
		w.watch([]byte(b))
	}
	w.watch(append([]byte("thirty bytes stand before this"), media.EncodeULaw(media.Tone(toneBob, 0, 160))...))
	if w.SIP != 1 || w.RTP != 2 || w.Names != 1 || w.Tones != 1 {
		t.Errorf("the tap is blind: %+v", w)
	}
}
