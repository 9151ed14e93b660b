package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The leaves and roots with which the implementations of Certificate Transparency
// are tested.
func TestTreeVectors(t *testing.T) {
	inputs := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var leaves []treeHash
	for i, in := range inputs {
		raw, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leafHash(raw))
		if got := treeRoot(leaves); hex.EncodeToString(got[:]) != roots[i] {
			t.Errorf("root of %d leaves: %x", i+1, got)
		}
	}
}

// From every leaf of every tree one path leads to the root: as many hashes as the
// tree has levels there, in this place, of this size and with these bytes.
func TestTreePaths(t *testing.T) {
	var leaves []treeHash
	for n := 1; n <= MaxBatch; n++ {
		leaves = append(leaves, leafHash([]byte{byte(n)}))
		root := treeRoot(leaves)
		for i := range leaves {
			path := treePath(nil, leaves, i)
			got, ok := rootFrom(leaves[i], i, n, path)
			if !ok || got != root || len(path) > 7*sha256.Size {
				t.Fatalf("leaf %d of %d: %d bytes, %x, %t", i, n, len(path), got, ok)
			}
			if n > 20 {
				continue
			}
			for j := range n {
				if got, ok := rootFrom(leaves[i], j, n, path); ok && got == root && i != j {
					t.Fatalf("leaf %d of %d is also leaf %d", i, n, j)
				}
			}
			longer := append(bytes.Clone(path), root[:]...)
			for cut := range len(longer) + 1 {
				if got, ok := rootFrom(leaves[i], i, n, longer[:cut]); ok && cut != len(path) {
					t.Fatalf("leaf %d of %d: a path of %d bytes leads to %x", i, n, cut, got)
				}
			}
		}
	}
}

// Two hashes that stand side by side are no leaf.
func TestTreeNodeIsNoLeaf(t *testing.T) {
	leaves := []treeHash{leafHash([]byte{1}), leafHash([]byte{2}), leafHash([]byte{3}), leafHash([]byte{4})}
	root := treeRoot(leaves)
	left, right := treeRoot(leaves[:2]), treeRoot(leaves[2:])
	inner := leafHash(append(leaves[0][:], leaves[1][:]...))
	if inner == left {
		t.Fatal("a node hashes as a leaf")
	}
	if got, ok := rootFrom(inner, 0, 2, right[:]); !ok || got == root {
		t.Fatalf("%x, %t", got, ok)
	}
}
