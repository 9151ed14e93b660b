package main

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/internal/metrics"
)

// daemon is one daemon that is built and does not run yet.
type daemon struct {
	// run serves until ctx ends, leaves the ring then, and returns when all
	// its goroutines have ended.
	run func(ctx context.Context) error
	// ready is closed once phones and nodes are answered: sockets open, state
	// read. An adapter that waits for its first REGISTER is ready.
	ready <-chan struct{}
	// health says why calls cannot be served now, nil if they can.
	health func() error
	// handlers answer on the admin socket.
	handlers admin.Handlers
}

// tools is what the command line lends a daemon.
type tools struct {
	version string
	log     zerolog.Logger
	metrics *metrics.Set
}

// daemons are the parts that the command line puts together. Each function
// starts nothing.
type daemons struct {
	bootstrap func(cfg configs.Bootstrap, t tools) (*daemon, error)
	// join is nil if no link was given.
	adapter func(cfg configs.Adapter, join *joinlink.Link, t tools) (*daemon, error)
	// demo runs until it is done, or until ctx ends with opts.stay.
	demo func(ctx context.Context, opts demoOptions, t tools) error
	// restore makes the state folder out of a backup. It refuses a folder
	// that has a state already.
	restore func(ctx context.Context, file, state string) error
}

var errNotBuilt = errors.New("this part is not linked in")

func theDaemons() daemons {
	return daemons{
		bootstrap: func(configs.Bootstrap, tools) (*daemon, error) { return nil, errNotBuilt },
		adapter:   func(configs.Adapter, *joinlink.Link, tools) (*daemon, error) { return nil, errNotBuilt },
		demo:      func(context.Context, demoOptions, tools) error { return errNotBuilt },
		restore:   func(context.Context, string, string) error { return errNotBuilt },
	}
}
