// Package sipbridge speaks plain SIP with the phones of one host or LAN:
// registrar, redirect server, and the door to the engine that carries calls
// (package carry). It knows nothing of rings and keys; it asks a Directory.
//
//	phone ── UDP, TCP ──► filter ─► message.Parse ─► message.Check ─► worker
//	                                                                    │
//	        REGISTER  → registrar ── Directory.Register ──► 200         │
//	        INVITE    → exchanges ── Directory.Call ──► 302, or carry ◄─┤
//	        MESSAGE   → exchanges ── Directory.Message ──► 200          │
//	        in-dialog, CANCEL, ACK, responses ──► carry ◄───────────────┘
//
// There are no transactions of a SIP stack behind REGISTER, INVITE and
// MESSAGE. A request is one entry, keyed by its source, branch and Call-ID,
// until its final response; from then on a bounded cache repeats the identical
// bytes for 32 s to whoever asks again (RFC 3261 §17.2). Nothing runs on a
// timer and no response leaves that no request asked for: an unacknowledged
// 302 is sent once, where a server transaction would send it eleven times.
// A call that is carried has real transactions, the engine's.
//
// A request is checked before anything handles it: message.Check refuses what
// is malformed, says one thing twice or asks for what is not spoken here. The
// answer to each message of RFC 4475 is in testdata/rfc4475.txt. On this host a
// name belongs to the user who registered it (owners); calls of one name to one
// other are bounded where they begin (pace).
//
// One goroutine reads each UDP socket and each connection and never waits;
// what takes time runs beside it, bounded by Config.MaxPending. Everything a
// stranger can make the front keep is bounded and counted: see the constants
// and the Refused reasons.
//
// Texts to phones go out in client transactions of github.com/emiago/sipgo.
package sipbridge
