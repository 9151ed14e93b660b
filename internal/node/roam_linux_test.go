package node

import (
	"context"
	"testing"
)

// The kernel can be asked for its word by anybody, and nothing is left when the
// node ends. That it comes, and soon enough, the end-to-end tests show.
func TestAddrChangesEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	told := addrChanges(ctx)
	if told == nil {
		t.Fatal("no netlink socket")
	}
	cancel()
	for range told { // until it is closed
	}
}
