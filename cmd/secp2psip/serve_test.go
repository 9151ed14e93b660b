package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/secp2psip/secp2psip/configs"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/internal/metrics"
)

// output is a buffer that a test reads while the program writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// shortDir returns a folder whose path is short enough for a socket in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cli")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// toy is a daemon that serves until it is told to end.
type toy struct {
	ready chan struct{}
	fail  chan error
	left  chan struct{} // closed when run has returned
}

func newToy() *toy {
	return &toy{ready: make(chan struct{}), fail: make(chan error), left: make(chan struct{})}
}

func (d *toy) daemon() *daemon {
	return &daemon{
		run: func(ctx context.Context) error {
			defer close(d.left)
			close(d.ready)
			select {
			case err := <-d.fail:
				return err
			case <-ctx.Done():
				return nil
			}
		},
		ready:    d.ready,
		health:   func() error { return errors.New("not joined") },
		handlers: admin.Handlers{admin.MethodStatus: always(admin.Status{Kind: admin.KindAdapter})},
	}
}

func testLink() joinlink.Link {
	return joinlink.Link{Addrs: []string{"192.0.2.1:5870"}, Overlay: "lan.example", User: "bob", Secret: [16]byte{1}}
}

// systemd answers as systemd would and returns what it was told.
func systemd(t *testing.T, dir string) <-chan string {
	t.Helper()
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	told := make(chan string, 8)
	go func() {
		buf := make([]byte, 256)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			told <- string(buf[:n])
		}
	}()
	t.Cleanup(func() { _ = conn.Close() })
	return told
}

func TestServe(t *testing.T) {
	dir := shortDir(t)
	state := filepath.Join(dir, "state")
	told := systemd(t, dir)
	d := newToy()
	var got *joinlink.Link
	var stderr output
	a := &app{stdout: io.Discard, stderr: &stderr, daemons: daemons{
		adapter: func(c configs.Adapter, join *joinlink.Link, t tools) (*daemon, error) {
			got = join
			t.metrics.Refused("link")("rate")
			return d.daemon(), nil
		},
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go func() {
		code <- a.run(ctx, []string{"adapter", "--state", state, "--join", testLink().String(), "--metrics-listen", "127.0.0.1:0"})
	}()

	if s := <-told; s != "READY=1" {
		t.Errorf("systemd was told %q first", s)
	}
	if got == nil || got.User != "bob" {
		t.Errorf("the link came as %+v", got)
	}
	if info, err := os.Stat(state); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("state folder: %v, %v", info, err)
	}
	var s admin.Status
	if err := admin.Dial(state).Call(ctx, admin.MethodStatus, nil, &s); err != nil || s.Kind != admin.KindAdapter {
		t.Errorf("status: %+v, %v", s, err)
	}
	page := metricsPage(t, stderr.String())
	for path, want := range map[string]string{"/metrics": `refusals_total{reason="rate",room="link"} 1`, "/readyz": "not joined", "/healthz": "ok"} {
		if body := fetch(t, page+path); !strings.Contains(body, want) {
			t.Errorf("%s lacks %q: %s", path, want, body)
		}
	}

	cancel()
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d: %s", c, &stderr)
	}
	select {
	case <-d.left:
	default:
		t.Error("the program ended before its daemon")
	}
	if s := <-told; s != "STOPPING=1" {
		t.Errorf("systemd was told %q", s)
	}
	if admin.Answers(state) {
		t.Error("the socket still answers")
	}
}

// metricsPage finds in the log where the metrics are.
func metricsPage(t *testing.T, log string) string {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry struct{ Message, Listen string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the log is not JSON: %s", line)
		}
		if entry.Message == "metrics are served" {
			return "http://" + entry.Listen
		}
	}
	t.Fatalf("no metrics in the log: %s", log)
	return ""
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Whatever stops a daemon is told in a sentence with a hint, and everything
// else ends with it.
func TestServeFailures(t *testing.T) {
	running := newToy()
	tests := []struct {
		name  string
		build func() (*daemon, error)
		args  []string
		code  int
		want  []string
	}{
		{"port in use", func() (*daemon, error) {
			return nil, fmt.Errorf("listen on :5871: %w", syscall.EADDRINUSE)
		}, nil, exitFailure, []string{"error: listen on :5871", "hint: another program has the port"}},
		{"own hint", func() (*daemon, error) {
			return nil, fail(exitRefused, "ask for a new one", "the invitation was used")
		}, nil, exitRefused, []string{"error: the invitation was used", "hint: ask for a new one"}},
		{"fails later", func() (*daemon, error) {
			go func() { running.fail <- fmt.Errorf("write: %w", syscall.ENOSPC) }()
			return running.daemon(), nil
		}, nil, exitFailure, []string{"error: write: ", "hint: make room on the disk"}},
		{"metrics port", func() (*daemon, error) { return newToy().daemon(), nil },
			[]string{"--metrics-listen", "127.1.2.3:1"}, exitFailure, []string{"cannot serve metrics", "hint: "}},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tests[3].args[1] = ln.Addr().String()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stderr output
			a := &app{stdout: io.Discard, stderr: &stderr, daemons: daemons{
				bootstrap: func(configs.Bootstrap, tools) (*daemon, error) { return tt.build() },
			}}
			code := a.run(t.Context(), append([]string{"bootstrap", "--state", shortDir(t), "--log-level", "error"}, tt.args...))
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("no %q in: %s", want, &stderr)
				}
			}
		})
	}
}

func TestDemoAndRestore(t *testing.T) {
	var opts demoOptions
	var file, state string
	a := &app{env: []string{"SECP2PSIP_STATE=/s"}, stdout: io.Discard, stderr: io.Discard, daemons: daemons{
		demo: func(ctx context.Context, o demoOptions, _ tools) error {
			opts = o
			return nil
		},
		restore: func(_ context.Context, f, s string) error { file, state = f, s; return nil },
	}}
	if code := a.run(t.Context(), []string{"demo", "--json", "--adapters", "3"}); code != 0 || !opts.json || opts.stay || opts.adapters != 3 {
		t.Errorf("demo: %d, %+v", code, opts)
	}
	if code := a.run(t.Context(), []string{"restore", "f"}); code != 0 || file != "f" || state != "/s" {
		t.Errorf("restore: %d, %s, %s", code, file, state)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.daemons.demo = func(ctx context.Context, _ demoOptions, _ tools) error { return ctx.Err() }
	if code := a.run(ctx, []string{"demo"}); code != exitInterrupted {
		t.Errorf("an interrupted demo: %d", code)
	}
}

func TestClassify(t *testing.T) {
	tests := []struct {
		err  error
		code int
		hint bool
	}{
		{errors.New("x"), exitFailure, false},
		{fmt.Errorf("x: %w", configs.ErrInvalid), exitUsage, false},
		{fmt.Errorf("x: %w", joinlink.ErrDamaged), exitUsage, false},
		{fmt.Errorf("x: %w", admin.ErrUnreachable), exitUnreachable, true},
		{fmt.Errorf("x: %w", admin.ErrRunning), exitFailure, true},
		{fmt.Errorf("x: %w", metrics.ErrListen), exitFailure, true},
		{fmt.Errorf("x: %w", fs.ErrPermission), exitFailure, true},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), exitNotNow, false},
		{admin.Errorf(admin.CodeBadRequest, "x"), exitUsage, false},
		{admin.Errorf(admin.CodeNotFound, "x").WithHint("y"), exitNotFound, true},
		{admin.Errorf(admin.CodeRefused, "x"), exitRefused, false},
		{admin.Errorf(admin.CodeUnavailable, "x"), exitNotNow, false},
		{admin.Errorf(admin.CodeUnknownMethod, "x"), exitUsage, true},
		{admin.Errorf(admin.CodeInternal, "x"), exitFailure, false},
	}
	for _, tt := range tests {
		if code, hint := classify(tt.err); code != tt.code || (hint != "") != tt.hint {
			t.Errorf("%v: %d, %q", tt.err, code, hint)
		}
	}
}

// Every command says what it does and shows how it is used.
func TestHelpIsComplete(t *testing.T) {
	a := &app{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s lacks help", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(line, "secp2psip") {
				t.Errorf("%s: %q is not an example", c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(a.rootCommand())
}

func TestCheckFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	dir := shortDir(t)
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		path string
		mode fs.FileMode
		want string
	}{
		{dir, 0o755, admin.CheckFail},
		{dir, 0o700, admin.CheckOK},
		{key, 0o640, admin.CheckWarn},
		{key, 0o400, admin.CheckOK},
	}
	for _, s := range steps {
		if err := os.Chmod(s.path, s.mode); err != nil {
			t.Fatal(err)
		}
		c := checkFolder(dir)[0]
		if c.Result != s.want || (c.Mend == "") != (s.want == admin.CheckOK) {
			t.Errorf("after chmod %o %s: %+v", s.mode, s.path, c)
		}
	}
}

// The drawing has every module where the code has it, and the quiet zone.
func TestDrawQR(t *testing.T) {
	code, err := qr.Encode(testLink().String(), qr.L)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]rune
	for line := range strings.Lines(drawQR(code)) {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[30;107m"), "\x1b[0m\n")
		rows = append(rows, []rune(line))
	}
	for y := -quiet; y < code.Size+quiet; y++ {
		for x := -quiet; x < code.Size+quiet; x++ {
			r := rows[(y+quiet)/2][x+quiet]
			black := r == '█' || r == []rune{'▀', '▄'}[(y+quiet)%2]
			if black != code.Black(x, y) {
				t.Fatalf("module %d,%d is wrong", x, y)
			}
		}
	}
}

func TestClean(t *testing.T) {
	if got := clean("a\x1b[2J\u009b\u202e\x7f\nü"); got != "a?[2J???\nü" {
		t.Errorf("%q", got)
	}
}

func TestTimesAndSizes(t *testing.T) {
	for got, want := range map[string]string{
		moment(time.Time{}): "", millis(0.312): "0.31 ms", millis(12.7): "13 ms", size(900): "900 B", size(2048): "2.0 KiB", size(3 << 20): "3.0 MiB",
		plural(1, "x"): "1 x", plural(0, "x"): "0 xs",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The sample units start a command that exists, with flags that it has, and
// keep the state where root's own commands look for it.
func TestSystemdUnits(t *testing.T) {
	for _, kind := range []string{configs.KindBootstrap, configs.KindAdapter} {
		data, err := os.ReadFile(filepath.Join("..", "..", "configs", "systemd", "secp2psip-"+kind+".service"))
		if err != nil {
			t.Fatal(err)
		}
		settings := map[string]string{}
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
				settings[key] = value
			}
		}
		args := strings.Fields(settings["ExecStart"])
		cmd, rest, err := (&app{}).rootCommand().Find(args[1:])
		if err != nil || cmd.Name() != kind {
			t.Fatalf("%s starts %v: %v", kind, args, err)
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		want := configs.DefaultState(kind, configs.Host{OS: "linux", Getenv: func(string) string { return "" }})
		if got := "/var/lib/" + settings["StateDirectory"]; got != want {
			t.Errorf("%s keeps its state in %s, not in %s", kind, got, want)
		}
	}
}
