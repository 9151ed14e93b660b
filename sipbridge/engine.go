package sipbridge

import "github.com/secp2psip/secp2psip/sipbridge/carry"

// newEngine makes the engine that carries calls, on our sockets.
func newEngine(b *Bridge) (carrier, error) {
	cfg := b.cfg.Carry
	cfg.Sender = b
	cfg.Agent = agent
	cfg.Name = b.targets.person
	cfg.Now = b.cfg.Now
	cfg.Log = b.cfg.Log
	cfg.Refused = b.cfg.Refused
	return carry.New(cfg)
}
