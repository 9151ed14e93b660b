package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stateDir returns a folder whose path is short enough for a socket.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start serves handlers until the test ends and returns the folder.
func start(t *testing.T, handlers Handlers) string {
	t.Helper()
	dir := stateDir(t)
	s, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, handlers) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(dir, SocketName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return dir
}

type hintError struct{ error }

func (hintError) Hint() string { return "make room" }

func testHandlers() Handlers {
	return Handlers{
		MethodInvite: Handle(func(_ context.Context, r InviteRequest) (InviteResult, error) {
			return InviteResult{AOR: "sip:" + r.User + "@lan.example", Devices: r.Devices}, nil
		}),
		"null": func(_ context.Context, req json.RawMessage) (any, error) { return string(req), nil },
		"gone": func(context.Context, json.RawMessage) (any, error) {
			return nil, Errorf(CodeNotFound, "nobody has the name %q", "bob").WithHint("see people")
		},
		"full": func(context.Context, json.RawMessage) (any, error) {
			return nil, hintError{errors.New("no space left")}
		},
		"stream": func(context.Context, json.RawMessage) (any, error) {
			return Stream(func(w io.Writer) error {
				_, err := w.Write(bytes.Repeat([]byte("x"), 100_000))
				return err
			}), nil
		},
		"broken": func(context.Context, json.RawMessage) (any, error) {
			return Stream(func(w io.Writer) error {
				_, _ = w.Write([]byte("half"))
				return errors.New("disk read error")
			}), nil
		},
	}
}

func TestCall(t *testing.T) {
	dir := start(t, testHandlers())
	c, ctx := Dial(dir), t.Context()

	var invited InviteResult
	if err := c.Call(ctx, MethodInvite, InviteRequest{User: "bob", Devices: 2}, &invited); err != nil {
		t.Fatal(err)
	}
	if want := (InviteResult{AOR: "sip:bob@lan.example", Devices: 2}); invited != want {
		t.Errorf("got %+v, want %+v", invited, want)
	}
	var text string
	if err := c.Call(ctx, "null", nil, &text); err != nil || text != "null" {
		t.Errorf("a call without a request: %q, %v", text, err)
	}
	var out bytes.Buffer
	if n, err := c.Stream(ctx, "stream", nil, &out); err != nil || n != 100_000 || out.Len() != 100_000 {
		t.Errorf("stream: %d bytes, %v", n, err)
	}
}

func TestErrorsCrossTheSocket(t *testing.T) {
	dir := start(t, testHandlers())
	tests := []struct {
		method string
		req    any
		want   Error
	}{
		{"gone", nil, Error{CodeNotFound, `nobody has the name "bob"`, "see people"}},
		{"full", nil, Error{CodeInternal, "no space left", "make room"}},
		{"nothing", nil, Error{CodeUnknownMethod, "this daemon does not know POST /v1/nothing", ""}},
		{MethodInvite, map[string]int{"users": 3}, Error{CodeBadRequest, `the request is not what this method takes: json: unknown field "users"`, ""}},
		{"null", strings.Repeat("x", MaxRequest), Error{CodeBadRequest, "the request cannot be read: http: request body too large", ""}},
	}
	for _, tt := range tests {
		err := Dial(dir).Call(t.Context(), tt.method, tt.req, nil)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", tt.method, err)
			continue
		}
		if diff := cmp.Diff(tt.want, *e); diff != "" {
			t.Errorf("%s: %s", tt.method, diff)
		}
	}
	if _, err := Dial(dir).Stream(t.Context(), "broken", nil, io.Discard); !errors.Is(err, ErrSocket) {
		t.Errorf("a stream that breaks off: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	dir := stateDir(t)
	if err := Dial(dir).Call(t.Context(), MethodStatus, nil, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("no socket: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Dial(dir).Call(ctx, MethodStatus, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A second daemon on the same folder must not take the first one's socket.
func TestOneDaemonPerFolder(t *testing.T) {
	dir := start(t, testHandlers())
	if _, err := Listen(dir); !errors.Is(err, ErrRunning) {
		t.Fatalf("second Listen: %v", err)
	}
	var text string
	if err := Dial(dir).Call(t.Context(), "null", nil, &text); err != nil {
		t.Errorf("the first daemon after the second one tried: %v", err)
	}
}

// The lock may not work on a network file system; the answering socket still
// stops the second daemon.
func TestAnsweringSocketIsKept(t *testing.T) {
	dir := stateDir(t)
	ln, err := net.Listen("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := Listen(dir); !errors.Is(err, ErrRunning) {
		t.Fatalf("Listen: %v", err)
	}
}

// A process that was killed leaves its socket; the next one replaces it.
func TestStaleSocketIsReplaced(t *testing.T) {
	dir := stateDir(t)
	path := filepath.Join(dir, SocketName)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the stale socket is not there: %v", err)
	}
	s, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("Close twice: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	dir := stateDir(t)
	if err := os.Mkdir(filepath.Join(dir, SocketName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(dir); !errors.Is(err, ErrSocket) || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("a folder in the way: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "missing")); !errors.Is(err, ErrSocket) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := Listen("/" + strings.Repeat("x", 120)); !errors.Is(err, ErrSocket) || !strings.Contains(err.Error(), "shorter path") {
		t.Errorf("long path: %v", err)
	}
}

// Serve returns only after its handlers have, and their context ends first.
func TestServeWaitsForHandlers(t *testing.T) {
	dir := stateDir(t)
	s, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	entered, left := make(chan struct{}), make(chan struct{})
	handlers := Handlers{"wait": func(ctx context.Context, _ json.RawMessage) (any, error) {
		close(entered)
		<-ctx.Done()
		close(left)
		return nil, ctx.Err()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	served, called := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(ctx, handlers) }()
	go func() { called <- Dial(dir).Call(t.Context(), "wait", nil, nil) }()
	<-entered
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	select {
	case <-left:
	default:
		t.Error("Serve returned before the handler")
	}
	if err := <-called; err == nil {
		t.Error("the call succeeded")
	}
}

// The names in the JSON are an interface to scripts.
func TestStatusJSON(t *testing.T) {
	data, err := json.Marshal(Status{Kind: KindAdapter, Accounts: []Account{{Phones: []Phone{{}}}}, Calls: []Call{{}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"adapter","version":"","overlay":"","node_id":"00000000000000000000000000000000","state":"","keys_sealed":false,"listen":"","advertised":null,` +
		`"started":"0001-01-01T00:00:00Z","uptime_seconds":0,"phase":"","clock_offset_ms":0,"clock_synced":false,` +
		`"ring":{"phase":"","pred":null,"succ":null,"members":0,"small_ring":false},"links":null,"store":{"records":0,"bytes":0,"max_bytes":0},` +
		`"accounts":[{"aor":"","fingerprint":"","enrolled":false,"phones":[{"contact":"","expires":"0001-01-01T00:00:00Z"}],"published":false}],` +
		`"calls":[{"time":"0001-01-01T00:00:00Z","direction":"","from":"","to":"","status":0,"setup_ms":0,"shares_used":0,"verified":false}],"refusals":null}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
}

// A request comes from the machine's owner, by any program: whatever the
// bytes, the handler sees a value of its type or nothing.
func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"user":"bob","devices":1,"expires_seconds":60}`))
	f.Add([]byte(`{"user":"bob"} trailing`))
	f.Add([]byte(`null`))
	h := Handle(func(_ context.Context, r InviteRequest) (InviteRequest, error) { return r, nil })
	f.Fuzz(func(t *testing.T, raw []byte) {
		res, err := h(t.Context(), raw)
		if err != nil {
			if asError(err).Code != CodeBadRequest {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		once, _ := json.Marshal(res)
		again, err := h(t.Context(), once)
		if err != nil || again != res {
			t.Fatalf("%q decodes to %+v, then to %+v, %v", raw, res, again, err)
		}
	})
}
