package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// SocketName is the socket's name in the state folder.
const SocketName = "admin.sock"

// Bounds of the server.
const (
	MaxRequest    = 64 << 10 // bytes of one request's body
	maxHeader     = 8 << 10
	maxConns      = 32
	maxSocketPath = 103              // bytes; sun_path holds 104 on the BSDs and 108 on Linux
	readLimit     = 10 * time.Second // for a whole request to arrive
	handleLimit   = 60 * time.Second // for a handler that does not stream
	streamLimit   = 10 * time.Minute // for an answer to be taken
	probeLimit    = time.Second
	closeLimit    = 2 * time.Second
)

// Handler answers one method. req is the request's body, "null" if there was
// none. The result is encoded as JSON unless it is a Stream. An *Error reaches
// the client as it is; any other error as CodeInternal. ctx ends when the
// client goes away, the time limit is over, or the server ends.
type Handler func(ctx context.Context, req json.RawMessage) (any, error)

// Handlers maps methods to handlers.
type Handlers map[string]Handler

// Stream is a result that is written as it is. If it returns an error the
// connection breaks off, so that the client knows.
type Stream func(w io.Writer) error

// Handle makes a Handler of a function with a typed request. Unknown fields
// are refused, so that a newer client learns that it was not understood.
func Handle[Req, Res any](f func(ctx context.Context, req Req) (Res, error)) Handler {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var req Req
		if err := decodeStrict(raw, &req); err != nil {
			return nil, Errorf(CodeBadRequest, "the request is not what this method takes: %v", err)
		}
		return f(ctx, req)
	}
}

// Server is the listening end. It holds the state folder for its process.
type Server struct {
	ln   *net.UnixListener
	lock *os.File
}

// Listen claims the state folder and opens the socket in it, replacing one
// that a dead process left. It returns ErrRunning if another process has the
// folder.
func Listen(stateDir string) (*Server, error) {
	path := filepath.Join(stateDir, SocketName)
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%w: the path %s has more than %d bytes; choose a state folder with a shorter path", ErrSocket, path, maxSocketPath)
	}
	lock, err := lockFile(filepath.Join(stateDir, "admin.lock"))
	if err != nil {
		return nil, err
	}
	ln, err := listen(path)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &Server{ln: ln, lock: lock}, nil
}

func listen(path string) (*net.UnixListener, error) {
	// The lock says that nobody is there; a file system without working locks
	// says so too. Only a socket that nobody answers on is replaced.
	if Answers(filepath.Dir(path)) {
		return nil, ErrRunning
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is in the way and is not a socket", ErrSocket, path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrSocket, err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSocket, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("%w: %w", ErrSocket, err)
	}
	return ln, nil
}

// Close gives the folder back without serving. Serve does it too.
func (s *Server) Close() error {
	return errors.Join(ignoreClosed(s.ln.Close()), ignoreClosed(s.lock.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// Serve answers requests until ctx ends, and returns nil then, once every
// handler has returned. It closes the server.
func (s *Server) Serve(ctx context.Context, handlers Handlers) error {
	defer func() { _ = s.Close() }()
	busy := new(gate)
	srv := &http.Server{
		Handler:           mux(handlers, busy),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: readLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      streamLimit,
		IdleTimeout:       readLimit,
		MaxHeaderBytes:    maxHeader,
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
	if stop() { // ended by itself
		_ = srv.Close()
	} else {
		<-closed
	}
	busy.close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrSocket, err)
}

// Serve is Listen and Server.Serve in one.
func Serve(ctx context.Context, stateDir string, handlers Handlers) error {
	s, err := Listen(stateDir)
	if err != nil {
		return err
	}
	return s.Serve(ctx, handlers)
}

// gate lets handlers in until it closes, and closes when they have left.
type gate struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.wg.Add(1)
	return true
}

func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}

func mux(handlers Handlers, busy *gate) http.Handler {
	m := http.NewServeMux()
	for method, h := range handlers {
		m.HandleFunc("POST /v1/"+method, func(w http.ResponseWriter, r *http.Request) {
			if !busy.enter() {
				panic(http.ErrAbortHandler)
			}
			defer busy.wg.Done()
			answer(w, r, h)
		})
	}
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, Errorf(CodeUnknownMethod, "this daemon does not know %s %.64s", r.Method, r.URL.Path))
	})
	return m
}

func answer(w http.ResponseWriter, r *http.Request, h Handler) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err != nil {
		writeError(w, Errorf(CodeBadRequest, "the request cannot be read: %v", err))
		return
	}
	if len(body) == 0 {
		body = []byte("null")
	}
	ctx, cancel := context.WithTimeout(r.Context(), handleLimit)
	defer cancel()
	res, err := h(ctx, body)
	if err != nil {
		writeError(w, asError(err))
		return
	}
	if stream, ok := res.(Stream); ok {
		w.Header().Set("Content-Type", "application/octet-stream")
		// With the header out, a stream that fails breaks off in its body, and
		// the client cannot take that for a daemon that is not there.
		if http.NewResponseController(w).Flush() != nil || stream(w) != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	writeJSON(w, http.StatusOK, res)
}

func writeError(w http.ResponseWriter, e *Error) { writeJSON(w, e.status(), e) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
		data, _ = json.Marshal(Errorf(CodeInternal, "the answer cannot be encoded: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
