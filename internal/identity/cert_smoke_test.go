package identity

import (
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	now := time.Now()
	root, _ := GenerateKey()
	ik, _ := GenerateKey()
	ak, _ := GenerateKey()
	rd, err := NewRootCertificate(root, "lan.example", now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := IssueIssuerCertificate(root, rd, ik.Public(), now)
	if err != nil {
		t.Fatal(err)
	}
	is, err := NewIssuer(ik, id)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrust(rd, DefaultCharter("lan.example", root.Public(), now))
	if err != nil {
		t.Fatal(err)
	}
	n, err := is.IssueNode(NodeParams{Key: ak.Public(), ID: HashID("x"), Overlay: "lan.example", Owner: NewOwnerTag(), Bootstrap: true, NotBefore: now, NotAfter: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := tr.VerifyNode([][]byte{n, id}, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(len(rd), len(id), len(n), nc.ID)
	a, err := NewAOR("jürgen", "lan.example")
	if err != nil {
		t.Fatal(err)
	}
	ad, err := is.IssueAccount(AccountParams{Key: ak.Public(), AOR: a, Number: "101", Version: 1, Owner: NewOwnerTag(), NotBefore: now, NotAfter: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ac, err := tr.VerifyAccount([][]byte{ad, id, rd}, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(len(ad), ac.AOR, ac.Number)
}
