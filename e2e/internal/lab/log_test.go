package lab

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

func newLog(t *testing.T) *Log {
	t.Helper()
	l, err := NewLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func write(t *testing.T, l *Log, s string) {
	t.Helper()
	if _, err := l.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func TestLogCutsLines(t *testing.T) {
	l := newLog(t)
	write(t, l, "one\r\ntw")
	write(t, l, "o\n[0:01]\r[0:02]\rthree\nrest")
	if got, want := l.From(0), []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	l.Close()
	if got := l.Tail(2); !slices.Equal(got, []string{"three", "rest"}) {
		t.Errorf("tail %q", got)
	}
}

func TestLogWaits(t *testing.T) {
	l := newLog(t)
	write(t, l, "state: idle\n")
	found := make(chan []string, 1)
	go func() {
		m, _ := l.Wait(t.Context(), 1, regexp.MustCompile(`state: (\w+)`))
		found <- m
	}()
	write(t, l, "noise\nstate: busy\n")
	if m := <-found; len(m) != 2 || m[1] != "busy" {
		t.Errorf("found %q", m)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Wait(ctx, 0, regexp.MustCompile(`never`)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled wait: %v", err)
	}
	l.Close()
	if _, err := l.Wait(t.Context(), 0, regexp.MustCompile(`never`)); err == nil {
		t.Error("a wait outlives the program")
	}
}
