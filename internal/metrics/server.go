package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

const (
	maxConns   = 16
	ioLimit    = 10 * time.Second
	closeLimit = time.Second
)

// Handler returns the three pages. ready says why the daemon cannot serve
// calls now, nil if it can.
func (s *Set) Handler(ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
	return mux
}

// Server shows a Set over HTTP.
type Server struct {
	ln      net.Listener
	handler http.Handler
}

// Listen opens addr, "IP:PORT" with port 0 for any. The caller has made sure
// that it is a loopback address.
func (s *Set) Listen(addr string, ready func() error) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrListen, err)
	}
	return &Server{ln: ln, handler: s.Handler(ready)}, nil
}

// Addr returns the address in use.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close gives the address back without serving. Run does it too.
func (s *Server) Close() error { return s.ln.Close() }

// Run answers until ctx ends and returns nil then.
func (s *Server) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: ioLimit,
		ReadTimeout:       ioLimit,
		WriteTimeout:      ioLimit,
		IdleTimeout:       ioLimit,
		MaxHeaderBytes:    8 << 10,
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(netutil.LimitListener(s.ln, maxConns))
	if stop() {
		_ = srv.Close()
	} else {
		<-closed
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrListen, err)
}
