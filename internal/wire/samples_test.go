package wire_test

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// key returns a fixed key, so that signatures, being deterministic, are too.
func key(t testing.TB, name string) identity.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	k, err := identity.NewKeyFromSeed(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func fill[T ~[16]byte | ~[32]byte | ~[8]byte](b byte) (out T) {
	for i := range len(out) {
		out[i] = b
	}
	return out
}

var (
	addr4 = netip.MustParseAddrPort("192.0.2.7:7060")
	addr6 = netip.MustParseAddrPort("[2001:db8::7]:7060")
	peerA = wire.Peer{ID: fill[identity.NodeID](0xa1), Owner: fill[identity.OwnerTag](0xa2), Addrs: []netip.AddrPort{addr4, addr6}}
	peerB = wire.Peer{ID: fill[identity.NodeID](0xb1), Owner: fill[identity.OwnerTag](0xb2)}
	rec   = record.Record{
		Signed: bytes.Repeat([]byte{0x51}, 40),
		Chain:  record.Chain{Certificates: [][]byte{{0x30, 1}, {0x30, 2}}, Delegation: []byte{0xd2}},
	}
	nonce16    = fill[[16]byte](0x16)
	nonce32    = fill[[32]byte](0x32)
	exporter   = fill[[32]byte](0xee)
	invitation = bytes.Repeat([]byte{0x1b}, 16)
	chain      = [][]byte{{0x30, 1}, {0x30, 2}}
	delegation = identity.SignedDelegation{0xd2, 0x84}
	statement  = wire.Statement{
		Node: peerA.ID, Certificate: fill[wire.CertHash](0xc1), Run: nonce16, Since: 3, Revision: 9, Resource: peerB.ID, Part: 7,
		Seq: 1 << 40, Digest: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Time: 1_700_000_000_000, Nonce: nonce32,
	}
)

func inviteBody(t testing.TB) wire.InviteBody {
	return wire.InviteBody{
		Version: wire.InviteVersion, Caller: "sip:alice@lan.example", Callee: "sip:bob@lan.example",
		CallerNode: peerA.ID, CalleeNode: peerB.ID, CallID: "c1@192.0.2.7", Nonce: nonce16, Time: 1_700_000_000_000,
		Exporter: exporter, Paths: []string{"direct", "carried"}, Device: key(t, "alice's device").Public(),
	}
}

func redirectBody(t testing.TB) wire.RedirectBody {
	return wire.RedirectBody{
		InviteHash: fill[[32]byte](0x1a), Caller: "sip:alice@lan.example", Callee: "sip:bob@lan.example",
		CallerNode: peerA.ID, CalleeNode: peerB.ID, CallID: "c1@192.0.2.7", Nonce: nonce16, Time: 1_700_000_000_001,
		Exporter: exporter, Device: key(t, "bob's device").Public(), Status: 302, Reason: "Moved Temporarily",
		Contact: "sip:bob@192.0.2.8:5060", Paths: []string{"direct"}, Token: nonce16,
	}
}

func textBody(t testing.TB) wire.TextBody {
	return wire.TextBody{
		Caller: "sip:alice@lan.example", Callee: "sip:bob@lan.example", CallerNode: peerA.ID, CalleeNode: peerB.ID,
		CallID: "m1@192.0.2.7", Nonce: nonce16, Time: 1_700_000_000_000, Exporter: exporter,
		Device: key(t, "alice's device").Public(), ContentType: "text/plain", Body: []byte("hello\r\nbob"),
	}
}

func textAckBody(t testing.TB) wire.TextAckBody {
	return wire.TextAckBody{
		TextHash: fill[[32]byte](0x1a), Time: 1_700_000_000_001, Exporter: exporter,
		Device: key(t, "bob's device").Public(), Status: 200, Reason: "OK",
	}
}

func registerBody(t testing.TB) wire.RegisterBody {
	return wire.RegisterBody{
		AOR: "sip:alice@lan.example", Number: "101", Account: key(t, "alice").Public(),
		Device: key(t, "alice's device").Public(), Node: key(t, "alice's node").Public(),
		Nonce: nonce32, Exporter: exporter, Invitation: invitation, Addrs: []netip.AddrPort{addr4}, Software: "secp2psip 1.0",
	}
}

func rotateBody(t testing.TB) wire.RotateBody {
	old := key(t, "alice's device").Public()
	return wire.RotateBody{
		AOR: "sip:alice@lan.example", Old: old, New: key(t, "bob's device").Public(), Device: old,
		Node: peerA.ID, Part: 2, Time: 1_700_000_000_000, Exporter: exporter,
	}
}

func renewBody(t testing.TB) wire.RenewBody {
	return wire.RenewBody{
		AOR: "sip:alice@lan.example", Account: key(t, "alice").Public(), Device: key(t, "alice's device").Public(),
		Node: peerA.ID, Time: 1_700_000_000_000, Exporter: exporter,
	}
}

func descriptor(t testing.TB) wire.Descriptor {
	t.Helper()
	d := wire.Descriptor{
		ID: peerA.ID, Certificate: wire.HashCertificate([]byte{0x30, 1}), Addrs: wire.FitAddrs([]netip.AddrPort{addr4, addr6}),
		Seq: 1_700_000_000_000, State: wire.NodeLeaving, Lifetime: 43_200,
	}
	return must[wire.Descriptor](t)(wire.SignDescriptor(d, "lan.example", key(t, "alice's node")))
}

func notice(t testing.TB) wire.Notice {
	t.Helper()
	n := wire.Notice{Subject: peerA.ID, Seq: 1_700_000_000_000, Witness: peerB.ID}
	return must[wire.Notice](t)(wire.SignNotice(n, "lan.example", key(t, "bob's node")))
}

func bulletin(t testing.TB) identity.SignedBulletin {
	t.Helper()
	return must[identity.SignedBulletin](t)(identity.SignBulletin(identity.Bulletin{
		Overlay: "lan.example", Kind: identity.RevokeNode, Subject: key(t, "alice's node").Public().Digest(),
		Issued: 1_700_000_000_000, Until: 1_700_000_001_000, Note: "lost",
	}, key(t, "alice"), []byte{0x30, 2}))
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// samples returns every message at least once, with every field set in one.
func samples(t testing.TB) []wire.Message {
	part := uint64(7)
	alice, aliceDev, aliceNode, bobDev := key(t, "alice"), key(t, "alice's device"), key(t, "alice's node"), key(t, "bob's device")
	invite := must[*wire.Invite](t)(wire.SignInvite(inviteBody(t), aliceDev, delegation, chain))
	return []wire.Message{
		&wire.Error{Code: wire.CodeTooMany, Reason: "too many requests", Retry: 20},
		&wire.Ack{}, &wire.Ping{}, &wire.Pong{Time: 1_700_000_000_000},
		&wire.GetTime{Nonce: nonce16}, &wire.Time{Nonce: nonce16, Now: -1},
		&wire.GetCharter{}, &wire.CharterIs{Charter: identity.SignedCharter{0xd2}},
		&wire.Challenge{Nonce: nonce16, Now: 1},
		&wire.GetBulletins{Digest: nonce32, After: exporter, Want: []identity.BulletinID{nonce32}},
		&wire.Bulletins{IDs: []identity.BulletinID{nonce32, exporter}},
		&wire.Bulletins{Items: []identity.SignedBulletin{bulletin(t), {Signed: []byte{0xd2}, Chain: chain}}},
		&wire.Post{Items: []identity.SignedBulletin{bulletin(t)}},
		&wire.GetState{}, &wire.GetState{Seen: 1 << 63}, &wire.Unchanged{}, &wire.Changed{Order: []byte{1, 3, wire.NewPeer}, New: []wire.Peer{peerB}},
		&wire.Gossip{Groups: []wire.News{
			{From: peerB.ID, Until: peerA.ID, Descs: []wire.Descriptor{descriptor(t)}, Notices: []wire.Notice{notice(t)}}, {Until: peerB.ID},
		}},
		&wire.Doubt{Notice: notice(t)},
		&wire.GetMembers{From: peerA.ID, To: peerB.ID, Digests: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Most: 384},
		&wire.Members{Known: 1000, Share: 1024, Session: 10_440, Descs: []wire.Descriptor{descriptor(t)}},
		&wire.GetCertificates{Hashes: []wire.CertHash{fill[wire.CertHash](0xc1), fill[wire.CertHash](0xc2)}},
		&wire.Certificates{Issuers: [][]byte{{0x30, 2}}, Nodes: [][]byte{{0x30, 1}, {0x30, 3}}},
		&wire.State{Self: peerA, Pred: &peerB, Succ: []wire.Peer{peerB, peerA}}, &wire.State{},
		&wire.Find{Target: peerA.ID}, &wire.Found{Done: true, Peers: []wire.Peer{peerA}},
		&wire.Join{Self: peerA},
		&wire.Joined{Accepted: true, Pred: &peerA, Succ: []wire.Peer{peerB}, Closer: []wire.Peer{peerA}},
		&wire.Notify{Self: peerB}, &wire.Leave{Self: peerA, Pred: &peerB, Succ: []wire.Peer{peerB}},
		&wire.Store{Position: peerA.ID, Record: rec}, &wire.Stored{Outcome: 1, Seq: 1 << 40},
		&wire.StoreMany{Items: []wire.Placed{{Position: peerA.ID, Record: rec}, {Position: peerB.ID, Record: rec}}},
		&wire.StoredMany{Outcomes: []byte{1, 2}},
		&wire.Fetch{Position: peerA.ID, Resource: peerB.ID, Part: &part}, &wire.Fetch{},
		&wire.Fetched{Records: []record.Record{rec, rec}, Pred: &peerA, Succ0: &peerB}, &wire.Fetched{},
		&wire.Offer{Items: []wire.Offered{{Position: peerA.ID, Resource: peerB.ID, Part: 3, Seq: 1 << 40, Digest: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}}},
		&wire.Wanted{Answers: []byte{wire.WantedYes, wire.WantedSame}},
		&wire.DialBack{Addrs: []netip.AddrPort{addr4, addr6}, Padding: make([]byte, 8)},
		&wire.Dialed{Reached: []netip.AddrPort{addr4}, Silent: []netip.AddrPort{addr6}, Others: []wire.Peer{peerA}},
		&wire.Attach{For: 180}, &wire.Attached{For: 120, Addrs: []netip.AddrPort{addr4}},
		&wire.EnrolStart{},
		&wire.EnrolChallenge{Nonce: nonce32, Charter: identity.SignedCharter{0xd2}, Root: []byte{0x30, 1}, Issuer: []byte{0x30, 2}, Open: true},
		must[*wire.Register](t)(wire.SignRegister(registerBody(t), &alice, aliceDev, aliceNode)),
		&wire.Registered{
			Node: []byte{0x30, 3}, Account: []byte{0x30, 4}, Issuer: []byte{0x30, 2}, Charter: identity.SignedCharter{0xd2},
			Part: 1, Shares: []record.Record{rec, rec}, Lookup: &rec, Number: &rec, Peers: []wire.Peer{peerA}, Delegation: delegation,
		},
		must[*wire.Renew](t)(wire.SignRenew(renewBody(t), alice)),
		&wire.Delegate{
			AOR: "sip:alice@lan.example", Device: bobDev.Public(), NodeKey: aliceNode.Public(), Node: peerA.ID, Part: 2,
			Nonce: nonce32, Invitation: sha256.Sum256(invitation),
			MAC: wire.InvitationMAC(invitation, bobDev.Public(), aliceNode.Public(), nonce32),
		},
		&wire.Delegated{Delegation: delegation},
		must[*wire.Rotate](t)(wire.SignRotate(rotateBody(t), aliceDev, bobDev)),
		&wire.Vouch{Resource: peerB.ID, Part: 7, Nonce: nonce32},
		&wire.Vouched{Outcome: wire.VouchedNot, Statement: must[[]byte](t)(wire.SignStatement(statement, "lan.example", key(t, "alice's node")))},
		&wire.Peek{Position: peerA.ID, Resource: peerB.ID, Part: 7, Seq: 1 << 40, Holder: peerA.ID, Nonce: nonce32},
		&wire.Accuse{Proof: []byte{0x84}},
		invite,
		must[*wire.Redirect](t)(wire.SignRedirect(redirectBody(t), bobDev, delegation, chain)),
		&wire.Carry{Token: nonce16}, &wire.CarryFrame{Data: []byte("INVITE")},
		must[*wire.Text](t)(wire.SignText(textBody(t), aliceDev, delegation, chain)),
		must[*wire.TextAck](t)(wire.SignTextAck(textAckBody(t), bobDev, delegation, chain)),
		&wire.Protect{Token: nonce16, Proof: nonce32},
		&wire.Reattach{Call: nonce16, Turn: 3, Received: 300, Proof: nonce32},
		&wire.Reattached{Received: 7, Proof: nonce32},
		&wire.Punch{Addrs: []netip.AddrPort{addr4, addr6}, Padding: make([]byte, 8)},
		&wire.Punched{Addrs: []netip.AddrPort{addr4}},
		&wire.Pass{To: peerA.ID, Box: []byte{1, 2, 3}}, &wire.Turn{Box: []byte{1, 2, 3}}, &wire.Ask{Box: []byte{4, 5, 6}}, &wire.Passed{Box: []byte{7, 8, 9}},
	}
}
