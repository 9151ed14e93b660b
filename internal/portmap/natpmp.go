package portmap

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
)

// pmpTime bounds each question of NAT-PMP: sent at once, after 250 ms and after
// 750 ms.
const pmpTime = 1250 * time.Millisecond

// natPMP speaks RFC 6886. Its socket is connected, so nobody but the gateway's
// address is heard, and an answer has at most 16 bytes.
type natPMP struct {
	refused func(string)
}

func (*natPMP) name() string { return "nat-pmp" }

func (p *natPMP) open(ctx context.Context, at Route, port, want uint16, life time.Duration) (grant, error) {
	if err := ctx.Err(); err != nil {
		return grant{}, err
	}
	c := natpmp.NewClientWithLocalAndTimeout(at.Gateway.AsSlice(), at.Local.AsSlice(), pmpTime)
	m, err := c.AddPortMapping("udp", int(port), int(want), int(life/time.Second))
	if err != nil {
		return grant{}, err
	}
	if m.InternalPort != port || m.MappedExternalPort == 0 || m.PortMappingLifetimeInSeconds == 0 {
		p.refused(reasonAnswer)
		return grant{}, fmt.Errorf("%w: port %d for port %d", ErrAnswer, m.MappedExternalPort, m.InternalPort)
	}
	out, err := c.GetExternalAddress()
	if err != nil {
		return grant{}, err
	}
	external := netip.AddrPortFrom(netip.AddrFrom4(out.ExternalIPAddress), m.MappedExternalPort)
	return grant{external: external, life: time.Duration(m.PortMappingLifetimeInSeconds) * time.Second}, nil
}

func (*natPMP) close(_ context.Context, at Route, port uint16, _ grant) error {
	c := natpmp.NewClientWithLocalAndTimeout(at.Gateway.AsSlice(), at.Local.AsSlice(), closeTime/2)
	_, err := c.AddPortMapping("udp", int(port), 0, 0)
	return err
}
