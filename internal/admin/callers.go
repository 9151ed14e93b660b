package admin

import "time"

// What CallersRequest may ask for.
const (
	CallersShow     = ""
	CallersBlock    = "block"
	CallersAllow    = "allow"
	CallersForget   = "forget"   // neither blocked nor allowed any more
	CallersAnybody  = "anybody"  // may call, but for who is blocked
	CallersContacts = "contacts" // only who is allowed or was called before
)

// CallersRequest asks who may call an account, or changes it.
type CallersRequest struct {
	Account string `json:"account,omitempty"` // user part; may be left out where there is one only
	Do      string `json:"do,omitempty"`      // one of the Callers constants
	Who     string `json:"who,omitempty"`     // of block, allow, forget: "bob", "sip:bob@lan.example", "owner:TAG", "@lan.example"
	Quiet   bool   `json:"quiet,omitempty"`   // of block, contacts: who is refused is told what an absent phone would tell
}

// Callers says who may call an account.
type Callers struct {
	Account  string       `json:"account"`
	Only     string       `json:"only"`            // CallersAnybody or CallersContacts
	Quiet    bool         `json:"quiet,omitempty"` // of CallersContacts
	Rules    []CallerRule `json:"rules"`
	Contacts []string     `json:"contacts"` // who was called from here before, and so may call
	Refused  uint64       `json:"refused"`  // calls and texts that were kept out since the start
}

// CallerRule is one entry of the lists.
type CallerRule struct {
	Who   string    `json:"who"` // "sip:bob@lan.example", "owner:TAG" or "@lan.example"
	Allow bool      `json:"allow"`
	Quiet bool      `json:"quiet,omitempty"`
	Added time.Time `json:"added"`
}
