package identity_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestComparisonNumber(t *testing.T) {
	root := testKey(t, 1).Public()
	alice := identity.Party{AOR: mustAOR(t, "alice", "lan.example"), Key: testKey(t, 2).Public()}
	bob := identity.Party{AOR: mustAOR(t, "bob", "lan.example"), Key: testKey(t, 3).Public()}
	number := identity.ComparisonNumber(root, alice, bob)
	const want = "36125 01562 08542 65568 34396 27035 68593 19608 12364 21494 42151 78140"
	if number != want || identity.ComparisonNumber(root, bob, alice) != want {
		t.Errorf("%q, want %q", number, want)
	}
	if !identity.SameNumber(number, strings.ReplaceAll(number, " ", "-")) || identity.SameNumber(number, number[1:]) || identity.SameNumber("", "") {
		t.Error("SameNumber")
	}
	other := bob
	other.Key = testKey(t, 4).Public()
	renamed := bob
	renamed.AOR = mustAOR(t, "bob", "other.example")
	for _, n := range []string{
		identity.ComparisonNumber(root, alice, other), identity.ComparisonNumber(root, alice, renamed),
		identity.ComparisonNumber(testKey(t, 5).Public(), alice, bob),
	} {
		if n == number {
			t.Error("another key, name or overlay, and the same number")
		}
	}
	if !bob.Key.SameFingerprint(strings.ToUpper(strings.ReplaceAll(bob.Key.Fingerprint(), "-", " "))) || bob.Key.SameFingerprint("") {
		t.Error("SameFingerprint")
	}
}

// TestMatrixF2InTheMiddle: somebody between alice and bob, who has both believe
// a key of his own choice, tries keys until their numbers are the same. How many
// leading digits he gets is what chance gives, far from the 30 of each half.
func TestMatrixF2InTheMiddle(t *testing.T) {
	const tries = 1 << 14
	root := testKey(t, 1).Public()
	alice := identity.Party{AOR: mustAOR(t, "alice", "lan.example"), Key: testKey(t, 2).Public()}
	bob := identity.Party{AOR: mustAOR(t, "bob", "lan.example"), Key: testKey(t, 3).Public()}
	wanted := strings.ReplaceAll(identity.ComparisonNumber(root, alice, bob), " ", "")
	best, ground := 0, 0
	mallory := bob // as alice sees bob
	for i := range uint64(tries) {
		binary.BigEndian.PutUint64(mallory.Key[:], i) // any point is good enough for counting digits
		seen := strings.ReplaceAll(identity.ComparisonNumber(root, alice, mallory), " ", "")[identity.HalfDigits:]
		same := 0
		for same < len(seen) && seen[same] == wanted[identity.HalfDigits+same] {
			same++
		}
		best = max(best, same)
		ground++
	}
	t.Logf("matrix: F2 digits of %d that %d keys can match: %d", identity.HalfDigits, ground, best)
	if ground == 0 || best < 3 || best > 12 {
		t.Errorf("%d digits with %d keys: chance gives five", best, ground)
	}
}
