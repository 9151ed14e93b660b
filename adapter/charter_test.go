package adapter_test

import (
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// A new edition of the charter that the operator issues reaches the adapters,
// which keep it: they have it when they start again and the server is gone.
func TestCharterEditions(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", nil), l.Add("bob", nil)
	a.Phone(toneA)
	b.Phone(toneB)
	if err := l.Server.It.IssueCharter(map[string]string{"n": "20"}, nil); !errors.Is(err, identity.ErrFixed) {
		t.Fatal(err)
	}
	if err := l.Server.It.IssueCharter(map[string]string{"max-devices": "3", "grace": "7777777"}, nil); err != nil {
		t.Fatal(err)
	}
	edition := func(m *testnet.Member) identity.Charter { return m.It.Node().Trust().Charter() }
	for _, m := range []*testnet.Member{a, b} {
		testnet.Eventually(t, m.Name+" has it", func() bool { return edition(m).Seq == 2 && edition(m).MaxDevices == 3 })
		m.Pin()
		m.Stop(t)
	}
	at := l.Server.It.Addr()
	l.Server.Stop(t)
	a.Start()
	if got := edition(a); got.Seq != 2 || got.Grace != 7777777 {
		t.Errorf("after a restart, alone: %+v", got)
	}
	l.StartServer(at)
	if got := l.Server.It.Node().Trust().Charter(); got.Seq != 2 {
		t.Errorf("the server after a restart: %+v", got)
	}
}
