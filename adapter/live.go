package adapter

import (
	"slices"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// live tells of the calls that are being carried now.
func (a *Adapter) live() []admin.LiveCall {
	calls := a.bridge.Calls()
	slices.SortFunc(calls, func(x, y carry.Info) int { return x.Started.Compare(y.Started) })
	var out []admin.LiveCall
	for _, c := range calls {
		out = append(out, admin.LiveCall{
			Started: c.Started, Answered: c.Answered, Direction: directionOf(c), From: c.Caller.User(), To: c.Callee.User(),
			Path: c.Path, State: string(c.State), Peer: peerOf(c), Media: mediaOf(c),
			Key: a.calls.keyOf(c),
		})
	}
	return out
}

func directionOf(c carry.Info) string {
	if c.Incoming {
		return callIn
	}
	return callOut
}

func peerOf(c carry.Info) string {
	if !c.Peer.IsValid() {
		return ""
	}
	return c.Peer.String()
}

func mediaOf(c carry.Info) *admin.Media {
	if c.Media == nil {
		return nil
	}
	flow := func(f carry.MediaFlow) admin.MediaFlow {
		return admin.MediaFlow{Packets: f.Packets, Bytes: f.Bytes, Lost: f.Lost, JitterMS: f.JitterMS}
	}
	return &admin.Media{RTTMS: c.Media.RTTMS, Sent: flow(c.Media.Sent), Received: flow(c.Media.Received)}
}
