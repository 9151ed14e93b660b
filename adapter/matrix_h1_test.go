package adapter_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// office is the adapters of people whose bootstrap server is gone, in virtual
// time: they were enrolled by a real one, and each runs from its state folder.
// Days on which nobody is there cost nothing.
type office struct {
	t      *testing.T
	rng    *rand.Rand
	net    *testnet.Memory
	phones netip.AddrPort // where all phones are
	began  time.Time      // in virtual time
	epoch  time.Time      // the same by the world's clock
	desks  []*desk
	server *server

	calls, missed, starts int
	absent                int            // starts that did not lead into the ring, or without the phone being registered
	gathered              time.Duration  // the longest time until all knew each other
	why                   map[string]int // calls were missed or somebody stayed absent
}

// server is the bootstrap server that enrolled them, gone but for its state folder
// until it is started.
type server struct {
	state string
	at    netip.AddrPort
	stop  func() // nil = gone
}

// desk is one person's adapter.
type desk struct {
	name, state string
	at          netip.AddrPort
	noBattery   bool          // its clock starts in 1970
	behind      time.Duration // of its clock
	holiday     [2]int        // first and last day of it
	it          *adapter.Adapter
	stop        func(crash bool)
}

// enrol lets a real bootstrap server enrol people, and kills it.
func enrol(t *testing.T, people int, change func(*bootstrap.Config)) (desks []*desk, s *server) {
	s = &server{}
	l := testnet.New(t, func(c *bootstrap.Config) {
		if s.state = c.State; change != nil {
			change(c)
		}
	})
	s.at = l.Server.It.Addr()
	for i := range people {
		m := l.Add(fmt.Sprintf("user%d", i), nil)
		aor, err := m.It.Account(m.Name)
		if err == nil {
			err = m.It.Register(limited(), sipbridge.Registration{AOR: aor})
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Joined()
		desks = append(desks, &desk{name: m.Name, state: m.State(), at: m.It.Node().Link().Addr()})
	}
	l.Server.Stop(t)
	for _, d := range desks { // the power goes: nobody takes anything back
		l.Members[d.name].Crash()
	}
	return desks, s
}

// phoneThere answers every OPTIONS until the test ends. It is outside of the
// virtual time: the kernel carries what an adapter asks its phone.
func phoneThere(t *testing.T) netip.AddrPort {
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for buf := make([]byte, 4096); ; {
			n, from, err := sock.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, fields, _ := bytes.Cut(buf[:n], []byte("\r\n"))
			_, _ = sock.WriteToUDPAddrPort(append([]byte("SIP/2.0 200 OK\r\n"), fields...), from)
		}
	})
	t.Cleanup(func() { sock.Close(); work.Wait() })
	return sock.LocalAddr().(*net.UDPAddr).AddrPort()
}

// withoutServer runs a test in virtual time with people who are enrolled.
func withoutServer(t *testing.T, seed uint64, people int, change func(*bootstrap.Config), test func(o *office)) {
	t.Logf("seed %d", seed)
	// Under the race detector Go's runtime crashes now and then when two processors
	// run timers of one bubble at once.
	processors := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(processors) })
	o := &office{rng: rand.New(rand.NewPCG(seed, 100)), phones: phoneThere(t), why: map[string]int{}}
	o.desks, o.server = enrol(t, people, change)
	o.epoch = time.Now().Round(0)
	synctest.Test(t, func(t *testing.T) {
		o.t, o.net, o.began = t, testnet.NewMemory(), time.Now()
		defer o.close()
		test(o)
	})
}

// today is the time by the world's clock.
func (o *office) today() time.Time { return o.epoch.Add(time.Since(o.began)) }

// until lets time pass until a day begins.
func (o *office) until(day int) {
	<-time.After(time.Until(o.began.Add(time.Duration(day) * 24 * time.Hour)))
}

func (o *office) start(d *desk) {
	o.t.Helper()
	wall := func() time.Time { return o.today().Add(-d.behind) }
	if d.noBattery {
		started := time.Now()
		wall = func() time.Time { return time.Unix(0, 0).Add(time.Since(started)) }
	}
	clock, err := identity.NewClockOf(filepath.Join(d.state, "clock"), wall, func() time.Duration { return time.Since(o.began) })
	if err != nil {
		o.t.Fatal(err)
	}
	cfg := adapter.Config{
		State: d.state, Listen: d.at, Socket: o.net.Socket, Clock: clock, NoRecords: true, Version: "test",
		SIP: sipbridge.Config{Listen: []string{"udp:127.0.0.1:0"}, Socket: o.net.Phones, Redirect: sipbridge.RedirectAlways},
	}
	many(&cfg)
	if d.it, err = adapter.New(cfg); err != nil {
		o.t.Fatalf("%s does not start on %v: %v", d.name, o.today(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.it.Run(ctx) }()
	o.starts++
	d.stop = func(crash bool) {
		if crash { // the others hear no goodbye
			soon, now := context.WithTimeout(context.Background(), time.Millisecond)
			_ = d.it.Node().Link().CloseGracefully(soon)
			now()
		}
		cancel()
		if err := <-done; err != nil {
			o.t.Errorf("%s: %v", d.name, err)
		}
		d.it, d.stop = nil, nil
	}
}

func (o *office) close() {
	for _, d := range o.desks {
		if d.stop != nil {
			d.stop(false)
		}
	}
	if o.server.stop != nil {
		o.server.stop()
	}
}

// arrive starts adapters within half a minute and registers their phones.
func (o *office) arrive(desks []*desk) {
	for _, d := range desks {
		<-time.After(time.Duration(o.rng.IntN(30_000/len(desks))) * time.Millisecond)
		o.start(d)
	}
	for _, d := range desks {
		select {
		case <-d.it.Node().Joined():
		case <-time.After(2 * time.Minute):
			o.absent++
			o.why["not in the ring"]++
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		if err := d.it.PhoneAt(ctx, d.name, o.phones); err != nil {
			o.absent++
			o.why[err.Error()]++
		}
		cancel()
	}
}

// gather waits until all who are there know each other: who comes to an empty
// ring makes one, and these have to find each other.
func (o *office) gather(desks []*desk) {
	since, members := time.Now(), len(desks)
	if o.server.stop != nil {
		members++
	}
	for ; time.Since(since) < 5*time.Minute; <-time.After(time.Second) {
		alone := 0
		for _, d := range desks {
			if d.it.Node().Ring().Status().Members != members {
				alone++
			}
		}
		if alone == 0 {
			break
		}
	}
	o.gathered = max(o.gathered, time.Since(since))
	<-time.After(15 * time.Second) // an adapter looks every ten seconds what is due
}

// ring lets pairs drawn at random call each other.
func (o *office) ring(desks []*desk, calls int) {
	for range calls {
		<-time.After(time.Duration(o.rng.IntN(2000)) * time.Millisecond)
		i := o.rng.IntN(len(desks))
		from, to := desks[i], desks[(i+1+o.rng.IntN(len(desks)-1))%len(desks)]
		aor, err := from.it.Account(from.name)
		if err != nil {
			o.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		_, err = from.it.Call(ctx, sipbridge.Call{Caller: aor, Target: to.name, CallID: fmt.Sprint("call", o.calls), Paths: []string{sipbridge.PathCarried}})
		cancel()
		o.calls++
		var last admin.Call
		if all := from.it.Status().Calls; len(all) > 0 {
			last = all[0]
		}
		if err == nil && !last.Verified {
			err = fmt.Errorf("not verified: %+v", last)
		}
		if err != nil {
			o.missed++
			o.why[err.Error()]++
		}
	}
}

// there draws who comes on a day: four of five who have no holiday.
func (o *office) there(day int) (there []*desk) {
	for _, d := range o.desks {
		if (day < d.holiday[0] || day > d.holiday[1]) && o.rng.IntN(5) > 0 {
			there = append(there, d)
		}
	}
	return there
}

// day is what happens on a day: those who come start, call each other, one
// restarts, cleanly or not, all call again and go home after so long.
func (o *office) day(day int, there []*desk, calls int, stay time.Duration) {
	if len(there) < 2 {
		return
	}
	o.until(day)
	o.arrive(there)
	o.gather(there)
	o.ring(there, calls/2)
	again := []*desk{there[o.rng.IntN(len(there))]}
	again[0].stop(o.rng.IntN(2) == 0)
	<-time.After(time.Duration(1+o.rng.IntN(10)) * time.Second)
	o.arrive(again)
	<-time.After(stay)
	o.ring(there, calls-calls/2)
	for _, d := range there {
		d.stop(o.rng.IntN(3) == 0)
	}
}

// hundredDays lets people whose bootstrap server died on day 0 call each other.
// Everybody has a holiday of weeks; one comes back on the last day, long after
// all that anybody holds has expired; one's clock has no battery and stands
// still while its adapter is off.
func hundredDays(t *testing.T, seed uint64, people int, days []int, calls int, stay time.Duration) {
	withoutServer(t, seed, people, nil, func(o *office) {
		first, last := days[0], days[len(days)-1]
		for i, d := range o.desks {
			begin := first + o.rng.IntN(last-first)
			d.holiday = [2]int{begin, min(begin+20+o.rng.IntN(40), last-1)}
			d.noBattery = i == 1
		}
		o.desks[0].holiday = [2]int{first + 1, last - 1}
		for _, day := range days {
			there := o.there(day)
			if day == first || day == last {
				there = o.desks
			}
			o.day(day, there, calls, stay)
			if o.missed+o.absent > 0 {
				o.t.Errorf("on day %d: %d of %d calls missed, %d absent: %v", day, o.missed, o.calls, o.absent, o.why)
				return
			}
		}
		o.t.Logf("matrix: H1 calls in %.0f days without a bootstrap server: %d of %d, with %d starts of %d adapters, after which all knew each other within %v", o.today().Sub(o.epoch).Hours()/24, o.calls-o.missed, o.calls, o.starts, people, o.gathered)
	})
}

// H1: the bootstrap server dies once people are enrolled. A hundred days later,
// ten after everybody's certificates, delegations and shares have expired,
// everybody calls everybody.
func TestMatrixH1HundredDays(t *testing.T) {
	hundredDays(t, 1, 8, []int{1, 45, 89, 92, 100}, 12, time.Minute)
}

// The same where the charter gives no grace: it is what carries the calls.
func TestMatrixH1GraceCarriesThem(t *testing.T) {
	none := func(c *bootstrap.Config) { c.Charter.Grace = 0 }
	withoutServer(t, 2, 4, none, func(o *office) {
		o.day(89, o.desks, 6, 0)
		if o.missed+o.absent > 0 {
			o.t.Errorf("before anything expires: %d calls missed, %d absent: %v", o.missed, o.absent, o.why)
		}
		before := o.calls
		o.day(91, o.desks, 6, 0)
		o.t.Logf("matrix: H1 without grace, a day after the certificates' end: %d of %d calls missed", o.missed, o.calls-before)
		if o.missed != o.calls-before {
			o.t.Errorf("%d of %d missed: something else than the grace carries them: %v", o.missed, o.calls-before, o.why)
		}
	})
}
