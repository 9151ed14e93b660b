package admin

import (
	"fmt"
	"strings"
	"time"
)

// PortMapping tells what came of asking the router for a port.
type PortMapping struct {
	Asked    bool      `json:"asked"`              // at least once since the start
	Gateway  string    `json:"gateway,omitempty"`  // the router's address
	Protocol string    `json:"protocol,omitempty"` // "nat-pmp" or "upnp"; none while there is no mapping
	External string    `json:"external,omitempty"` // as the router says
	Proven   bool      `json:"proven"`             // others have called this node there; only then it is published
	Private  bool      `json:"private,omitempty"`  // no address of the internet
	Silent   int       `json:"silent,omitempty"`   // people whose nodes could not call this one there
	Since    time.Time `json:"since,omitzero"`
	Expires  time.Time `json:"expires,omitzero"` // by the host's clock; zero: never
	Tried    []Tried   `json:"tried"`            // and did not work, in the last round
}

// Tried is a protocol that did not work.
type Tried struct {
	Protocol string `json:"protocol"`
	Error    string `json:"error"`
}

// Text says it in a line.
func (m *PortMapping) Text(now time.Time) string {
	if m.External == "" {
		return "none; tried: " + m.Failures()
	}
	life := "until it is taken back"
	if !m.Expires.IsZero() {
		life = "for " + m.Expires.Sub(now).Round(time.Second).String()
	}
	return fmt.Sprintf("the router %s maps %s to this host (%s), %s", m.Gateway, m.External, m.Protocol, life)
}

// Failures says what did not work and why.
func (m *PortMapping) Failures() string {
	if len(m.Tried) == 0 {
		return "nothing yet"
	}
	var out []string
	for _, t := range m.Tried {
		out = append(out, t.Protocol+" ("+t.Error+")")
	}
	return strings.Join(out, ", ")
}
