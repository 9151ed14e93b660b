package node_test

import (
	"net/netip"
	"testing"

	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Attack: an enrolled node asks a member, again and again, to dial it back at
// the address of somebody who has nothing to do with it. The victim gets at
// most three times what the attacker spends, once; nobody else dials it because
// other nodes of the attacker's ask; and what is not the attacker's own address
// is never dialled.
func TestMatrixD9DialBackIsNoReflector(t *testing.T) {
	o := newOverlay(t)
	m := o.start("member", func(c *node.Config) { c.Reach = node.ReachTiming{} })
	v, beside := newVictim(t), newVictim(t)
	foreign := netip.MustParseAddrPort("192.0.2.9:5060")
	attacks := 0
	var spent int64
	for _, name := range []string{"mallory", "mallory's second", "mallory's third"} {
		l := o.liar(name)
		conn := must(l.Connect(limited(t), m.Self()))(t)
		for i := range 20 {
			ask := &wire.DialBack{Addrs: []netip.AddrPort{v.at, v.at, foreign, beside.at}}
			if i%2 == 0 {
				ask.Padding = make([]byte, 2400)
			}
			before := v.bytes.Load()
			size := len(must(wire.Encode(ask))(t))
			answer, err := conn.Call(limited(t), ask)
			attacks++
			if got := v.bytes.Load() - before + beside.bytes.Load(); got > int64(node.DialBackGain*size) && before == 0 {
				t.Errorf("%d bytes for a request of %d", got, size)
			}
			if d, ok := answer.(*wire.Dialed); err == nil && (!ok || len(d.Reached) > 0) {
				t.Fatalf("%+v: nobody is there", answer)
			}
		}
		spent += l.socket.bytes.Load()
	}
	t.Logf("%d requests, %d bytes spent; the victims got %d and %d bytes in %d and %d packets; refused: %v",
		attacks, spent, v.bytes.Load(), beside.bytes.Load(), v.packets.Load(), beside.packets.Load(), m.refused.all())
	if attacks < 60 || m.refused.of("node/dial_back_rate") == 0 || m.refused.of("node/dial_back_foreign") == 0 || m.refused.of("node/dial_back_silent") == 0 {
		t.Error("the attack did not happen as meant")
	}
	if got := v.bytes.Load() + beside.bytes.Load(); got > node.DialBackGain*spent || got > 4*1200 || got == 0 {
		t.Errorf("%d bytes reached the victims for %d spent", got, spent)
	}
	t.Logf("matrix: D9 bytes to victims for each byte spent: %.2f, in %d requests", float64(v.bytes.Load()+beside.bytes.Load())/float64(spent), attacks)
}

// A node that tells the truth is reached, and what that costs stays within what
// it has paid for.
func TestDialBackReaches(t *testing.T) {
	o := newOverlay(t)
	m := o.start("member", nil)
	l := o.liar("honest after all")
	conn := must(l.Connect(limited(t), m.Self()))(t)
	for range 3 {
		answer := must(conn.Call(limited(t), &wire.DialBack{Addrs: []netip.AddrPort{l.Addr()}, Padding: make([]byte, 2400)}))(t)
		d, ok := answer.(*wire.Dialed)
		if !ok || len(d.Reached) != 1 || d.Reached[0] != l.Addr() {
			t.Fatalf("%+v", answer)
		}
	}
}
