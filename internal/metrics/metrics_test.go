package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// get returns status and body of a page of a server that runs until the test ends.
func get(t *testing.T, s *Set, ready func() error) func(path string) (int, string) {
	t.Helper()
	srv, err := s.Listen("127.0.0.1:0", ready)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func(path string) (int, string) {
		t.Helper()
		res, err := client.Get("http://" + srv.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
}

func TestPages(t *testing.T) {
	s := New("1.2.3", "adapter")
	s.Refused("link")("rate")
	s.Refused("link")("rate")
	s.Call("out", "direct", 302, 3*time.Millisecond)
	s.Call("in", "", 486, time.Millisecond)
	s.Counter("renewals_total", "Certificates renewed.")(2)
	joined := false
	s.Ring(Ring{
		Members: func() int { return 9 }, Successors: func() int { return 8 },
		Joined: func() bool { return joined },
		Links:  func() int { return 3 }, Records: func() int { return 40 }, DiskFails: func() bool { return true }, PortMapped: func() bool { return false },
	})
	var reason error = errors.New("not joined yet")
	page := get(t, s, func() error { return reason })

	if code, body := page("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, body := page("/readyz"); code != 503 || body != "not joined yet\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	reason, joined = nil, true
	if code, body := page("/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	code, body := page("/metrics")
	if code != 200 {
		t.Fatalf("metrics: %d", code)
	}
	for _, want := range []string{
		`secp2psip_refusals_total{reason="rate",room="link"} 2`,
		`secp2psip_calls_total{direction="out",path="direct",status="302"} 1`,
		`secp2psip_calls_total{direction="in",path="none",status="4xx"} 1`,
		`secp2psip_call_setup_seconds_count{direction="out"} 1`,
		`secp2psip_renewals_total 2`,
		`secp2psip_ring_members 9`,
		`secp2psip_ring_successors 8`,
		`secp2psip_ring_joined 1`,
		`secp2psip_links 3`,
		`secp2psip_records 40`,
		`secp2psip_disk_fails 1`,
		`secp2psip_port_mapped 0`,
		`kind="adapter",version="1.2.3"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if code, _ := page("/debug"); code != 404 {
		t.Errorf("another page: %d", code)
	}
}

// A room that counts under names of a stranger's choice must not fill memory.
func TestReasonsAreBounded(t *testing.T) {
	s := New("0", "adapter")
	refused := s.Refused("link")
	for i := range 3 * maxReasons {
		refused(fmt.Sprint("reason", i))
	}
	counts := s.Refusals()
	if len(counts) != maxReasons+1 {
		t.Errorf("%d reasons, bound %d", len(counts), maxReasons)
	}
	if got := counts["other/other"]; got != 2*maxReasons {
		t.Errorf("other = %d", got)
	}
}

func TestListenError(t *testing.T) {
	s := New("0", "adapter")
	srv, err := s.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	if _, err := s.Listen(srv.Addr(), nil); !errors.Is(err, ErrListen) {
		t.Errorf("a port in use: %v", err)
	}
}
