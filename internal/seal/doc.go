// Package seal keeps secrets of a state folder under a passphrase. A random
// key, the Box, seals values with XChaCha20-Poly1305, each under a context
// that says what it is, so that none passes for another; the passphrase only
// seals that key, with a key of its own that argon2id (RFC 9106) makes of it.
// What is stored of that is the Header, 106 bytes:
//
//	magic    8   "s2pseal1"
//	state    1   0 settled, 1 settling: the files beside may still be in the clear
//	passes   4   of argon2id, big-endian, 1 to 16
//	memory   4   of argon2id in KiB, big-endian, 64 to 262,144 and at least 8 a lane
//	lanes    1   of argon2id, 1 to 16
//	salt    16   random
//	nonce   24   random
//	key     48   the Box's key, sealed; all bytes before it are authenticated
//
// A Header with other bounds is refused before any memory is taken.
//
// A sealed value is a random nonce of 24 bytes and the ciphertext with its tag
// of 16 bytes. A sealed line of text is "sealed1:" and that in base64.
package seal
