package admin

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// The kinds of daemon.
const (
	KindBootstrap = "bootstrap"
	KindAdapter   = "adapter"
)

// Status is the answer to MethodStatus.
type Status struct {
	Kind          string            `json:"kind"` // KindBootstrap or KindAdapter
	Version       string            `json:"version"`
	Overlay       string            `json:"overlay"`
	NodeID        identity.NodeID   `json:"node_id"`
	State         string            `json:"state"`           // the state folder
	KeysSealed    bool              `json:"keys_sealed"`     // by a passphrase
	Listen        string            `json:"listen"`          // where the link is bound, IP:PORT
	Advertised    []string          `json:"advertised"`      // addresses that others are told
	Started       time.Time         `json:"started"`         // by the system's clock
	UptimeSeconds float64           `json:"uptime_seconds"`  // by the monotonic clock
	Phase         string            `json:"phase"`           // starting, joining, joined, leaving
	ClockOffsetMS int64             `json:"clock_offset_ms"` // overlay time − system time
	ClockSynced   bool              `json:"clock_synced"`    // the offset was learnt from other nodes
	Ring          Ring              `json:"ring"`
	Reach         *Reach            `json:"reach,omitempty"` // once it is known
	Links         []Link            `json:"links"`
	Store         Store             `json:"store"`
	SIP           []string          `json:"sip,omitempty"`          // adapter: where SIP is bound, "udp:IP:PORT"
	Accounts      []Account         `json:"accounts,omitempty"`     // adapter
	Calls         []Call            `json:"calls,omitempty"`        // adapter: the last ones, newest first
	Live          []LiveCall        `json:"live,omitempty"`         // adapter: those that it carries now, oldest first
	Enrolment     *Enrolment        `json:"enrolment,omitempty"`    // bootstrap server
	ChangedKeys   []ChangedKey      `json:"changed_keys,omitempty"` // that are not those of earlier calls, the settled ones too
	Refusals      map[string]uint64 `json:"refusals"`               // "room/reason" → how often since the start
	Warnings      []string          `json:"warnings,omitempty"`     // what a person should know, one sentence each
}

// Ring is this node's view of the ring.
type Ring struct {
	Phase     string      `json:"phase"`
	Pred      *Neighbour  `json:"pred"` // nil while unknown
	Succ      []Neighbour `json:"succ"` // nearest first
	Members   int         `json:"members"`
	SmallRing bool        `json:"small_ring"`
}

// Reach says whether others can call this node.
type Reach struct {
	Client   bool       `json:"client"` // no member of the ring; called through others
	Since    time.Time  `json:"since"`
	Why      string     `json:"why,omitempty"`         // why it is a client
	By       []Voucher  `json:"dialled_back_by"`       // who could call it
	Attached []Attached `json:"attached_to,omitempty"` // of a client
	Clients  int        `json:"clients"`               // to whom it passes sealed packets on
	// Mapping is how the address translator before the node works: "none",
	// "endpoint-independent", "address-dependent", "address-and-port-dependent",
	// "dependent" for one of the two, or "unknown".
	Mapping  string `json:"mapping,omitempty"`
	Observed []Seen `json:"observed,omitempty"` // by whom
	// STUNSilent says that nobody has answered when it was asked last.
	STUNSilent bool `json:"stun_silent,omitempty"`
	// PortMapping is nil where the router is not asked.
	PortMapping *PortMapping `json:"port_mapping,omitempty"`
}

// Seen is the address at which another node sees this one.
type Seen struct {
	By string `json:"by"` // its address
	As string `json:"as"`
}

// Voucher is a node that could call this one.
type Voucher struct {
	ID   identity.NodeID `json:"id"`
	Addr string          `json:"addr"` // where this node was reached
	At   time.Time       `json:"at"`
}

// Attached is a member that passes sealed packets on to this node.
type Attached struct {
	ID    identity.NodeID `json:"id"`
	Since time.Time       `json:"since"`
}

// Neighbour is a node next to this one on the ring.
type Neighbour struct {
	ID    identity.NodeID `json:"id"`
	Addrs []string        `json:"addrs"`
}

// Link is one open connection to another node.
type Link struct {
	ID    identity.NodeID `json:"id"`
	Addr  string          `json:"addr"`          // empty where a node passes the packets on
	Via   string          `json:"via,omitempty"` // that node
	RTTMS float64         `json:"rtt_ms,omitempty"`
	Since time.Time       `json:"since"`
}

// Store is what this node holds for the ring.
type Store struct {
	Records  int   `json:"records"`
	Bytes    int64 `json:"bytes"`
	MaxBytes int64 `json:"max_bytes"`
	// DiskFails says that records cannot be written: nothing is stored for others.
	DiskFails bool `json:"disk_fails,omitempty"`
}

// Account is one name that an adapter serves.
type Account struct {
	AOR                string    `json:"aor"`
	Number             string    `json:"number,omitempty"` // user part of the number, such as 101
	Fingerprint        string    `json:"fingerprint"`      // of the account key
	URI                string    `json:"uri,omitempty"`    // the address that certifies itself
	Dial               string    `json:"dial,omitempty"`   // the same to dial; where there is a number, in digits only
	Enrolled           bool      `json:"enrolled"`
	CertificateExpires time.Time `json:"certificate_expires,omitzero"`
	Phones             []Phone   `json:"phones"`
	Published          bool      `json:"published"` // the registration is on the ring now
	PublishedAt        time.Time `json:"published_at,omitzero"`
	Problem            string    `json:"problem,omitempty"` // why it is not published, or what will go wrong
	Callers            *Callers  `json:"callers,omitempty"` // who may call
}

// Phone is one binding of an account.
type Phone struct {
	Contact   string    `json:"contact"`
	UserAgent string    `json:"user_agent,omitempty"`
	Expires   time.Time `json:"expires"`
	Direct    string    `json:"direct,omitempty"`     // the contact that others can reach, if any
	DirectWhy string    `json:"direct_why,omitempty"` // why there is none
}

// Directions of a call.
const (
	CallOut = "out"
	CallIn  = "in"
)

// Call is one attempt, finished or not.
type Call struct {
	Time       time.Time `json:"time"`
	Direction  string    `json:"direction"` // CallOut or CallIn
	From       string    `json:"from"`
	To         string    `json:"to"`
	Path       string    `json:"path,omitempty"` // direct, carried, protected
	Status     int       `json:"status"`         // SIP status: 302, 200, 404, …
	Reason     string    `json:"reason,omitempty"`
	SetupMS    float64   `json:"setup_ms"` // INVITE received → answer sent
	SharesUsed int       `json:"shares_used"`
	Verified   bool      `json:"verified"`        // key, delegation and signed answer all hold
	Key        string    `json:"key,omitempty"`   // fingerprint of the other person's key, as rebuilt
	Owner      string    `json:"owner,omitempty"` // of a call in: tag of the owner of the caller's node
}

// LiveCall is a call that this adapter carries now.
type LiveCall struct {
	Started   time.Time `json:"started"`
	Answered  time.Time `json:"answered,omitzero"`
	Direction string    `json:"direction"` // CallOut or CallIn
	From      string    `json:"from"`
	To        string    `json:"to"`
	Path      string    `json:"path"` // carried, protected, echo
	State     string    `json:"state"`
	Peer      string    `json:"peer,omitempty"` // the other adapter's address
	Key       string    `json:"key,omitempty"`  // fingerprint of the other person's key, verified
	Media     *Media    `json:"media,omitempty"`
}

// Media are figures of a protected call's media so far.
type Media struct {
	RTTMS    float64   `json:"rtt_ms"`   // of the link
	Sent     MediaFlow `json:"sent"`     // by the phone here; lost and jitter as the other side reports them
	Received MediaFlow `json:"received"` // for it
}

// MediaFlow is one direction of a call's media.
type MediaFlow struct {
	Packets  uint64  `json:"packets"`
	Bytes    uint64  `json:"bytes"`
	Lost     uint64  `json:"lost"`
	JitterMS float64 `json:"jitter_ms"`
}

// CallRecord is a line of the file of calls: one call that has ended.
type CallRecord struct {
	Call
	Ended   time.Time `json:"ended"`
	Seconds float64   `json:"seconds,omitempty"` // from the answer to the end
	Peer    string    `json:"peer,omitempty"`    // the other adapter's address
	Media   *Media    `json:"media,omitempty"`
}

// Enrolment is what only a bootstrap server knows.
type Enrolment struct {
	Mode          string    `json:"mode"` // invite, open
	Names         int       `json:"names"`
	MaxNames      int       `json:"max_names"`
	Invitations   int       `json:"invitations"`  // still usable
	RootOffline   bool      `json:"root_offline"` // the root key is not in this folder
	IssuerExpires time.Time `json:"issuer_expires"`
}
