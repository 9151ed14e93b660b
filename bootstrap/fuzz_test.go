package bootstrap_test

import (
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// FuzzRegister is what anybody who reaches the bootstrap server's port can ask
// for: any name, number and invitation, as a first or a further device, signed
// as it should be or changed afterwards. Nobody is enrolled who was not
// invited to that very name, and the server goes on.
func FuzzRegister(f *testing.F) {
	f.Add("sip:bob@lan.example", "", []byte{}, uint16(0), uint8(0))
	f.Add("sip:bob@lan.example", "101", make([]byte, 16), uint16(0), uint8(1))
	f.Add("sip:BOB@LAN.example", "", []byte("0123456789abcdef"), uint16(9), uint8(2))
	f.Add("bob", "\x00", []byte("x"), uint16(0), uint8(3))
	f.Add("sip:bob@other.example", "", []byte{}, uint16(500), uint8(4))
	f.Add("sip:echo@lan.example", "1", make([]byte, 64), uint16(0), uint8(5))
	s, _ := run(f, nil)
	invited := invite(f, s, bootstrap.InviteParams{User: "invited"})
	f.Fuzz(func(t *testing.T, name, number string, invitation []byte, flip uint16, what uint8) {
		n := newNewcomer(t, "x", invitation)
		n.body.AOR, n.body.Number = name, number
		if what%4 == 1 {
			n.body.Invitation = invited // of another name, unless it is that
		}
		if what%4 == 2 {
			n.further()
		}
		conn, challenge := dial(t, s)
		defer conn.Close()
		exporter, err := conn.Exporter()
		if err != nil {
			t.Fatal(err)
		}
		n.body.Nonce, n.body.Exporter = challenge.Nonce, exporter
		account := &n.account
		if n.body.Further() {
			account = nil
			n.body.MAC = wire.InvitationMAC(n.body.Invitation, n.body.Device, n.body.Node, n.body.Nonce)
		}
		m, err := wire.SignRegister(n.body, account, n.device, n.node)
		if err != nil {
			return // it cannot even be written
		}
		if flip != 0 {
			m.ByNode[int(flip)%len(m.ByNode)] ^= 1 << (flip % 8)
		}
		_, err = ask(t, conn, m)
		remote := new(link.RemoteError)
		aor, parsed := identity.ParseAOR(name)
		mayWin := what%4 == 1 && flip == 0 && parsed == nil && aor.User() == "invited"
		if err == nil && !mayWin {
			t.Errorf("enrolled: %+v, flip %d", n.body, flip)
		}
		if err != nil && !errors.As(err, &remote) && !errors.Is(err, link.ErrLost) {
			t.Errorf("no refusal, but %v", err)
		}
	})
}
