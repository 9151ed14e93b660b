package bootstrap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

func config(dir string) bootstrap.Config {
	return bootstrap.Config{
		State: dir, Listen: netip.MustParseAddrPort("127.0.0.1:0"),
		Charter: identity.DefaultCharter("lan.example", identity.PublicKey{}, time.Now()),
	}
}

// wantSentence wants an error of one line that names what it is about and says
// what to do.
func wantSentence(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not mention %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is not one line", err)
	}
}

func TestStateFolderTroubles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	s, stop := run(t, func(c *bootstrap.Config) { c.State = dir })
	_, err := bootstrap.New(config(dir))
	wantSentence(t, err, "in use", dir, "--state")
	invite(t, s, bootstrap.InviteParams{User: "bob"})
	stop()
	file := filepath.Join(dir, bootstrap.StateFile)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := config(dir)
	other.Charter.Overlay = "other.example"
	_, err = bootstrap.New(other)
	wantSentence(t, err, "other.example", "lan.example", "--state")

	garbage := bytes.Repeat([]byte("garbage "), 4096)
	for name, damaged := range map[string][]byte{
		"garbage": garbage, "text": []byte("hello\n"), "one byte": whole[:1], "a head": whole[:4096], "both heads": whole[:8192],
		"some pages": whole[:4*4096], "the middle overwritten": overwrite(whole, 3*4096, len(whole)-3*4096),
		"heads overwritten": overwrite(whole, 0, 8192),
	} {
		dir := filepath.Join(t.TempDir(), "state") // bbolt may keep its lock on a file at which it has panicked
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, bootstrap.StateFile)
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := bootstrap.New(config(dir))
		if err == nil {
			t.Errorf("%s: taken for a state", name)
			continue
		}
		wantSentence(t, err, "restore", bootstrap.StateFile)
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, damaged) {
			t.Errorf("%s: the damaged file was changed", name)
		}
	}
	_, _ = run(t, func(c *bootstrap.Config) { c.State = dir })
}

func overwrite(b []byte, at, n int) []byte {
	b = bytes.Clone(b)
	for i := at; i < at+n; i++ {
		b[i] = 0xff
	}
	return b
}

func TestPortTroubles(t *testing.T) {
	t.Parallel()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	for listen, parts := range map[string][]string{
		sock.LocalAddr().String(): {"in use", sock.LocalAddr().String(), "--listen"},
		"192.0.2.1:5870":          {"192.0.2.1", "--listen"},
	} {
		cfg := config(filepath.Join(t.TempDir(), "state"))
		cfg.Listen = netip.MustParseAddrPort(listen)
		s, err := bootstrap.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		err = s.Run(ctx)
		if ctx.Err() != nil {
			t.Errorf("%s: the server runs", listen)
		}
		cancel()
		wantSentence(t, err, parts...)
	}
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	s, stop := run(t, nil)
	bob := newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "bob"}))
	if _, err := bob.enrol(t, s); err != nil {
		t.Fatal(err)
	}
	secret := invite(t, s, bootstrap.InviteParams{User: "carol"})
	var copied bytes.Buffer
	if err := s.Backup(&copied); err != nil {
		t.Fatal(err)
	}
	print := s.Fingerprint()
	stop()
	dir := t.TempDir()
	file := filepath.Join(dir, "backup")
	if err := os.WriteFile(file, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	if err := bootstrap.Restore(file, state); err != nil {
		t.Fatal(err)
	}
	wantSentence(t, bootstrap.Restore(file, state), "exists", "--state")
	if left, err := filepath.Glob(filepath.Join(state, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	again, _ := run(t, func(c *bootstrap.Config) { c.State = state })
	if again.Fingerprint() != print {
		t.Error("another overlay came back")
	}
	if _, err := bob.enrol(t, again); err != nil {
		t.Errorf("bob is forgotten: %v", err)
	}
	if _, err := newNewcomer(t, "bob", secret).enrol(t, again); err == nil {
		t.Error("bob's name is free again")
	}
	if _, err := newNewcomer(t, "carol", secret).enrol(t, again); err != nil {
		t.Errorf("an open invitation is forgotten: %v", err)
	}
	whole := copied.Bytes()
	for name, bad := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "cut short": whole[:4*4096], "a byte too short": whole[:used(t, file)-1],
		"overwritten": overwrite(whole, 2*4096, len(whole)-2*4096), "a state of something else": emptyState(t),
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(dir, "other")
		wantSentence(t, bootstrap.Restore(file, other), "no backup")
		if _, err := os.Stat(filepath.Join(other, bootstrap.StateFile)); err == nil {
			t.Errorf("%s: a state was made of it", name)
		}
	}
	wantSentence(t, bootstrap.Restore(filepath.Join(dir, "missing"), state), "missing")
}

// used is how long a state file must be.
func used(t *testing.T, file string) (n int) {
	t.Helper()
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_ = db.View(func(tx *bbolt.Tx) error { n = int(tx.Size()); return nil })
	return n
}

// TestRootKeyGoesOffline: after it was forgotten and the server restarted, no
// trace of it is in the state file, nor ever in a backup; with the exported
// file the issuing key is renewed.
func TestRootKeyGoesOffline(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	same := func(c *bootstrap.Config) { c.State = dir }
	s, stop := run(t, same)
	root := func(s *bootstrap.Server, request string) (map[string]any, error) {
		t.Helper()
		answer, err := s.Handlers()["root"](t.Context(), json.RawMessage(request))
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			File    []byte `json:"file"`
			Offline bool   `json:"offline"`
		}
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatal(err)
		}
		return map[string]any{"file": out.File, "offline": out.Offline}, nil
	}
	exported, err := root(s, `{}`)
	if err != nil {
		t.Fatal(err)
	}
	key := exported["file"].([]byte)
	secret := bytes.TrimSpace(key)
	if _, err := identity.ParsePrivateKey(string(secret)); err != nil {
		t.Fatal(err)
	}
	if _, err := root(s, `{"forget":true,"proof":"00"}`); err == nil {
		t.Error("the root key is forgotten without a proof that there is a copy")
	}
	if out, err := root(s, `{"forget":true,"proof":"`+hexSum(key)+`"}`); err != nil || out["offline"] != true {
		t.Fatalf("%v, %v", out, err)
	}
	for name, request := range map[string]string{"exported": `{}`, "forgotten": `{"forget":true,"proof":"` + hexSum(key) + `"}`} {
		if _, err := root(s, request); err == nil {
			t.Errorf("a key that is offline is %s again", name)
		}
	}
	var backup bytes.Buffer
	if err := s.Backup(&backup); err != nil || bytes.Contains(backup.Bytes(), secret) {
		t.Errorf("a backup still holds the root key (%v)", err)
	}
	stop()
	s, stop = run(t, same)
	file, err := os.ReadFile(filepath.Join(dir, bootstrap.StateFile))
	if err != nil || bytes.Contains(file, secret) {
		t.Errorf("the state file still holds the root key after a restart (%v)", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.compact")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if !s.Status().Enrolment.RootOffline {
		t.Error("the status does not say that the root key is offline")
	}
	stranger, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	use := func(file []byte) string {
		text, err := json.Marshal(map[string][]byte{"use": file})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if _, err := root(s, use([]byte(stranger.Secret()))); err == nil {
		t.Error("another key renews the issuing certificate")
	}
	if out, err := root(s, use(key)); err != nil || out["offline"] != true {
		t.Errorf("the exported key does not renew the issuing certificate: %v, %v", out, err)
	}
	if _, err := newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "bob"})).enrol(t, s); err != nil {
		t.Errorf("with the root key offline nobody can enrol: %v", err)
	}
	stop()
	if file, err = os.ReadFile(filepath.Join(dir, bootstrap.StateFile)); err != nil || bytes.Contains(file, secret) {
		t.Error("using the root key has left it in the state file")
	}
}

// TestFullDisk: nothing is promised that is not kept, and all works again when
// there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s, _ := run(t, nil)
	secret := invite(t, s, bootstrap.InviteParams{User: "bob"})
	bob := newNewcomer(t, "bob", secret)
	s.FillDisk(true)
	var err error
	for i := 0; err == nil && i < 2000; i++ { // until the room that the file has is used up
		_, _, err = s.Invite(bootstrap.InviteParams{User: fmt.Sprintf("carol%d", i)})
	}
	wantSentence(t, err, "disk full")
	_, err = bob.enrol(t, s)
	wantRefused(t, err, wire.CodeInternal)
	wantSentence(t, err, "operator")
	if names := s.Status().Enrolment.Names; names != 0 {
		t.Errorf("%d names are enrolled", names)
	}
	s.FillDisk(false)
	if _, err := bob.enrol(t, s); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}
