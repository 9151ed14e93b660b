package adapter_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/seal"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// thief reads stolen folders byte by byte.
type thief struct {
	files int
	forms [][]byte // of every secret there is
	hits  []string
}

// learn finds what is worth stealing in a folder in the clear, and writes it
// down in every form that a file may have it in.
func (th *thief) learn(t *testing.T, dir string) (keys int) {
	t.Helper()
	for _, data := range readAll(t, dir) {
		for _, text := range regexp.MustCompile(`p2psip-key1[a-z2-7]{58}`).FindAll(data, -1) {
			key, err := identity.ParsePrivateKey(string(text))
			if err != nil {
				t.Fatal(err)
			}
			keys++
			th.forms = append(th.forms, text)
			th.secret(key.Ed25519().Seed())
			th.secret(key.Ed25519())
		}
	}
	return keys
}

func (th *thief) secret(raw []byte) {
	th.forms = append(th.forms, raw, []byte(hex.EncodeToString(raw)), bytes.ToUpper([]byte(hex.EncodeToString(raw))),
		bytes.TrimRight([]byte(base64.StdEncoding.EncodeToString(raw)), "="), []byte(base64.RawURLEncoding.EncodeToString(raw)),
		bytes.TrimRight([]byte(base32.StdEncoding.EncodeToString(raw)), "="), bytes.ToLower([]byte(base32.HexEncoding.EncodeToString(raw))))
}

// scan looks for all of it.
func (th *thief) scan(t *testing.T, dir string) {
	t.Helper()
	for path, data := range readAll(t, dir) {
		th.files++
		for _, form := range th.forms {
			if bytes.Contains(data, form) {
				th.hits = append(th.hits, path)
				break
			}
		}
	}
}

func readAll(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// names returns the values and keys of a stolen state file, and the files
// beside it, that show a name. What the node keeps for the ring is left out:
// those names are not its contacts'.
func names(t *testing.T, dir, file, name string) (found []string) {
	t.Helper()
	for path, data := range readAll(t, dir) {
		if filepath.Base(path) != file && bytes.Contains(data, []byte(name)) {
			found = append(found, path)
		}
	}
	db, err := bbolt.Open(filepath.Join(dir, file), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bbolt.Bucket) error {
			if string(bucket) == "records" {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				if bytes.Contains(k, []byte(name)) || bytes.Contains(v, []byte(name)) {
					found = append(found, string(bucket)+": "+string(k))
				}
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A thief takes the state folders of a bootstrap server and of two adapters
// that have called each other: one sealed from its first start on, the others
// after they had run in the clear. No file holds a private key in any form, nor
// an invitation, nor the name of a contact. The same thief finds all of them in
// the folders whose passphrase was removed.
func TestMatrixH7StolenFolderHasNoKey(t *testing.T) {
	t.Parallel()
	const phrase = "a phrase to keep"
	cheap := seal.Params{Passes: 1, Memory: 64, Lanes: 1}
	given := seal.Source{Configured: func() ([]byte, error) { return []byte(phrase), nil }, Params: cheap}
	var server string
	l := testnet.New(t, func(c *bootstrap.Config) { server = c.State })
	a := l.Add("alice", func(c *adapter.Config) { c.Passphrase = given })
	b := l.Add("bob", nil)
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	if out := dial(t, alice, "bob"); out.Status != 200 {
		t.Fatalf("%+v", out)
	}
	answered(t, bob)
	if out := dial(t, bob, "alice"); out.Status != 200 {
		t.Fatalf("%+v", out)
	}
	for _, m := range []*testnet.Member{a, b} {
		m.Stop(t)
	}
	l.Server.Stop(t)
	folders := []node.StateFile{adapter.State(a.State()), adapter.State(b.State()), bootstrap.State(server)}
	for _, f := range folders[1:] {
		if err := node.SetPassphrase(f, []byte(phrase), cheap); err != nil {
			t.Fatal(err)
		}
	}
	stolen := make([]string, len(folders))
	for i, f := range folders {
		stolen[i] = filepath.Join(t.TempDir(), "stolen")
		if err := os.CopyFS(stolen[i], os.DirFS(filepath.Dir(f.Path))); err != nil {
			t.Fatal(err)
		}
		for _, guess := range []string{"password", phrase + " ", "a phrase to kee"} {
			if err := node.CheckPassphrase(f, []byte(guess)); err == nil {
				t.Errorf("%q opens %s", guess, f.Path)
			}
		}
		if err := node.RemovePassphrase(f, []byte(phrase)); err != nil {
			t.Fatal(err)
		}
	}

	th := &thief{}
	for i, f := range folders {
		keys := th.learn(t, filepath.Dir(f.Path))
		if keys < 3 {
			t.Errorf("only %d keys in %s in the clear", keys, f.Path)
		}
		if contact := map[int]string{0: "bob", 1: "alice"}[i]; contact != "" {
			if found := names(t, stolen[i], adapter.StateFile, contact); len(found) > 0 {
				t.Errorf("the name of a contact is in %v", found)
			}
			if found := names(t, filepath.Dir(f.Path), adapter.StateFile, contact); len(found) < 2 {
				t.Errorf("in the clear the name of a contact is only in %v", found)
			}
		}
	}
	for _, dir := range stolen {
		th.scan(t, dir)
	}
	if len(th.hits) > 0 || th.files < 9 {
		t.Errorf("keys in %v, of %d files", th.hits, th.files)
	}
	files, sealed := th.files, len(th.hits)
	for _, f := range folders {
		th.scan(t, filepath.Dir(f.Path))
	}
	if len(th.hits) < len(folders) {
		t.Errorf("the thief finds keys in the clear only in %v", th.hits)
	}
	t.Logf("matrix: H7 keys found in %d files of 3 stolen folders, in %d forms: %d; without a passphrase in %d files", files, len(th.forms), sealed, len(th.hits)-sealed)
}
