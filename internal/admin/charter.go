package admin

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// MethodCharter is about the overlay's rules: CharterRequest → Charter; on every
// daemon, and only on the bootstrap server with Set.
const MethodCharter = "charter"

// CharterRequest asks for the charter in force. With Set, values by their keys,
// the root key signs the next edition with them; Use is its file where the key was
// moved away.
type CharterRequest struct {
	Set map[string]string `json:"set,omitempty"`
	Use []byte            `json:"use,omitempty"`
}

// Charter is the charter in force.
type Charter struct {
	Overlay string          `json:"overlay"`
	Edition uint64          `json:"edition"`
	Issued  time.Time       `json:"issued"`
	Rules   []identity.Rule `json:"rules"`
}

// CharterOf shows a charter.
func CharterOf(c identity.Charter) *Charter {
	return &Charter{Overlay: c.Overlay, Edition: c.Seq, Issued: time.UnixMilli(c.Issued), Rules: c.Rules()}
}
