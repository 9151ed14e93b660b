package keyshare

import (
	"fmt"

	"github.com/hashicorp/vault/shamir"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// KeyLen is the length of the secret and of each y: an Ed25519 public key.
const KeyLen = len(identity.PublicKey{})

// point is one share as the shamir package writes it: y[0] … y[31], x.
type point [KeyLen + 1]byte

func newPoint(x uint8, y []byte) (p point) {
	copy(p[:KeyLen], y)
	p[KeyLen] = x
	return p
}

func (p *point) x() uint8  { return p[KeyLen] }
func (p *point) y() []byte { return p[:KeyLen] }

// split deals the secret to x = 1 … n with threshold k.
//
// shamir.Split draws its own x coordinates. To have share x at replica x−1,
// the same polynomials are evaluated anew at 1 … n.
func split(secret [KeyLen]byte, k, n int) ([]point, error) {
	raw, err := shamir.Split(secret[:], n, k)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrParams, err)
	}
	base := make([]point, k)
	for i := range base {
		copy(base[i][:], raw[i])
	}
	points := make([]point, n)
	for i := range points {
		x := uint8(i + 1)
		y, err := evaluate(base, x)
		if err != nil {
			return nil, err
		}
		points[i] = newPoint(x, y[:])
	}
	return points, nil
}

// evaluate returns the value at x of the polynomials of degree len(points)−1
// that go through the points, whose x must be distinct; at 0 that is the
// secret.
//
// shamir.Combine interpolates at 0 only. Addition in GF(2⁸) is XOR, so f(t+x)
// goes through the same values at xᵢ⊕x and has f(x) at 0. Where xᵢ = x that
// makes a coordinate 0, and what shamir.Combine then returns, that point's y,
// is right.
func evaluate(points []point, x uint8) (y [KeyLen]byte, err error) {
	weights, err := weigh(points, x)
	if err != nil {
		return y, err
	}
	for i := range points {
		for j, v := range points[i].y() {
			y[j] ^= multiply(weights[i], v)
		}
	}
	return y, nil
}

// weigh returns what the y of each point counts for in the value at x: the
// Lagrange basis. It depends on the x of the points alone, but shamir.Combine
// works it out anew for each byte of y, which for a key of 32 bytes is the
// slowest part of a reconstruction. Asked to combine the unit vectors, it
// returns the weights themselves.
func weigh(points []point, x uint8) ([]byte, error) {
	k := len(points)
	parts := make([][]byte, k)
	for i := range parts {
		parts[i] = make([]byte, k+1)
		parts[i][i], parts[i][k] = 1, points[i].x()^x
	}
	weights, err := shamir.Combine(parts)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrParams, err)
	}
	return weights, nil
}

// multiply is the product in the field of package shamir, GF(2⁸) modulo
// x⁸ + x⁴ + x³ + x + 1. It takes a time that depends on its arguments: what is
// shared here is a public key.
func multiply(a, b byte) (p byte) {
	const modulus = 0x1b
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			p ^= a
		}
		carry := a & 0x80
		a <<= 1
		if carry != 0 {
			a ^= modulus
		}
	}
	return p
}
