package adapter

import (
	"slices"
	"strings"

	"github.com/secp2psip/secp2psip/sipbridge"
)

// allowedPaths keeps those of the wanted call paths that the overlay's charter
// allows. Where this adapter leaves the choice to the overlay, the charter's
// order counts, else the order wanted.
func (a *Adapter) allowedPaths(charter, wanted []string) []string {
	if slices.Contains(charter, sipbridge.PathRequireProtected) {
		charter = []string{sipbridge.PathProtected}
	}
	if p := a.cfg.SIP.Path; p == "" || p == sipbridge.PathAuto {
		charter, wanted = wanted, charter
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(p string) bool { return !slices.Contains(charter, p) })
}

// noPath refuses a call for which the charter leaves no path.
func noPath(charter []string) *sipbridge.Refusal {
	return sipbridge.NoCommonMedia("this overlay allows only calls on these paths: " + strings.Join(charter, ", "))
}
