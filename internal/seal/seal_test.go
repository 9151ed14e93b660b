package seal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/internal/seal"
)

// cheap is the least that a header may ask for.
func cheap() seal.Params { return seal.Params{Passes: 1, Memory: 64, Lanes: 1} }

const phrase = "correct horse"

func lock(t testing.TB, box *seal.Box) seal.Header {
	t.Helper()
	h, err := box.Lock([]byte(phrase), cheap(), false)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPassphraseOpensTheBox(t *testing.T) {
	box := seal.NewBox()
	h, err := seal.ParseHeader(lock(t, box).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Unlock([]byte(phrase))
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("the seed of a key")
	sealed := box.Seal("node key", secret)
	if bytes.Contains(sealed, secret) || bytes.Equal(sealed, box.Seal("node key", secret)) {
		t.Error("the sealed value shows what it holds")
	}
	if got, err := again.Open("node key", sealed); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := again.Open("account key", sealed); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("under another context: %v", err)
	}
	for _, wrong := range []string{"", "correct hors", "correct horse ", "Correct horse"} {
		if _, err := h.Unlock([]byte(wrong)); !errors.Is(err, seal.ErrPassphrase) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// Every bit of header and value counts: of the header also those that say what
// the passphrase costs, and that no file lies in the clear beside.
func TestEveryBitIsAuthenticated(t *testing.T) {
	box := seal.NewBox()
	text := lock(t, box).Bytes()
	for i := range text {
		for bit := range 8 {
			text[i] ^= 1 << bit
			h, err := seal.ParseHeader(text)
			if err == nil && h.Memory <= 1<<10 && h.Passes < 16 { // the others cost more and are no different
				_, err = h.Unlock([]byte(phrase))
			} else if err == nil {
				err = seal.ErrHeader
			}
			if err == nil {
				t.Errorf("bit %d of byte %d does not count", bit, i)
			}
			text[i] ^= 1 << bit
		}
	}
	sealed := box.Seal("x", []byte("value"))
	for i := range sealed {
		sealed[i] ^= 1
		if _, err := box.Open("x", sealed); !errors.Is(err, seal.ErrAltered) {
			t.Errorf("byte %d: %v", i, err)
		}
		sealed[i] ^= 1
		if _, err := box.Open("x", sealed[:i]); !errors.Is(err, seal.ErrAltered) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
}

// A forged header cannot make the program take gigabytes or minutes.
func TestForgedCostsAreRefused(t *testing.T) {
	text := lock(t, seal.NewBox()).Bytes()
	for name, forge := range map[string]func(b []byte){
		"memory": func(b []byte) { binary.BigEndian.PutUint32(b[13:], 256<<10+1) },
		"most":   func(b []byte) { binary.BigEndian.PutUint32(b[13:], 1<<32-1) },
		"none":   func(b []byte) { binary.BigEndian.PutUint32(b[13:], 0) },
		"passes": func(b []byte) { binary.BigEndian.PutUint32(b[9:], 17) },
		"zero":   func(b []byte) { binary.BigEndian.PutUint32(b[9:], 0) },
		"lanes":  func(b []byte) { b[17] = 255 },
		"state":  func(b []byte) { b[8] = 2 },
		"magic":  func(b []byte) { b[7] = '2' },
	} {
		b := bytes.Clone(text)
		forge(b)
		if _, err := seal.ParseHeader(b); !errors.Is(err, seal.ErrHeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range len(text) {
		if _, err := seal.ParseHeader(text[:n]); !errors.Is(err, seal.ErrHeader) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := (seal.Header{}).Unlock([]byte(phrase)); !errors.Is(err, seal.ErrHeader) {
		t.Errorf("the zero header: %v", err)
	}
}

func TestLines(t *testing.T) {
	box := seal.NewBox()
	line := box.SealLine("calls", []byte(`{"to":"bob"}`))
	if !seal.Sealed(line) || bytes.ContainsAny(line, "\n") {
		t.Errorf("%q", line)
	}
	if got, err := box.OpenLine("calls", line); err != nil || string(got) != `{"to":"bob"}` {
		t.Errorf("%q, %v", got, err)
	}
	var clear *seal.Box
	tests := []struct {
		box  *seal.Box
		line string
		want error
	}{
		{box, "in the clear", seal.ErrAltered}, {box, "sealed1:", seal.ErrAltered}, {box, "sealed1:!", seal.ErrAltered},
		{clear, string(line), seal.ErrLocked}, {clear, "in the clear", nil},
	}
	for _, tt := range tests {
		if _, err := tt.box.OpenLine("calls", []byte(tt.line)); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v", tt.line, err)
		}
	}
}

func TestNewPassphrases(t *testing.T) {
	for _, pass := range [][]byte{nil, []byte("1234567"), bytes.Repeat([]byte("x"), 1025)} {
		if _, err := seal.NewBox().Lock(pass, cheap(), false); !errors.Is(err, seal.ErrWeak) {
			t.Errorf("%d bytes: %v", len(pass), err)
		}
	}
	if _, err := seal.NewBox().Lock([]byte(phrase), seal.Params{Passes: 1, Memory: 1 << 20, Lanes: 1}, false); !errors.Is(err, seal.ErrHeader) {
		t.Error("a gibibyte is taken")
	}
	if _, err := (seal.Source{}).Passphrase(); !errors.Is(err, seal.ErrLocked) {
		t.Error(err)
	}
}

// FuzzHeader reads a header from a folder that somebody has tampered with.
// What parses encodes to the same bytes and asks for at most 256 MiB and 16
// passes.
func FuzzHeader(f *testing.F) {
	f.Add(lock(f, seal.NewBox()).Bytes())
	f.Add([]byte("s2pseal1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := seal.ParseHeader(b)
		if err != nil {
			return
		}
		if !bytes.Equal(h.Bytes(), b) {
			t.Errorf("%x became %x", b, h.Bytes())
		}
		if h.Memory > 256<<10 || h.Passes > 16 || h.Lanes > 16 || h.Memory < 8*uint32(h.Lanes) {
			t.Errorf("it asks for %+v", h.Params)
		}
	})
}
