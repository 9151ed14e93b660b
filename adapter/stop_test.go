package adapter_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// TestStopping: an adapter that leaves a healthy ring is gone within 2 s, and
// one whose ring goes with it within 6 s.
func TestStopping(t *testing.T) {
	t.Parallel()
	var log warnings
	l := testnet.New(t, func(c *bootstrap.Config) { c.Log = zerolog.New(&log) })
	var all []*testnet.Member
	for i := range 6 {
		m := l.Add(fmt.Sprintf("p%d", i), func(c *adapter.Config) { c.Log = zerolog.New(&log) })
		m.Phone(toneA)
		all = append(all, m)
	}
	log.take()
	began := time.Now()
	all[0].Stop(t)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("leaving a healthy ring took %v", took)
	} else {
		t.Logf("leaving a healthy ring took %v", took)
	}
	began = time.Now()
	var work sync.WaitGroup
	for _, m := range all[1:] {
		work.Go(func() { m.Stop(t) })
	}
	work.Go(func() { l.Server.Stop(t) })
	work.Wait()
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("everybody leaving at once took %v", took)
	} else {
		t.Logf("everybody leaving at once took %v", took)
	}
	if told := log.take(); told != "" {
		t.Errorf("stopping is no reason for a warning:\n%s", told)
	}
}

// warnings keeps the lines of a log that warn.
type warnings struct {
	mu  sync.Mutex
	all strings.Builder
}

func (w *warnings) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, level := range []string{"warn", "error", "fatal"} {
		if bytes.Contains(line, []byte(`"level":"`+level+`"`)) {
			w.all.Write(line)
		}
	}
	return len(line), nil
}

// take returns what was warned of since the last time.
func (w *warnings) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.all.Reset()
	return w.all.String()
}
