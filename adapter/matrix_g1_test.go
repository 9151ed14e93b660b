package adapter_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// sniffer keeps every datagram of the sockets that it opens.
type sniffer struct {
	mu    sync.Mutex
	count int
	all   bytes.Buffer
}

func (s *sniffer) keep(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.all.Write(b)
	s.all.WriteByte(0) // what ends one datagram does not begin a name
}

// socket opens a socket whose traffic is heard.
func (s *sniffer) socket(at netip.AddrPort) (net.PacketConn, error) {
	sock, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	return &heard{sock, s}, nil
}

// heard is no *net.UDPConn, so that no packet passes it by.
type heard struct {
	net.PacketConn
	by *sniffer
}

// WriteTo implements net.PacketConn.
func (h *heard) WriteTo(b []byte, to net.Addr) (int, error) {
	h.by.keep(b)
	return h.PacketConn.WriteTo(b, to)
}

// ReadFrom implements net.PacketConn.
func (h *heard) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := h.PacketConn.ReadFrom(b)
	if err == nil {
		h.by.keep(b[:n])
	}
	return n, from, err
}

// SetReadBuffer and SetWriteBuffer are there because quic-go asks for them.
func (h *heard) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing.
func (h *heard) SetWriteBuffer(int) error { return nil }

// namesIn returns which names stand in bytes, in any form that they may have
// there: as they are, in capitals, UTF-16, hexadecimal, base64 at each of its
// three alignments.
func namesIn(data []byte, names ...string) (found []string) {
	for _, name := range names {
		forms := [][]byte{[]byte(name), []byte(strings.ToUpper(name)), []byte(hex.EncodeToString([]byte(name)))}
		var wide []byte
		for _, u := range utf16.Encode([]rune(name)) {
			wide = append(wide, byte(u), byte(u>>8))
		}
		forms = append(forms, wide)
		for shift := range 3 {
			text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), name...))
			forms = append(forms, []byte(text[4:len(text)-2])) // what its neighbours do not change
		}
		for _, form := range forms {
			if bytes.Contains(data, form) {
				found = append(found, name)
				break
			}
		}
	}
	return found
}

// Three people join, register, call, text and look each other up, while every
// datagram of their adapters is heard; then a member reads the whole peer table,
// descriptors and node certificates, out of each of them. No name is in any of
// it. The same search finds the names in what the messages say before they are
// encrypted, and in an account's certificate.
func TestMatrixG1SniffAndReadThePeerTable(t *testing.T) {
	t.Parallel()
	names := []string{"aliceliddell", "bobthebuilder", "caroldanvers", "malloryknox"}
	s := &sniffer{}
	heard := func(c *adapter.Config) { many(c); c.Socket = s.socket }
	l := testnet.New(t, nil)
	a, b, c := l.Add(names[0], heard), l.Add(names[1], heard), l.Add(names[2], heard)
	newTextPhone(t, a)
	bob := newTextPhone(t, b)
	newTextPhone(t, c)
	testnet.Eventually(t, "a call", func() bool { status, _ := call(t, a, names[1]); return status == 302 })
	testnet.Eventually(t, "a text", func() bool { return text(t, c, names[1], "for "+names[1]+" alone") == nil })
	bob.got(t)
	for _, m := range []*testnet.Member{a, b, c} {
		testnet.Eventually(t, "a look-up", func() bool { return len(m.Lookup(names[1]).Devices) == 1 })
	}
	mallory := newRogue(t, l, names[3])

	var table bytes.Buffer
	descriptors, certificates := 0, 0
	for _, m := range []*testnet.Member{a, b, c} {
		conn := mallory.to(m)
		var members *wire.Members
		testnet.Eventually(t, "the table is read", func() bool {
			answer, err := conn.Call(limited(), &wire.GetMembers{Most: wire.MaxMembers})
			var ok bool
			members, ok = answer.(*wire.Members)
			return err == nil && ok && len(members.Descs) > 0
		})
		ask := &wire.GetCertificates{}
		for _, d := range members.Descs {
			ask.Hashes = append(ask.Hashes, d.Certificate)
		}
		answer, err := conn.Call(limited(), ask)
		certs, ok := answer.(*wire.Certificates)
		if err != nil || !ok {
			t.Fatalf("%v, %v", answer, err)
		}
		for _, v := range []any{*members, *certs} {
			encoded, err := canon.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			table.Write(encoded)
		}
		descriptors, certificates = descriptors+len(members.Descs), certificates+len(certs.Nodes)
	}
	for _, m := range []*testnet.Member{a, b, c} {
		m.Stop(t)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	onTheWire, inTheTable := namesIn(s.all.Bytes(), names...), namesIn(table.Bytes(), names...)
	if len(onTheWire) > 0 || len(inTheTable) > 0 {
		t.Errorf("names on the wire: %v; in the table: %v", onTheWire, inTheTable)
	}
	if s.count < 500 || descriptors < 6 || certificates < 3 {
		t.Errorf("only %d datagrams, %d descriptors, %d certificates: this proves nothing", s.count, descriptors, certificates)
	}
	before, err := canon.Marshal(wire.InviteBody{Version: 1, Caller: mallory.aor(), Callee: "sip:" + names[1] + "@" + testnet.Overlay, CallID: "x", Time: time.Now().UnixMilli()})
	if err != nil || len(namesIn(before, names...)) != 2 || len(namesIn(mallory.chain[0], names...)) != 1 {
		t.Errorf("the search does not find names where they are: %v, %v, %v", namesIn(before, names...), namesIn(mallory.chain[0], names...), err)
	}
	t.Logf("matrix: G1 names in %d datagrams (%d KiB), %d descriptors and %d node certificates: %d", s.count, s.all.Len()>>10, descriptors, certificates, len(onTheWire)+len(inTheTable))
}
