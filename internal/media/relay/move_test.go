package relay

import (
	"bytes"
	"errors"
	"testing"
)

// The media of a call go on over another connection without a gap, whichever
// side goes first.
func TestACallMovesToAnotherConnection(t *testing.T) {
	c := newCall(t)
	relayB := c.wireA.to
	a2, b2 := wire(c.relayA, relayB)
	a3, b3 := wire(c.relayA, relayB)
	a4, b4 := wire(c.relayA, relayB)
	hear := func(a, b Carrier) func() error {
		return func() error { return errors.Join(c.atA.Hear(a), c.atB.Hear(b)) }
	}
	seq := 0
	for _, s := range []struct {
		what string
		move func() error
	}{
		{"before", func() error { return nil }},
		{"about to", hear(a2, b2)},
		{"one side has moved", func() error { return c.atA.Move(a2) }},
		{"both have", func() error { return c.atB.Move(b2) }},
		{"it has moved already", func() error { return c.atA.Move(a2) }},
		{"about to again", hear(a3, b3)},
		{"not there", hear(a4, b4)},
		{"the other side first", func() error { return c.atB.Move(b3) }},
		{"and this one", func() error { return c.atA.Move(a3) }},
		{"back again", func() error { return errors.Join(c.atB.Move(b2), c.atA.Move(a2)) }},
	} {
		if err := s.move(); err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		for _, way := range [][2]*phone{{c.a, c.b}, {c.b, c.a}} {
			seq++
			sendTo(t, way[0].rtp, way[0].to, rtp(seq, 7))
			if got := receive(t, way[1].rtp); !bytes.Equal(got, rtp(seq, 7)) {
				t.Errorf("%s: %x instead of packet %d", s.what, got, seq)
			}
		}
	}
	flow := append(appendHead(nil, base(secret)), rtp(9, 7)...)
	before := c.refusedA.of(RefusedFlow)
	c.relayA.Receive(c.wireA, flow)
	if c.refusedA.of(RefusedFlow) != before+1 {
		t.Error("a connection that the call has left long ago is heard")
	}
	other := open(t, c.relayA, a4, [32]byte{9})
	_ = c.atA.Close()
	if err := c.atA.Move(a3); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed session moves: %v", err)
	}
	if c.relayA.open != 1 || len(c.relayA.calls) != 1 {
		t.Errorf("%d sessions with %d keys are left beside %v", c.relayA.open, len(c.relayA.calls), other != nil)
	}
}

// A change of the session that is refused leaves everything as it was: the phone
// gets its packets where it did, heard or not, and no stream may bring more.
func TestARefusedChangeIsPutBack(t *testing.T) {
	c := newCall(t)
	sendTo(t, c.a.rtp, c.a.to, rtp(1, 7))
	receive(t, c.b.rtp)
	burst := c.atA.lines[0].Load().up.packets.Burst()
	for _, change := range [][]byte{
		description(newPhone(t).port()), description(0), description(0, newPhone(t).port()),
		bytes.Replace(description(newPhone(t).port()), []byte("m=audio"), []byte("m=video"), 1),
	} {
		back := c.atA.Mark()
		if _, err := c.atA.FromPhone(onHost, change); err != nil {
			t.Fatal(err)
		}
		back()
		sendTo(t, c.b.rtp, c.b.to, rtp(2, 8)) // before the phone says a word
		if got := receive(t, c.a.rtp); !bytes.Equal(got, rtp(2, 8)) {
			t.Errorf("after\n%s\n%x", change, got)
		}
		sendTo(t, c.a.rtp, c.a.to, rtp(3, 7))
		if got := receive(t, c.b.rtp); !bytes.Equal(got, rtp(3, 7)) {
			t.Errorf("after\n%s\n%x", change, got)
		}
		if got := c.atA.lines[0].Load().up.packets.Burst(); got != burst {
			t.Errorf("%d packets at once after\n%s", got, change)
		}
	}
	if n := c.refusedA.all(); len(n) > 0 {
		t.Error(n)
	}
}
