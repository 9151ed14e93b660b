// Package hidden lets a member ask for records without those who hold them
// learning that it is the one who asks.
//
// # The way of a question
//
//	asker ── Pass ──► first ── Turn ──► second ── Ask ──► holder
//	      ◄─ Passed ─       ◄─ Passed ─        ◄─ Passed ─
//
// The Ask's box is sealed for the holder, the Turn's, around it, for the second
// member; the answers are sealed with keys exported from the same contexts. So
//
//	the first    knows who asks; not what, nor whom: only who the second is
//	the second   knows which holders are asked; not what, nor by whom
//	the holder   knows what is asked; not by whom
//
// One member between asker and holder would not do. It would see which holders
// one person asks in one moment, and where the records of a name lie is no
// secret: five of them leave one name.
//
// # Boxes
//
// A box is HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
// ChaCha20Poly1305) under the X25519 key of a node's Ed25519 key, with an info that
// says which box it is, and of which overlay:
//
//	Turn   enc 32 │ seal( holder's ID 16 │ the Ask's box 176 )         240 bytes
//	Ask    enc 32 │ seal( length 2 │ Fetch │ zeros up to 128 )         176 bytes
//
// An answer is AES-128-GCM with a random nonce, under 16 bytes exported from the
// context of the box ("answer"):
//
//	of an Ask    nonce 12 │ seal( length 4 │ message │ zeros )         5, 16 or 60 KiB inside
//	of a Turn    nonce 12 │ seal( 0 │ the Ask's answer )               or 1 and zeros: no answer
//
// # What a member can be made to do
//
// A Pass becomes a Turn and a Turn an Ask, and nothing becomes a Pass: what has
// been passed on twice ends. Only members of the own table are called, only Fetch is
// served from a box, and each link has its bounds, whoever is behind it; see Limits.
package hidden
