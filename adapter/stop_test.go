package adapter_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/testnet"
)

// TestStopping: an adapter that leaves a healthy ring is gone within 2 s, and
// one whose ring goes with it within 6 s.
func TestStopping(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	var all []*testnet.Member
	for i := range 6 {
		m := l.Add(fmt.Sprintf("p%d", i), nil)
		m.Phone(toneA)
		all = append(all, m)
	}
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
}
