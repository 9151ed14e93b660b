package portmap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/huin/goupnp"
	igd "github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/soap"
)

// The faults of AddPortMapping that can be mended (WANIPConnection:1 §2.4.16).
const (
	faultConflict  = 718 // another host has that port
	faultPermanent = 725 // this router knows no lifetimes
)

// otherPorts is how many ports are tried when others have the first.
const otherPorts = 3

// description names the mapping in the router's list.
const description = "secp2psip"

// wan is what the three kinds of connection services have in common.
type wan interface {
	AddPortMappingCtx(ctx context.Context, remote string, external uint16, protocol string, internal uint16, client string, enabled bool, description string, seconds uint32) error
	DeletePortMappingCtx(ctx context.Context, remote string, external uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
}

// upnp speaks UPnP's Internet Gateway Device, versions 1 and 2.
type upnp struct {
	port     uint16        // of the search
	search   time.Duration // that it takes
	patience time.Duration // with one question by HTTP
	refused  func(string)

	at  Route // where the service was found
	wan wan
}

func (*upnp) name() string { return "upnp" }

func (u *upnp) open(ctx context.Context, at Route, port, want uint16, life time.Duration) (grant, error) {
	known := u.wan != nil && u.at == at
	if !known {
		if err := u.find(ctx, at); err != nil {
			return grant{}, err
		}
	}
	g, err := u.add(ctx, port, want, life)
	if err != nil && known && !isFault(err) { // the router may have begun anew, at another address of its own
		if err = u.find(ctx, at); err == nil {
			g, err = u.add(ctx, port, want, life)
		}
	}
	if err != nil {
		u.wan = nil
		return grant{}, err
	}
	ip, err := u.outside(ctx)
	if err != nil {
		_ = u.close(ctx, at, port, g)
		return grant{}, err
	}
	g.external = netip.AddrPortFrom(ip, g.external.Port())
	return g, nil
}

// outside asks for the router's address outside.
func (u *upnp) outside(ctx context.Context) (netip.Addr, error) {
	text, err := u.wan.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		u.refused(reasonAnswer)
		return netip.Addr{}, fmt.Errorf("%w: %.40q is no address", ErrAnswer, text)
	}
	return ip.Unmap(), nil
}

// add makes the mapping; of the external address only the port is set.
func (u *upnp) add(ctx context.Context, port, want uint16, life time.Duration) (grant, error) {
	g := grant{external: netip.AddrPortFrom(netip.Addr{}, want), life: life}
	for tries := 0; ; tries++ {
		external := g.external.Port()
		err := u.wan.AddPortMappingCtx(ctx, "", external, "UDP", port, u.at.Local.String(), true, description, uint32(g.life/time.Second))
		switch {
		case err == nil:
			return g, nil
		case faultCode(err) == faultPermanent && g.life > 0:
			g.life = 0
		case faultCode(err) == faultConflict && tries < otherPorts:
			g.external = netip.AddrPortFrom(netip.Addr{}, uint16(1024+rand.N(64000))) // #nosec G404 -- any other port will do
		default:
			return grant{}, err
		}
	}
}

func (u *upnp) close(ctx context.Context, at Route, _ uint16, g grant) error {
	if u.wan == nil || u.at != at {
		return ErrNoIGD
	}
	return u.wan.DeletePortMappingCtx(ctx, "", g.external.Port(), "UDP")
}

// find looks for the gateway's service.
func (u *upnp) find(ctx context.Context, at Route) error {
	u.wan = nil
	where, err := searcher{at, u.port, u.search, u.refused}.find(ctx)
	if err != nil {
		return err
	}
	f := newFetcher(at.Gateway, u.patience, u.refused)
	root, err := describe(ctx, f, where)
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		urn  string
		make func(goupnp.ServiceClient) wan
	}{
		{igd.URN_WANIPConnection_2, func(c goupnp.ServiceClient) wan { return &igd.WANIPConnection2{ServiceClient: c} }},
		{igd.URN_WANIPConnection_1, func(c goupnp.ServiceClient) wan { return &igd.WANIPConnection1{ServiceClient: c} }},
		{igd.URN_WANPPPConnection_1, func(c goupnp.ServiceClient) wan { return &igd.WANPPPConnection1{ServiceClient: c} }},
	} {
		services := root.Device.FindService(kind.urn)
		if len(services) == 0 {
			continue
		}
		s := services[0]
		if err := f.own(&s.ControlURL.URL); err != nil {
			return err
		}
		client := &soap.SOAPClient{EndpointURL: s.ControlURL.URL, HTTPClient: f.client()}
		u.at, u.wan = at, kind.make(goupnp.ServiceClient{SOAPClient: client, RootDevice: root, Location: where, Service: s})
		return nil
	}
	return fmt.Errorf("%w: it has no connection to the internet", ErrNoIGD)
}

// describe fetches and reads a device's description.
func describe(ctx context.Context, f *fetcher, where *url.URL) (*goupnp.RootDevice, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return nil, err
	}
	client := f.client()
	answer, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: HTTP %d for its description", ErrAnswer, answer.StatusCode)
	}
	root := new(goupnp.RootDevice)
	d := xml.NewDecoder(answer.Body)
	d.DefaultSpace = goupnp.DeviceXMLNamespace
	if err := d.Decode(root); err != nil {
		return nil, fmt.Errorf("%w: its description: %w", ErrAnswer, err)
	}
	base := where
	if root.URLBaseStr != "" {
		if base, err = url.Parse(root.URLBaseStr); err != nil {
			return nil, fmt.Errorf("%w: its description: %w", ErrAnswer, err)
		}
	}
	root.SetURLBase(base)
	return root, nil
}

func isFault(err error) bool {
	_, ok := errors.AsType[*soap.SOAPFaultError](err)
	return ok
}

func faultCode(err error) int {
	if f, ok := errors.AsType[*soap.SOAPFaultError](err); ok {
		return f.Detail.UPnPError.Errorcode
	}
	return 0
}
