package chord

import "github.com/secp2psip/secp2psip/internal/wire"

// Route answers a look-up of target from the node's own neighbourhood, where
// that has the answer.
func (v *View) Route(target ID) (Route, bool) { return v.route(target) }

// Start returns whom a look-up of target begins with, the best first.
func (v *View) Start(target ID) []wire.Peer { return v.start(target) }
