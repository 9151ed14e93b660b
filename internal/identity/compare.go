package identity

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"strings"
)

// HalfDigits is how many digits stand for one person in a comparison number.
const HalfDigits = 30

// Party is one of two people who compare their keys.
type Party struct {
	AOR AOR
	Key PublicKey
}

// ComparisonNumber returns 60 digits, in twelve groups of five, that two people
// compare by voice: equal on both sides if and only if each side has the key
// that the other one has. root is the overlay's root key.
//
// Each person has 30 digits: six groups, each of five bytes of
//
//	SHA-512("secp2psip comparison" 00 root AOR 00 key)
//
// big-endian, modulo 100,000, and the lower AOR's come first. That is the form of
// Signal's numbers. The halves are hashed apart so that somebody in the middle,
// who chooses a key towards each side, must find a second preimage of 30 given
// digits for each (2⁹⁹ tries); in one hash over both keys any collision between
// the two choices would do, at the square root of that. The hash is the same
// every time, so there is no moment at which guessing once could be enough, and
// nothing has to be exchanged before.
func ComparisonNumber(root PublicKey, a, b Party) string {
	if b.AOR.String() < a.AOR.String() {
		a, b = b, a
	}
	return strings.Join(append(half(root, a), half(root, b)...), " ")
}

func half(root PublicKey, p Party) []string {
	h := sha512.New()
	h.Write([]byte("secp2psip comparison"))
	h.Write([]byte{0})
	h.Write(root[:])
	h.Write([]byte(p.AOR.String() + "\x00"))
	h.Write(p.Key[:])
	sum := h.Sum(nil)
	groups := make([]string, HalfDigits/5)
	for i := range groups {
		five := append([]byte{0, 0, 0}, sum[5*i:5*i+5]...)
		groups[i] = fmt.Sprintf("%05d", binary.BigEndian.Uint64(five)%100_000)
	}
	return groups
}

// SameNumber tells whether two comparison numbers have the same digits, however
// they are grouped.
func SameNumber(a, b string) bool {
	return onlyDigits(a) != "" && onlyDigits(a) == onlyDigits(b)
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// SameFingerprint tells whether text is the fingerprint of the key, however it is
// grouped and whatever its case.
func (p PublicKey) SameFingerprint(text string) bool {
	strip := strings.NewReplacer("-", "", " ", "")
	return strip.Replace(strings.ToLower(text)) == strip.Replace(p.Fingerprint())
}
