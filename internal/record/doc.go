// Package record is what the ring stores: small signed statements about a
// name, the rules they obey, and a store that holds them within quotas.
//
// On the wire (canonical CBOR, package canon):
//
//	Record = [ Signed, Chain ]                        at most 4 KiB
//	  Signed = COSE_Sign1 over Body, context "secp2psip/1 record"
//	         | [ Body as bytes, Index, Size, Path, Signature ]   of a batch, kinds 2 to 4
//	  Chain  = [ [ certificate, … ], delegation ]     X.509 DER; COSE_Sign1 or empty
//	Body   = [ AOR, Kind, Part, Seq, Time, Lifetime, Expires, Tombstone, Data ]
//
//	kind           part            signed by      chain                            data
//	1 registration device's part   device key     account, issuer; its delegation  [Node, [Addr, …], Device, [Feature, …]]
//	2 share        x, 1 to n       issuing key    issuer                           [Version, Dealing, X, Y, K, N, Digest, Owner]
//	3 account      0               issuing key    issuer                           [Version, Certificate, Number]
//	4 number       0               issuing key    issuer                           [AOR, Owner]
//
// What an issuer signs at one time it signs once: the bodies are the leaves of a
// Merkle tree (RFC 9162 §2.1), the signature, a COSE_Sign1's under "secp2psip/1
// record batch", is for [Size, root], and Path leads there from the leaf. Who
// reads several of them checks one signature.
//
// The data of a tombstone is empty. Everything that a holder or a reader needs
// to check a record travels with it, up to the overlay's root key.
package record
