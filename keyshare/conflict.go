package keyshare

import (
	"crypto/sha256"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Claim is one statement that a name has a key, signed by an issuer: a share
// or an account certificate.
type Claim struct {
	Version     uint32             `json:"version"`
	Digest      [sha256.Size]byte  `json:"-"`
	Record      *record.Record     `json:"record,omitempty"`      // of a share
	Certificate []byte             `json:"certificate,omitempty"` // DER, of an account
	Key         identity.PublicKey `json:"-"`                     // that the certificate names
}

// ClaimOf returns what an account certificate claims.
func ClaimOf(a *identity.AccountCertificate) Claim {
	return Claim{Version: a.Version, Digest: sha256.Sum256(a.Key[:]), Certificate: a.DER, Key: a.Key}
}

func (g *group) claim() Claim {
	return Claim{Version: g.version, Digest: g.digest, Record: &g.entries[0].share.Record}
}

// Conflict is the evidence that issuers of the overlay signed two keys for one
// name without the old key's consent. Both claims verify by themselves; no
// holder can forge one.
type Conflict struct {
	AOR    identity.AOR `json:"aor"`
	First  Claim        `json:"first"`
	Second Claim        `json:"second"`
}

// Error implements error.
func (c *Conflict) Error() string {
	return fmt.Sprintf("%v: the issuer signed %x… (version %d) and %x… (version %d)",
		ErrKeyConflict, c.First.Digest[:4], c.First.Version, c.Second.Digest[:4], c.Second.Version)
}

// Is makes every Conflict match ErrKeyConflict.
func (c *Conflict) Is(target error) bool { return target == ErrKeyConflict }
