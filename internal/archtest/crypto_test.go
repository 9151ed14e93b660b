package archtest

import (
	"fmt"
	"strings"
	"testing"
)

// broken are primitives that are no longer good enough, and who may use one
// all the same, and why.
var broken = map[string]map[string]string{
	"crypto/md5":      {"sipbridge": "RFC 2617 digests, which phones speak"},
	"crypto/sha1":     nil,
	"crypto/des":      nil,
	"crypto/rc4":      nil,
	"crypto/dsa":      nil,
	"crypto/elliptic": nil,
	"math/rand":       nil, // without /v2: its sources can be guessed from few draws
}

// ringMay is what the ring may know of cryptography: names for what it
// compares, and chance. It verifies nothing by itself.
var ringMay = []string{"crypto/sha256", "crypto/rand"}

// makers are modules outside the standard library whose primitives are used;
// any other path that speaks of cryptography is refused.
var makers = []string{"golang.org/x/crypto/", "github.com/veraison/go-cose", "github.com/hashicorp/vault/shamir"}

// cryptoViolation says why a room must not import a path of cryptography, ""
// if it may.
func cryptoViolation(room, path string) string {
	own, _ := roomOf(room)
	if rooms, bad := broken[path]; bad && rooms[own] == "" {
		return "it is broken or made for something else"
	}
	standard := path == "crypto" || strings.HasPrefix(path, "crypto/")
	if own == "chord" && (standard || strings.HasPrefix(path, "golang.org/x/crypto/")) {
		for _, may := range ringMay {
			if path == may {
				return ""
			}
		}
		return "the ring is ignorant of cryptography; what verifies is handed to it"
	}
	if standard {
		return ""
	}
	for _, word := range []string{"crypt", "cipher", "/aes", "ed25519", "curve", "blake", "sha3", "secp256", "argon", "noise", "hpke", "cose"} {
		if strings.Contains(path, word) && !strings.HasPrefix(path, module+"/") {
			for _, m := range makers {
				if strings.HasPrefix(path, m) {
					return ""
				}
			}
			return "primitives come from the standard library and golang.org/x/crypto"
		}
	}
	return ""
}

// Only standard primitives, and none in the ring: an attacker who breaks one
// must break one that everybody uses.
func TestMatrixH3StandardCryptography(t *testing.T) {
	looked, bad := 0, 0
	for _, s := range goFiles(t) {
		if s.test() {
			continue
		}
		s.imports(func(at, path string) {
			looked++
			if why := cryptoViolation(s.room(), path); why != "" {
				bad++
				t.Errorf("%s: %s must not import %s: %s", at, s.room(), path, why)
			}
		})
	}
	found := 0
	for _, attack := range []struct{ room, path string }{
		{"chord", "crypto/ed25519"}, {"chord/zave", "crypto/hmac"}, {"chord", "golang.org/x/crypto/argon2"}, {"keyshare", "crypto/md5"},
		{"adapter", "crypto/sha1"}, {"internal/link", "github.com/some/noise"}, {"internal/canon", "github.com/some/ed25519consensus"}, {"bootstrap", "math/rand"},
	} {
		if cryptoViolation(attack.room, attack.path) == "" {
			t.Errorf("%s may import %s", attack.room, attack.path)
		} else {
			found++
		}
	}
	for _, fine := range []struct{ room, path string }{
		{"sipbridge", "crypto/md5"}, {"chord", "crypto/sha256"}, {"internal/canon", "github.com/veraison/go-cose"},
		{"internal/identity", "golang.org/x/crypto/argon2"}, {"adapter", "math/rand/v2"},
	} {
		if why := cryptoViolation(fine.room, fine.path); why != "" {
			t.Error(fmt.Sprint(fine.room, " ", fine.path, ": ", why))
		}
	}
	t.Logf("matrix: H3 primitives imported against the rules: %d of %d imports; violations planted and found: %d of 8", bad, looked, found)
}
