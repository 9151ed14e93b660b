package portmap

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/huin/goupnp/ssdp"
)

// The bounds of the search for a gateway device.
const (
	searchPort   = 1900
	searchTime   = 2200 * time.Millisecond
	searchMost   = 64 // datagrams that are looked at
	searchLength = 2048
	searchTarget = "urn:schemas-upnp-org:device:InternetGatewayDevice:1" // later versions answer, too
)

// searcher sends the search to everybody on the network and to the gateway itself,
// and takes the first answer that comes from the gateway's address.
type searcher struct {
	at      Route
	port    uint16
	time    time.Duration // at least a second
	refused func(string)
}

// find returns where the gateway's description lies.
func (s searcher) find(ctx context.Context) (*url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, s.time)
	defer cancel()
	answers, err := ssdp.RawSearch(ctx, s, searchTarget, 2)
	if err != nil {
		return nil, err
	}
	if len(answers) == 0 {
		return nil, ErrNoIGD
	}
	return answers[0].Location()
}

// DoWithContext implements ssdp.HTTPUClientCtx.
func (s searcher) DoWithContext(req *http.Request, sends int) ([]*http.Response, error) {
	var question bytes.Buffer
	fmt.Fprintf(&question, "%s * HTTP/1.1\r\n", req.Method)
	if err := req.Header.Write(&question); err != nil {
		return nil, err
	}
	question.WriteString("\r\n")
	sock, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.at.Local, 0)))
	if err != nil {
		return nil, err
	}
	defer sock.Close()
	defer context.AfterFunc(req.Context(), func() { _ = sock.SetReadDeadline(time.Now()) })()
	var sent error
	for range sends {
		_, toAll := sock.WriteTo(question.Bytes(), &net.UDPAddr{IP: net.IPv4(239, 255, 255, 250), Port: int(s.port)})
		_, toGateway := sock.WriteTo(question.Bytes(), net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.at.Gateway, s.port)))
		if toAll != nil && toGateway != nil {
			sent = toGateway
		}
	}
	if sent != nil {
		return nil, sent
	}
	return s.listen(sock)
}

// listen reads until the gateway has answered, nobody does, or too many others do.
func (s searcher) listen(sock *net.UDPConn) ([]*http.Response, error) {
	buf := make([]byte, searchLength)
	for range searchMost {
		n, from, err := sock.ReadFromUDPAddrPort(buf)
		if err != nil {
			return nil, nil // nobody, in the time that there is
		}
		if from.Addr().Unmap() != s.at.Gateway {
			s.refused(reasonStranger)
			continue
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(buf[:n])), nil)
		if err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("ST") != searchTarget {
			s.refused(reasonMalformed)
			continue
		}
		if _, err := answer.Location(); err != nil {
			s.refused(reasonMalformed)
			continue
		}
		return []*http.Response{answer}, nil
	}
	return nil, fmt.Errorf("%w: %d answers by others", ErrNoIGD, searchMost)
}
