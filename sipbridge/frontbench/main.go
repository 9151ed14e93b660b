// Command frontbench runs the SIP front alone, with a directory that answers
// at once, so that it can be measured beside other redirect servers: see
// scripts/bench-front.sh.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"sync"
	"syscall"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "frontbench:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "udp:127.0.0.1:5080", "address to listen on")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	b, err := sipbridge.New(sipbridge.Config{
		Listen: []string{*listen}, Overlay: "lan.example", Redirect: sipbridge.RedirectAlways, CallBurst: -1,
		Directory: &directory{accounts: make(map[string]identity.AOR), phones: make(map[string]string)},
	})
	if err != nil {
		return err
	}
	err = b.Run(ctx)
	fmt.Printf("%+v\n", b.Stats())
	return err
}

// directory knows the phones that registered here and sends every call to the
// contact of the one called.
type directory struct {
	mu       sync.RWMutex
	accounts map[string]identity.AOR
	phones   map[string]string
}

var errNoTunnel = errors.New("nothing is carried here")

// Account takes every name for an account.
func (d *directory) Account(user string) (identity.AOR, error) {
	d.mu.RLock()
	a, ok := d.accounts[user]
	d.mu.RUnlock()
	if ok {
		return a, nil
	}
	a, err := identity.NewAOR(user, "lan.example")
	if err != nil {
		return a, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accounts[user] = a
	return a, nil
}

func (d *directory) Register(_ context.Context, r sipbridge.Registration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.phones, r.AOR.User())
	if len(r.Bindings) > 0 {
		d.phones[r.AOR.User()] = r.Bindings[0].Contact
	}
	return nil
}

func (d *directory) Call(_ context.Context, c sipbridge.Call) (*sipbridge.Answer, error) {
	callee, err := d.Account(c.Target)
	if err != nil {
		return nil, sipbridge.NoSuchName("")
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	contact, ok := d.phones[callee.User()]
	if !ok {
		return nil, sipbridge.NotRegistered("")
	}
	open := []carry.Opener{func(context.Context) (carry.Tunnel, string, error) { return nil, "", errNoTunnel }}
	return &sipbridge.Answer{Callee: callee, Path: sipbridge.PathDirect, Contact: contact, Open: open}, nil
}

func (d *directory) Message(context.Context, sipbridge.Message) error { return nil }
