package adapter

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"github.com/secp2psip/secp2psip/internal/media/relay"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// binding ties a protected call to the exchange that authorised it: both are
// MACs over the two signed messages under a key that only the two ends of that
// very link have. Each side can make it only from messages whose signatures it
// has verified, so media and signalling belong to the two people's keys.
type binding struct {
	proof  [32]byte // opens the call
	flows  [32]byte // the relay's key
	name   [16]byte // of the call, between the two
	secret [32]byte // shows that one is an end of the call
}

func (b binding) isZero() bool { return b == binding{} }

func bind(exporter, invite, redirect [32]byte) binding {
	mac := func(label string) (sum [32]byte) {
		h := hmac.New(sha256.New, exporter[:])
		h.Write([]byte(label))
		h.Write(invite[:])
		h.Write(redirect[:])
		h.Sum(sum[:0])
		return sum
	}
	name := mac("secp2psip/1 call name")
	return binding{mac("secp2psip/1 protected proof"), mac("secp2psip/1 protected flows"), [16]byte(name[:16]), mac("secp2psip/1 call secret")}
}

// protectedTo opens the stream of a protected call with the token of its
// REDIRECT and the proof that this side knows the exchange.
func protectedTo(r *redirected) opener {
	return func(ctx context.Context) (carry.Tunnel, error) {
		s, err := r.conn.Open(ctx, &wire.Protect{Token: r.body.Token, Proof: r.binding.proof})
		if err != nil {
			return nil, linkRefusal(err)
		}
		return r.lasts(s), nil
	}
}

// mediaPipe is one end of a protected call between two phones of this adapter.
type mediaPipe struct {
	*pipe
	over relay.Carrier
	key  [32]byte
}

// Media implements carry.MediaTunnel.
func (p *mediaPipe) Media() (relay.Carrier, [32]byte) { return p.over, p.key }

func newMediaPipe(r *relay.Relay) (near, far *mediaPipe) {
	var key [32]byte
	rand.Read(key[:])
	a, b := newPipe()
	over, back := r.Pair()
	return &mediaPipe{a, over, key}, &mediaPipe{b, back, key}
}

var (
	_ carry.MediaTunnel = (*lasting)(nil)
	_ carry.Follower    = (*lasting)(nil)
	_ carry.Standing    = (*lasting)(nil)
	_ carry.MediaTunnel = (*mediaPipe)(nil)
)
