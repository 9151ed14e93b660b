package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"secp2psip": main})
}

// The scripts in testdata run the program as a person would. Beside
// testscript's own commands they have
//
//	exits CODE PROGRAM ARGS…  run the program; fail unless it exits with CODE
//	await PHASE FOLDER        wait until the daemon there is in a phase
//	serve KIND FOLDER         answer on the admin socket there as a daemon of KIND
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await": await,
			"exits": exits,
			"serve": serve,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			return nil
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// awaitLimit bounds how long a daemon may take on a busy machine.
const awaitLimit = 30 * time.Second

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await PHASE FOLDER")
	}
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var s admin.Status
		err := admin.Dial(ts.MkAbs(args[1])).Call(ctx, admin.MethodStatus, nil, &s)
		if err == nil && s.Phase == args[0] {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			ts.Fatalf("the daemon is %q after %v: %v", s.Phase, awaitLimit, err)
		}
	}
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve KIND FOLDER")
	}
	dir := ts.MkAbs(args[1])
	ts.Check(identity.MakeStateDir(dir))
	handlers := adapterHandlers(dir)
	if args[0] == admin.KindBootstrap {
		handlers = bootstrapHandlers()
	}
	s, err := admin.Listen(dir)
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, handlers) }()
	ts.Defer(func() {
		cancel()
		if err := <-done; err != nil {
			ts.Logf("admin server: %v", err)
		}
	})
}

func nodeID(first byte) identity.NodeID { return identity.NodeID{first, 0xcd, 0xef} }

// always answers every request with the same result.
func always(res any) admin.Handler {
	return func(context.Context, json.RawMessage) (any, error) { return res, nil }
}

func adapterHandlers(dir string) admin.Handlers {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	return admin.Handlers{
		admin.MethodStatus: always(admin.Status{
			Kind: admin.KindAdapter, Version: "1.2.3", Overlay: "lan.example", NodeID: nodeID(0xab), State: dir,
			Listen: "[::]:5871", Advertised: []string{"192.0.2.9:5871"}, UptimeSeconds: 3723, Phase: "joined",
			ClockOffsetMS: -12, ClockSynced: true,
			Ring: admin.Ring{Phase: "joined", Members: 3, SmallRing: true,
				Pred: &admin.Neighbour{ID: nodeID(0x01)}, Succ: []admin.Neighbour{{ID: nodeID(0xfe)}, {ID: nodeID(0x01)}}},
			SIP: []string{"udp:127.0.0.1:5060"},
			Accounts: []admin.Account{{AOR: "sip:alice@lan.example", Number: "101", Fingerprint: "abcd", Enrolled: true, Published: true, CertificateExpires: at,
				Phones: []admin.Phone{
					{Contact: "sip:alice@127.0.0.1:5062", UserAgent: "evil\x1b[2Jphone", Expires: at, DirectWhy: "the phone listens on 127.0.0.1 only"},
					{Contact: "sip:alice@192.0.2.9:5070", Expires: at, Direct: "sip:alice@192.0.2.9:5070"},
				}}},
			Calls: []admin.Call{
				{Time: at, Direction: admin.CallOut, From: "alice", To: "bob", Path: "direct", Status: 302, SetupMS: 3.217, SharesUsed: 4, Verified: true},
				{Time: at, Direction: admin.CallOut, From: "alice", To: "carol", Status: 480, Reason: "carol's phone is off", SetupMS: 12},
			},
			Live: []admin.LiveCall{{Started: at, Direction: admin.CallOut, From: "alice", To: "bob", Path: "protected", State: "answered", Peer: "192.0.2.8", Key: "efgh-ijkl",
				Media: &admin.Media{RTTMS: 1.25, Sent: admin.MediaFlow{Packets: 100, Bytes: 17200, Lost: 7, JitterMS: 0.5}, Received: admin.MediaFlow{Packets: 90, Bytes: 34400, Lost: 3, JitterMS: 2}}}},
			Refusals: map[string]uint64{"link/rate": 3},
			Warnings: []string{"certificates end soon"},
		}),
		admin.MethodLookup:  admin.Handle(lookup),
		admin.MethodAccept:  admin.Handle(accept),
		admin.MethodVisible: admin.Handle(visible),
		admin.MethodCallers: admin.Handle(callers),
		admin.MethodCalls:   always(admin.Stream(func(w io.Writer) error { _, err := io.WriteString(w, "{\"from\":\"bob\"}\n"); return err })),
		admin.MethodVerify:  admin.Handle(verify),
		admin.MethodRotate: admin.Handle(func(_ context.Context, r admin.RotateRequest) (admin.RotateResult, error) {
			res := admin.RotateResult{AOR: "sip:alice@lan.example", Old: "abcd", New: "efgh", KeyVersion: 2}
			if *r.OverlapSeconds > 86400 {
				return res, admin.Errorf(admin.CodeBadRequest, "too long")
			}
			return res, nil
		}),
		admin.MethodDevices: always(admin.Devices{Devices: []admin.PersonDevice{
			{User: "alice", Fingerprint: "1111", Node: nodeID(0xab).String(), Here: true, Account: true, Seen: at},
			{User: "alice", Number: 1, Name: "mobile", Fingerprint: "2222", Node: nodeID(0xac).String()},
		}}),
		admin.MethodDoctor: always(admin.DoctorReport{Checks: []admin.Check{
			{Name: "ring", Result: admin.CheckOK, Detail: "3 members"},
			{Name: "clock", Result: admin.CheckWarn, Detail: "off by 2 h", Mend: "set this host's clock"},
			{Name: "phone", Result: admin.CheckFail, Detail: "no phone is registered", Mend: "set the phone's registrar to 127.0.0.1"},
		}}),
	}
}

// visible shows what it was asked.
func visible(_ context.Context, r admin.VisibleRequest) (admin.Visible, error) {
	v := admin.Visible{Account: "alice", Everybody: !r.Change || r.Everybody, Readers: []admin.Reader{}}
	for _, name := range r.Readers {
		if name == "nobody" {
			return v, admin.Errorf(admin.CodeNotFound, "the key of nobody cannot be had")
		}
		v.Readers = append(v.Readers, admin.Reader{AOR: "sip:" + name + "@lan.example", Fingerprint: "abcd-efgh"})
	}
	return v, nil
}

// callers shows what it was asked.
func callers(_ context.Context, r admin.CallersRequest) (admin.Callers, error) {
	if r.Account == "eve" {
		return admin.Callers{}, admin.Errorf(admin.CodeBadRequest, "this adapter serves alice, bob").WithHint("say which one with --account")
	}
	c := admin.Callers{Account: "alice", Only: admin.CallersAnybody, Rules: []admin.CallerRule{}, Contacts: []string{"sip:bob@lan.example"}, Refused: 7}
	switch r.Do {
	case admin.CallersContacts:
		c.Only, c.Quiet = r.Do, r.Quiet
	case admin.CallersBlock, admin.CallersAllow:
		c.Rules = append(c.Rules, admin.CallerRule{Who: r.Who, Allow: r.Do == admin.CallersAllow, Quiet: r.Quiet})
	}
	return c, nil
}

func accept(_ context.Context, r admin.AcceptRequest) (admin.AcceptResult, error) {
	if r.Name != "bob" {
		return admin.AcceptResult{}, admin.Errorf(admin.CodeNotFound, "the key of %s has not changed", r.Name)
	}
	res := admin.AcceptResult{Accepted: r.Fingerprint == "abcd-efgh", ChangedKey: admin.ChangedKey{
		AOR: "sip:bob@lan.example", OldFingerprint: "1234-5678", OldVersion: 1, NewFingerprint: "abcd-efgh", NewVersion: 2,
		Seen: []admin.Sighting{{Kind: "share", X: 3, Node: nodeID(0x23), Owner: "aabb"}},
	}}
	if r.Fingerprint != "" && !res.Accepted {
		return res, admin.Errorf(admin.CodeRefused, "that is not the fingerprint")
	}
	return res, nil
}

func verify(_ context.Context, r admin.VerifyRequest) (admin.VerifyResult, error) {
	res := admin.VerifyResult{AOR: "sip:bob@lan.example", Own: "sip:alice@lan.example", Number: strings.Repeat("12345 ", 11) + "67890"}
	if r.Number != "" && !identity.SameNumber(r.Number, res.Number) {
		return res, admin.Errorf(admin.CodeRefused, "that is another number")
	}
	return res, nil
}

func lookup(_ context.Context, r admin.LookupRequest) (admin.LookupResult, error) {
	res := admin.LookupResult{
		Asked: r.Name, Outcome: admin.OutcomeVerified, AOR: "sip:bob@lan.example", Number: "102", Key: "p2psip-pub1xyz", Fingerprint: "1234 5678", KeyVersion: 1,
		Devices: []admin.Device{{Node: nodeID(0xbb), Addrs: []string{"192.0.2.8:5871"}}},
		Evidence: admin.Evidence{K: 4, N: 10, SharesUsed: []int{1, 3, 5, 9}, DistinctOwners: 3, ElapsedMS: 2.5,
			Positions: []admin.Position{
				{Kind: "keyshare", Index: 2, At: nodeID(0x22), Holder: nodeID(0x23), Owner: "aabb", Outcome: "found", RTTMS: 0.31},
				{Kind: "keyshare", Index: 3, At: nodeID(0x33), Outcome: "timeout"},
			},
			BadShares: []admin.BadShare{{X: 7, Holder: nodeID(0x77), Reason: "bad_signature"}}},
	}
	switch r.Name {
	case "nobody":
		res = admin.LookupResult{Asked: r.Name, Outcome: admin.OutcomeNotFound, Message: `nobody has the name "nobody"`}
	case "mallory":
		res.Outcome, res.Message = admin.OutcomeKeyChanged, "the key is another than the one seen before"
	case "far":
		res = admin.LookupResult{Asked: r.Name, Outcome: admin.OutcomeRingDown, Message: "no other node can be reached"}
	case "@":
		return res, admin.Errorf(admin.CodeBadRequest, `"@" is not a name`)
	}
	return res, nil
}

func bootstrapHandlers() admin.Handlers {
	const file = "the root key's file\n"
	at := time.Date(2027, 5, 4, 12, 0, 0, 0, time.UTC)
	offline := false
	return admin.Handlers{
		admin.MethodInvite: admin.Handle(func(_ context.Context, r admin.InviteRequest) (admin.InviteResult, error) {
			if r.User == "taken" {
				return admin.InviteResult{}, admin.Errorf(admin.CodeRefused, `the name "taken" is enrolled`).WithHint("choose another")
			}
			return admin.InviteResult{Link: "secp2psip://192.0.2.1:5870/lan.example#v1.xyz." + r.User,
				AOR: "sip:" + r.User + "@lan.example", Number: r.Number, Devices: r.Devices, Expires: time.Unix(r.ExpiresSeconds, 0).UTC()}, nil
		}),
		admin.MethodPeople: always(admin.People{People: []admin.Person{{AOR: "sip:bob@lan.example", Fingerprint: "1234", KeyVersion: 1, Devices: 2, Enrolled: at, CertificateExpires: at}}}),
		admin.MethodBackup: always(admin.Stream(func(w io.Writer) error { _, err := io.WriteString(w, "the backup\n"); return err })),
		admin.MethodRoot: admin.Handle(func(_ context.Context, r admin.RootRequest) (admin.RootResult, error) {
			sum := sha256.Sum256([]byte(file))
			res := admin.RootResult{Fingerprint: "beef", IssuerExpires: at}
			switch {
			case r.Forget && r.Proof != hex.EncodeToString(sum[:]):
				return res, admin.Errorf(admin.CodeRefused, "the proof is wrong")
			case r.Forget:
				offline = true
			case r.Use != nil && string(r.Use) != file:
				return res, admin.Errorf(admin.CodeRefused, "this is not the root key of this overlay")
			case r.Use == nil && !offline:
				res.File = []byte(file)
			}
			res.Offline = offline
			return res, nil
		}),
	}
}
