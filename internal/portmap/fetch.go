package portmap

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// The bounds of what is fetched from a router.
const (
	fetchTime    = 2 * time.Second // for one question, to the last byte of the answer
	fetchBytes   = 128 << 10
	fetchHeaders = 8 << 10
)

// fetcher asks by HTTP, one host and no other.
type fetcher struct {
	gateway  netip.Addr
	patience time.Duration
	refused  func(string)
	to       *http.Transport
}

func newFetcher(gateway netip.Addr, patience time.Duration, refused func(string)) *fetcher {
	f := &fetcher{gateway: gateway, patience: patience, refused: refused}
	dialer := &net.Dialer{Timeout: patience}
	f.to = &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(addr)
			if err != nil || to.Addr().Unmap() != gateway {
				return nil, fmt.Errorf("%w: %s", ErrForeign, addr)
			}
			return dialer.DialContext(ctx, "tcp4", addr)
		},
		DisableKeepAlives: true, DisableCompression: true,
		ResponseHeaderTimeout: patience, MaxResponseHeaderBytes: fetchHeaders,
	}
	return f
}

// client is an http.Client within the bounds.
func (f *fetcher) client() http.Client {
	return http.Client{
		Transport: f, Timeout: f.patience,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			f.refused(reasonForeign)
			return fmt.Errorf("%w: a redirect", ErrForeign)
		},
	}
}

// RoundTrip implements http.RoundTripper.
func (f *fetcher) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := f.own(req.URL); err != nil {
		return nil, err
	}
	answer, err := f.to.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	answer.Body = &bounded{ReadCloser: answer.Body, left: fetchBytes, refused: f.refused}
	return answer, nil
}

// own refuses an address at another host than the gateway.
func (f *fetcher) own(u *url.URL) error {
	host, err := netip.ParseAddr(u.Hostname())
	if u.Scheme != "http" || err != nil || host.Unmap() != f.gateway {
		f.refused(reasonForeign)
		return fmt.Errorf("%w: %.80q", ErrForeign, u.Redacted())
	}
	return nil
}

// bounded is a body of which so much is read, and no more.
type bounded struct {
	io.ReadCloser
	left    int
	refused func(string)
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.refused(reasonTooLarge)
		return 0, ErrTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
