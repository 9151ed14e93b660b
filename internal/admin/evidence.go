package admin

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// MethodEvidence exists on every daemon.
const MethodEvidence = "evidence" // EvidenceRequest → EvidenceResult

// EvidenceRequest asks for the evidence that a daemon keeps. Without a field it
// asks for all of it, without the proofs.
type EvidenceRequest struct {
	ID      string `json:"id,omitempty"`      // one, with its proof
	Forgive bool   `json:"forgive,omitempty"` // end the eviction that it brought
	Check   []byte `json:"check,omitempty"`   // say what an exported proof proves
}

// EvidenceResult answers it.
type EvidenceResult struct {
	Items    []EvidenceItem `json:"items"`
	Withheld []Withheld     `json:"withheld,omitempty"` // no proof, and no consequence
}

// EvidenceItem is a proof that a member, or an issuer, contradicts itself.
type EvidenceItem struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`          // statements, runs, descriptors or keys
	Node     identity.NodeID `json:"node,omitzero"` // whose word it is; zero of an issuer's
	Owner    string          `json:"owner,omitempty"`
	Name     string          `json:"name,omitempty"` // whose node that is, where the daemon is the bootstrap server; or for whom an issuer signed two keys
	Detail   string          `json:"detail"`
	When     time.Time       `json:"when"`           // by the culprit's clock
	Received time.Time       `json:"received"`       // here
	Own      bool            `json:"own"`            // found by this daemon, not told by another
	Until    time.Time       `json:"until,omitzero"` // not called until then
	Proof    []byte          `json:"proof,omitempty"`
}

// Withheld is a holder that did not give others a record of ours that it gave
// us, and how often that was seen.
type Withheld struct {
	Node  identity.NodeID `json:"node"`
	Times int             `json:"times"`
}
