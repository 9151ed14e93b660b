package directory

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
)

// systemSource feeds math/rand from the system's generator: which positions
// are asked first must not be foreseeable by those who hold them.
type systemSource struct{}

// Uint64 implements rand.Source.
func (systemSource) Uint64() uint64 {
	var b [8]byte
	crand.Read(b[:]) //nolint:errcheck // never fails: crypto/rand.Read
	return binary.LittleEndian.Uint64(b[:])
}

// systemRand returns a generator that nobody can foresee.
func systemRand() *rand.Rand { return rand.New(systemSource{}) } // #nosec G404 -- fed by crypto/rand
