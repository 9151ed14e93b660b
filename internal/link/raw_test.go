package link_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// An attacker's ends of a link: the real protocol without the checks.

func rawTLS(cert tls.Certificate, alpn string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, InsecureSkipVerify: true}
	if len(cert.Certificate) > 0 {
		c.Certificates = []tls.Certificate{cert}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	return c
}

// rawConn closes its socket with the connection.
type rawConn struct {
	*quic.Conn
	tr *quic.Transport
}

func (c *rawConn) Close() {
	_ = c.CloseWithError(0, "")
	_ = c.tr.Close()
	_ = c.tr.Conn.Close()
}

func rawDial(ctx context.Context, to netip.AddrPort, cert tls.Certificate, alpn string) (*rawConn, error) {
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	tr := &quic.Transport{Conn: sock}
	qc, err := tr.Dial(ctx, net.UDPAddrFromAddrPort(to), rawTLS(cert, alpn), &quic.Config{EnableDatagrams: true})
	if err != nil {
		_ = tr.Close()
		_ = sock.Close()
		return nil, err
	}
	return &rawConn{qc, tr}, nil
}

// rawRequest sends bytes on a stream and returns what comes back.
func rawRequest(ctx context.Context, c *rawConn, b []byte) ([]byte, error) {
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.Write(b); err != nil {
		return nil, err
	}
	_ = s.Close()
	return io.ReadAll(s)
}

func request(m wire.Message) []byte {
	b, err := wire.Encode(m)
	if err != nil {
		panic(err)
	}
	return append([]byte{'Q'}, b...)
}

// rawPing connects, asks and returns nil only if it was answered.
func rawPing(ctx context.Context, to netip.AddrPort, cert tls.Certificate) error {
	c, err := rawDial(ctx, to, cert, "secp2psip/1")
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := rawRequest(ctx, c, request(&wire.Ping{}))
	if err != nil {
		return err
	}
	if m, err := wire.Decode(b); err != nil || m.Type() != wire.TypePong {
		return errors.New("no Pong")
	}
	return nil
}

// server accepts everybody and answers every request with Pong.
type server struct {
	listener   *quic.Listener
	handshakes atomic.Int64
}

func (s *server) addrs() []netip.AddrPort {
	return []netip.AddrPort{s.listener.Addr().(*net.UDPAddr).AddrPort()}
}

func rawServer(t *testing.T, cert tls.Certificate) *server {
	t.Helper()
	return rawServerALPN(t, cert, "secp2psip/1")
}

func rawServerALPN(t *testing.T, cert tls.Certificate, alpn string) *server {
	t.Helper()
	s := &server{}
	conf := rawTLS(cert, alpn)
	conf.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s.handshakes.Add(1)
		return nil, nil
	}
	sock := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	tr := &quic.Transport{Conn: sock}
	s.listener = must(tr.Listen(conf, &quic.Config{}))(t)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := s.listener.Accept(context.Background())
			if err != nil {
				return
			}
			work.Go(func() { answerAll(c) })
		}
	})
	t.Cleanup(func() {
		_ = tr.Close()
		_ = sock.Close()
		work.Wait()
	})
	return s
}

func answerAll(c *quic.Conn) {
	pong, _ := wire.Encode(&wire.Pong{})
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		_, _ = io.ReadAll(s)
		_, _ = s.Write(pong)
		_ = s.Close()
	}
}
