package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// NodeIDLen is the length of a Node-ID in bytes: 128 bit, as in RELOAD
// (RFC 6940 §3.1.2).
const NodeIDLen = 16

// NodeID is a place on the ring: a number in [0, 2¹²⁸), big-endian. Node-IDs
// and resource positions share the space.
type NodeID [NodeIDLen]byte

// ParseNodeID reads 32 hexadecimal digits.
func ParseNodeID(text string) (NodeID, error) {
	var id NodeID
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != NodeIDLen {
		return id, fmt.Errorf("%w: Node-ID must be %d hexadecimal digits, not %q", ErrMalformed, 2*NodeIDLen, text)
	}
	copy(id[:], b)
	return id, nil
}

// String returns 32 hexadecimal digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first eight digits, for tables that people read.
func (id NodeID) Short() string { return hex.EncodeToString(id[:4]) }

// MarshalText implements encoding.TextMarshaler.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *NodeID) UnmarshalText(text []byte) error {
	v, err := ParseNodeID(string(text))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

// Compare orders two IDs as numbers: -1, 0 or 1.
func (id NodeID) Compare(other NodeID) int {
	ah, al := id.words()
	bh, bl := other.words()
	switch {
	case ah < bh || ah == bh && al < bl:
		return -1
	case ah == bh && al == bl:
		return 0
	}
	return 1
}

// Distance returns (to − id) mod 2¹²⁸: how far to lies clockwise from id.
func (id NodeID) Distance(to NodeID) NodeID {
	ah, al := id.words()
	bh, bl := to.words()
	l, borrow := bits.Sub64(bl, al, 0)
	h, _ := bits.Sub64(bh, ah, borrow)
	return fromWords(h, l)
}

// Add returns (id + d) mod 2¹²⁸.
func (id NodeID) Add(d NodeID) NodeID {
	ah, al := id.words()
	bh, bl := d.words()
	l, carry := bits.Add64(al, bl, 0)
	h, _ := bits.Add64(ah, bh, carry)
	return fromWords(h, l)
}

// Fraction returns ⌊i·2¹²⁸/m⌋, the offset of replica i of m in symmetric
// replication (Ghodsi, Alima, Haridi, DBISP2P 2005). It panics unless
// 0 ≤ i < m.
func Fraction(i, m int) NodeID {
	if i < 0 || i >= m {
		panic(fmt.Sprintf("identity: replica %d of %d", i, m))
	}
	h, r := bits.Div64(uint64(i), 0, uint64(m)) // i < m, so the quotient fits
	l, _ := bits.Div64(r, 0, uint64(m))
	return fromWords(h, l)
}

// HashID returns the first 128 bit of SHA-256 over the parts, each ended by a
// zero byte. No part may contain one.
func HashID(parts ...string) NodeID {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	var id NodeID
	copy(id[:], h.Sum(nil))
	return id
}

func (id NodeID) words() (hi, lo uint64) {
	return binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
}

func fromWords(hi, lo uint64) NodeID {
	var id NodeID
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id
}
