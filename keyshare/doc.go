// Package keyshare splits an account's public key into n signed shares, any k
// of which give it back, and rebuilds the key from what the holders of the
// ring answer, whatever some of them answer.
//
// # A share
//
// The secret is the 32 bytes of the Ed25519 public key. Each byte is the
// constant term of its own random polynomial of degree k−1 over GF(2⁸)
// (reduction polynomial 0x11B), evaluated at x = 1, 2, … n. Share x therefore
// is one byte x and 32 bytes y:
//
//	x     1 … n; share x lies on the ring at replica x−1 of n
//	y[j]  = key[j] + a₁[j]·x + … + a₍k₋₁₎[j]·x^(k−1)
//
// A share travels as the data of a record of kind "share" that the overlay's
// issuer has signed: name, part (= x), sequence, time, lifetime, and
//
//	[version, dealing, x, y, k, n, SHA-256(key), owner]
//
// as a CBOR array. The version counts the keys that a name has had, the
// dealing rises with every split of a key; shares of different dealings lie on
// different polynomials and never mix. The issuer signs all shares of a dealing
// at once (record.SignBatch): each says by itself that it is one of them, and who
// reads k of them checks one signature.
//
// # Why every share is signed
//
// Interpolation accepts anything. A share that claims x = 0 *is* the secret as
// far as interpolation knows, two shares with one x divide by zero, and one
// wrong y gives a wrong key without an error. Nothing reaches the
// interpolation here that the issuer has not signed for this name, and nothing
// leaves it that does not hash to the digest which the shares carry. What is
// refused is named, with its holder and the reason.
package keyshare
