//go:build long

package adapter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// startServer brings the bootstrap server back.
func (o *office) startServer() {
	clock, err := identity.NewClockOf("", o.today, func() time.Duration { return time.Since(o.began) })
	if err != nil {
		o.t.Fatal(err)
	}
	s, err := bootstrap.New(bootstrap.Config{State: o.server.state, AnyName: true, Listen: o.server.at, Socket: o.net.Socket, Clock: clock, Version: "test"})
	if err != nil {
		o.t.Fatalf("the bootstrap server does not start on %v: %v", o.today(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	o.server.stop = func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			o.t.Error(err)
		}
		o.server.stop = nil
	}
	<-s.Ready()
}

// ends is when the certificate of a desk's name expires, in days.
func (o *office) ends(d *desk) int {
	return int(d.it.Status().Accounts[0].CertificateExpires.Sub(o.epoch).Hours() / 24)
}

// TestLongRenewalOverALife: two years of an office. Certificates last 90 days, are
// renewed from their thirtieth on, and hold 180 days beyond their end. The
// bootstrap server is there on some days only, and once away for longer than that;
// then everybody is cut off until it is back.
func TestLongRenewalOverALife(t *testing.T) {
	withoutServer(t, 5, 3, nil, func(o *office) {
		keys := map[string]string{}
		for _, visit := range []struct {
			day    int
			server bool
			ends   int  // the day on which certificates end, after this one
			cutOff bool // everything has expired
			back   bool // and everybody comes back from that
		}{
			{day: 1, server: true, ends: 90},
			{day: 20, server: true, ends: 90},   // nothing is due
			{day: 40, server: true, ends: 130},  // due since day 30 to 33
			{day: 80, ends: 130},                // due, and nobody there
			{day: 120, server: true, ends: 210}, // before the end
			{day: 200, ends: 210},
			{day: 220, ends: 210}, // in the grace
			{day: 385, ends: 210},
			{day: 388, server: true, ends: 478}, // renewed on the last days of it
			{day: 560, server: true, ends: 650},
			{day: 835, ends: 650, cutOff: true}, // five days after the grace
			{day: 836, server: true, ends: 926, back: true},
			{day: 900, ends: 926},
		} {
			o.until(visit.day)
			if visit.server {
				o.startServer()
			}
			missed, calls := o.missed+o.absent, o.calls
			o.arrive(o.desks)
			o.gather(o.desks)
			if visit.server {
				<-time.After(2 * time.Minute) // all have had their turn
			}
			if visit.back {
				o.absent = missed - o.missed // nobody could register before
				for _, d := range o.desks {
					if err := d.it.PhoneAt(limited(), d.name, o.phones); err != nil {
						o.t.Errorf("%s's phone: %v", d.name, err)
					}
				}
			}
			o.ring(o.desks, 6)
			bad := o.missed + o.absent - missed
			o.t.Logf("day %d: %d calls, %d missed or absent; certificates until day %d", visit.day, o.calls-calls, bad, o.ends(o.desks[0]))
			if visit.cutOff != (bad > 0) {
				o.t.Errorf("day %d: %d of %d calls missed or adapters absent: %v", visit.day, bad, o.calls-calls, o.why)
			}
			for _, d := range o.desks {
				account := d.it.Status().Accounts[0]
				if keys[d.name] == "" {
					keys[d.name] = account.Fingerprint
				}
				if account.Fingerprint != keys[d.name] {
					o.t.Errorf("day %d: %s has another key", visit.day, d.name)
				}
				if ends := o.ends(d); ends < visit.ends-1 || ends > visit.ends {
					o.t.Errorf("day %d: %s's certificate ends on day %d, not %d", visit.day, d.name, ends, visit.ends)
				}
				d.stop(false)
			}
			if o.server.stop != nil {
				o.server.stop()
			}
		}
	})
}
