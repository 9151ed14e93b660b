package adapter

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// Calls between two accounts of one adapter cross no link: the resolution is
// the same, the exchange is with ourselves.

// localIP stands for both ends of a call that never leaves this adapter.
var localIP = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// inviteSelf asks our own phones, for a callee whose device is this adapter.
func (a *Adapter) inviteSelf(ctx context.Context, me party, res *directory.Resolution, dev directory.Device, c sipbridge.Call) (*redirected, error) {
	acct := a.account(res.AOR)
	if acct == nil || !acct.DeviceKey.Public().Equal(dev.Key) {
		return nil, sipbridge.NotRegistered("")
	}
	in := sipbridge.Inbound{
		Caller: me.aor, Callee: res.AOR, CallID: c.CallID, LocalIP: localIP, RemoteIP: localIP, Paths: c.Paths,
	}
	if err := a.keptOutLocally(me, res.AOR); err != nil {
		return nil, err
	}
	offer, err := a.bridge.Offer(ctx, in)
	if err != nil {
		return nil, err
	}
	r := &redirected{body: wire.RedirectBody{Status: 302, Contact: offer.Direct}}
	if offer.Direct != "" {
		r.body.Paths = append(r.body.Paths, sipbridge.PathDirect)
	}
	if offer.Carried {
		r.body.Paths = append(r.body.Paths, sipbridge.PathCarried)
	}
	if offer.Protected {
		r.body.Paths = append(r.body.Paths, sipbridge.PathProtected)
	}
	r.local = func(path string) opener {
		return func(context.Context) (carry.Tunnel, error) {
			in := in
			in.Path = path
			near, far := a.newLocal(path)
			a.spawn(func(ctx context.Context) { _ = a.bridge.Ring(ctx, in, far) })
			return near, nil
		}
	}
	return r, nil
}

// newLocal returns the two ends of a tunnel within this program.
func (a *Adapter) newLocal(path string) (near, far carry.Tunnel) {
	if path == sipbridge.PathProtected {
		return newMediaPipe(a.relay)
	}
	return newPipe()
}

// pipe is one end of a tunnel within this process.
type pipe struct {
	in, out chan []byte
	done    chan struct{}
	once    *sync.Once
}

var errPipeClosed = errors.New("the call's tunnel is closed")

func newPipe() (near, far *pipe) {
	ab, ba, done, once := make(chan []byte, 16), make(chan []byte, 16), make(chan struct{}), new(sync.Once)
	return &pipe{ba, ab, done, once}, &pipe{ab, ba, done, once}
}

// Send implements carry.Tunnel.
func (p *pipe) Send(ctx context.Context, frame []byte) error {
	select {
	case p.out <- append([]byte(nil), frame...):
		return nil
	case <-p.done:
		return errPipeClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Recv implements carry.Tunnel; what was sent before Close still arrives.
func (p *pipe) Recv(ctx context.Context) ([]byte, error) {
	select {
	case frame := <-p.in:
		return frame, nil
	default:
	}
	select {
	case frame := <-p.in:
		return frame, nil
	case <-p.done:
		select {
		case frame := <-p.in:
			return frame, nil
		default:
			return nil, errPipeClosed
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close implements carry.Tunnel.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// LocalIP implements carry.Tunnel.
func (p *pipe) LocalIP() netip.Addr { return localIP }

// RemoteIP implements carry.Tunnel.
func (p *pipe) RemoteIP() netip.Addr { return localIP }
