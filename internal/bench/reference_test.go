//go:build linux

package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// reference is what the machine gives at this moment without any of this
// program: quic-go on two sockets of loopback, mutual TLS with Ed25519, and one
// signature check for each request. It is measured in the same loop as the
// calls, so that a busy machine slows both.
type reference struct {
	client *quic.Transport
	conf   *tls.Config
	at     net.Addr
	conn   *quic.Conn
	key    ed25519.PublicKey
}

// The sizes of a fetched share and of the question for it.
const (
	refQuestion = 60
	refAnswer   = 600
)

func newReference(b *testing.B) *reference {
	b.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		b.Fatal(err)
	}
	conf := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   []string{"reference"}, ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true, SessionTicketsDisabled: true,
	}
	server, client := refTransport(b), refTransport(b)
	ln, err := server.Listen(conf, refConfig())
	if err != nil {
		b.Fatal(err)
	}
	answer := make([]byte, refAnswer-ed25519.SignatureSize)
	answer = append(ed25519.Sign(key, answer), answer...)
	go refServe(ln, answer)
	r := &reference{client: client, conf: conf, at: server.Conn.LocalAddr(), key: pub}
	r.conn = r.dial(b)
	return r
}

func refConfig() *quic.Config { return &quic.Config{KeepAlivePeriod: 5 * time.Second} }

func refTransport(b *testing.B) *quic.Transport {
	b.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	t := &quic.Transport{Conn: sock}
	b.Cleanup(func() {
		_ = t.Close()
		_ = sock.Close()
	})
	return t
}

// refServe answers every stream until the listener closes.
func refServe(ln *quic.Listener, answer []byte) {
	for {
		conn, err := ln.Accept(context.Background())
		if err != nil {
			return
		}
		go func() {
			for {
				s, err := conn.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go func() {
					if _, err := io.ReadAll(s); err == nil {
						_, _ = s.Write(answer)
					}
					_ = s.Close()
				}()
			}
		}()
	}
}

func (r *reference) dial(b *testing.B) *quic.Conn {
	b.Helper()
	conn, err := r.client.Dial(context.Background(), r.at, r.conf, refConfig())
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

// ask makes n requests at once and checks the signature of each answer.
func (r *reference) ask(b *testing.B, n int) time.Duration {
	start := time.Now()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			s, err := r.conn.OpenStreamSync(context.Background())
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = s.Write(make([]byte, refQuestion))
			_ = s.Close()
			answer, err := io.ReadAll(s)
			if err != nil || len(answer) != refAnswer || !ed25519.Verify(r.key, answer[ed25519.SignatureSize:], answer[:ed25519.SignatureSize]) {
				b.Errorf("reference: %d bytes, %v", len(answer), err)
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// handshake connects, asks one thing and hangs up.
func (r *reference) handshake(b *testing.B) time.Duration {
	start := time.Now()
	old := r.conn
	r.conn = r.dial(b)
	r.ask(b, 1)
	took := time.Since(start)
	_ = old.CloseWithError(0, "")
	return took
}
