package record

import (
	"crypto/sha256"
	"math/bits"
)

// The Merkle tree of RFC 9162 §2.1, as Certificate Transparency hashes it: the
// first byte keeps a leaf from being taken for a node.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

type treeHash = [sha256.Size]byte

func leafHash(data []byte) treeHash {
	h := sha256.New()
	h.Write([]byte{leafPrefix})
	h.Write(data)
	return treeHash(h.Sum(nil))
}

func nodeHash(left, right []byte) treeHash {
	var b [1 + 2*sha256.Size]byte
	b[0] = nodePrefix
	copy(b[1:], left)
	copy(b[1+sha256.Size:], right)
	return sha256.Sum256(b[:])
}

// treeRoot returns the root of the tree over leaves, one at least.
func treeRoot(leaves []treeHash) treeHash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := leftHalf(len(leaves))
	left, right := treeRoot(leaves[:k]), treeRoot(leaves[k:])
	return nodeHash(left[:], right[:])
}

// leftHalf is the largest power of two below n, 2 or more: how many leaves stand
// to the left of the root.
func leftHalf(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// treePath appends to dst the hashes that lead from leaf i to the root (RFC 9162
// §2.1.3.1).
func treePath(dst []byte, leaves []treeHash, i int) []byte {
	if len(leaves) == 1 {
		return dst
	}
	var other treeHash
	if k := leftHalf(len(leaves)); i < k {
		dst, other = treePath(dst, leaves[:k], i), treeRoot(leaves[k:])
	} else {
		dst, other = treePath(dst, leaves[k:], i-k), treeRoot(leaves[:k])
	}
	return append(dst, other[:]...)
}

// rootFrom returns the root to which path leads from leaf i of size (RFC 9162
// §2.1.3.2), and whether path has just as many hashes as it must.
func rootFrom(leaf treeHash, i, size int, path []byte) (treeHash, bool) {
	if i < 0 || i >= size || len(path)%sha256.Size != 0 {
		return treeHash{}, false
	}
	at, last, root := i, size-1, leaf
	for ; len(path) > 0; path = path[sha256.Size:] {
		if last == 0 {
			return treeHash{}, false
		}
		next := path[:sha256.Size]
		if at&1 == 1 || at == last {
			root = nodeHash(next, root[:])
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			root = nodeHash(root[:], next)
		}
		at, last = at>>1, last>>1
	}
	return root, last == 0
}
