package link_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/secp2psip/secp2psip/internal/link"
)

// inbox collects datagrams.
type inbox struct {
	mu  sync.Mutex
	got [][]byte
}

func (i *inbox) take(_ *link.Conn, b []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got = append(i.got, bytes.Clone(b))
}

func (i *inbox) all() [][]byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.got)
}

// numbered is a datagram of a kind with a number in it.
func numbered(kind byte, n, size int) []byte {
	b := make([]byte, size)
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(n))
	return b
}

func connected(t testing.TB, o *overlay, change ...func(*link.Config)) (a, b *node, conn *link.Conn) {
	t.Helper()
	a, b = o.start("a", change...), o.start("b", change...)
	return a, b, must(a.Connect(testCtx(t), b.peer()))(t)
}

func TestDatagramsReachTheReceiverOfTheirKind(t *testing.T) {
	a, b, conn := connected(t, newOverlay(t, "lan.example"))
	var media, sealed, back inbox
	b.HandleDatagrams(link.DatagramMedia, media.take)
	b.HandleDatagrams(link.DatagramSealed, func(from *link.Conn, p []byte) {
		sealed.take(from, p)
		if err := from.SendDatagram(append([]byte{link.DatagramMedia}, p[1:]...)); err != nil {
			t.Error(err)
		}
	})
	a.HandleDatagrams(link.DatagramMedia, back.take)
	for i := range 50 {
		for _, kind := range []byte{link.DatagramMedia, link.DatagramSealed, 77} {
			if err := conn.SendDatagram(numbered(kind, i, 172)); err != nil {
				t.Fatal(err)
			}
		}
		// quic-go drops what arrives while too many wait to be read.
		eventually(t, "one of each arrives", func() bool { return len(back.all()) == i+1 })
	}
	if err := conn.SendDatagram(nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all arrive", func() bool {
		return len(media.all()) == 50 && len(back.all()) == 50 && b.refused.of(link.ReasonDatagramKind) == 51
	})
	for i, got := range media.all() {
		if !bytes.Equal(got, numbered(link.DatagramMedia, i, 172)) {
			t.Fatalf("datagram %d is altered or out of order", i)
		}
	}
	b.HandleDatagrams(link.DatagramMedia, nil)
	if err := conn.SendDatagram(numbered(link.DatagramMedia, 0, 5)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a kind given up is dropped", func() bool { return b.refused.of(link.ReasonDatagramKind) == 52 })
}

func TestDatagramsHaveALargestLength(t *testing.T) {
	a, b, conn := connected(t, newOverlay(t, "lan.example"))
	var got inbox
	b.HandleDatagrams(link.DatagramMedia, got.take)
	most := conn.MaxDatagram()
	if most < 1200 || most > 1452 {
		t.Fatalf("MaxDatagram = %d", most)
	}
	if err := conn.SendDatagram(numbered(link.DatagramMedia, 1, most)); err != nil {
		t.Fatal(err)
	}
	if err := conn.SendDatagram(numbered(link.DatagramMedia, 2, 1453)); !errors.Is(err, link.ErrTooLarge) {
		t.Fatalf("1,453 bytes: %v", err)
	}
	eventually(t, "the largest arrives", func() bool { return len(got.all()) == 1 && len(got.all()[0]) == most })
	if a.refused.of(link.ReasonDatagramLarge) != 1 {
		t.Fatal("the one that is too large is not counted")
	}
}

func TestSendingDatagramsNeverBlocks(t *testing.T) {
	few := func(c *link.Config) { c.Limits.DatagramsQueue = 8 }
	a, b, conn := connected(t, newOverlay(t, "lan.example"), few)
	var got inbox
	b.HandleDatagrams(link.DatagramMedia, got.take)
	const sent = 20_000
	for i := range sent {
		if err := conn.SendDatagram(numbered(link.DatagramMedia, i, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if a.refused.of(link.ReasonDatagramFull) == 0 {
		t.Fatal("20,000 datagrams at once and none dropped: the sender has waited")
	}
	eventually(t, "the newest leaves", func() bool {
		all := got.all()
		return len(all) > 0 && binary.BigEndian.Uint32(all[len(all)-1][1:]) > sent-200
	})
	b.shut(t)
	eventually(t, "the connection ends", func() bool {
		return errors.Is(conn.SendDatagram([]byte{link.DatagramMedia}), link.ErrLost)
	})
}

func TestAFloodOfDatagramsIsLimited(t *testing.T) {
	slow := func(c *link.Config) { c.Limits.DatagramRate, c.Limits.DatagramBurst = 1, 20 }
	_, b, conn := connected(t, newOverlay(t, "lan.example"), slow)
	var got inbox
	b.HandleDatagrams(link.DatagramMedia, got.take)
	eventually(t, "the flood is limited", func() bool {
		_ = conn.SendDatagram(numbered(link.DatagramMedia, 1, 100))
		return b.refused.of(link.ReasonDatagramRate) > 100
	})
	if n := len(got.all()); n < 20 || n > 40 {
		t.Fatalf("%d got through a limit of 20", n)
	}
}

func TestSendingADatagramAllocatesNothing(t *testing.T) {
	_, _, conn := connected(t, newOverlay(t, "lan.example"), func(c *link.Config) { c.Limits.DatagramsQueue = 4 })
	p := numbered(link.DatagramMedia, 1, 172)
	if err := conn.SendDatagram(p); err != nil {
		t.Fatal(err)
	}
	// quic-go allocates beside this as packets leave; only what the caller's own
	// part allocates is the same in every run, so the least of some runs counts.
	least := testing.AllocsPerRun(1, func() { _ = conn.SendDatagram(p) })
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, func() { _ = conn.SendDatagram(p) }))
	}
	if least != 0 {
		t.Fatalf("%v allocations for a datagram", least)
	}
}
