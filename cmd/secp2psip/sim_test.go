package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/simnet"
)

// TestSimInterrupted: a run that is interrupted prints what there is, and says
// so by its exit code.
func TestSimInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"sim", "--nodes", "50", "--json"}, nil, strings.NewReader(""), &out, &errs); code != exitInterrupted {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	var r simnet.Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Nodes != 50 {
		t.Errorf("%v: %s", err, &out)
	}
	if !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("stderr: %s", &errs)
	}
}
