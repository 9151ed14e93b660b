package bootstrap

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// ServeEnrol answers a newcomer that has no certificate yet.
func (s *Server) ServeEnrol(ctx context.Context, from link.EnrolPeer, req wire.Message) wire.Message {
	select {
	case <-s.node.Joined():
	default:
		return s.refusal(ErrStarting, from.Addr.String())
	}
	switch m := req.(type) {
	case *wire.EnrolStart:
		return &wire.EnrolChallenge{
			Nonce: s.nonce(from), Charter: s.overlay.signed(), Root: s.overlay.rootCert,
			Issuer: s.overlay.issuer.Load().Certificate(), Open: s.cfg.Open,
		}
	case *wire.GetTime:
		return s.node.Time(m)
	case *wire.GetCharter:
		return &wire.CharterIs{Charter: s.overlay.signed()}
	case *wire.Ping:
		return &wire.Pong{Time: s.time.Now().UnixMilli()}
	case *wire.Register:
		answer, err := s.enrol(ctx, from, m)
		if err != nil {
			return s.refusal(err, from.Addr.String())
		}
		return answer
	}
	return nil
}

func (s *Server) enrol(ctx context.Context, from link.EnrolPeer, m *wire.Register) (*wire.Registered, error) {
	body, err := m.Verify(s.nonce(from), from.Exporter)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return s.register(ctx, from.Addr, body)
}

// ServeExtra answers members: renewal, and rotation of keys.
func (s *Server) ServeExtra(ctx context.Context, from *link.Conn, req wire.Message) wire.Message {
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	var answer *wire.Registered
	var err error
	switch m := req.(type) {
	case *wire.Renew:
		answer, err = s.renew(ctx, from, m)
	case *wire.Rotate:
		answer, err = s.rotate(from, m)
	default:
		return nil
	}
	if err != nil {
		return s.refusal(err, from.ID().Short())
	}
	return answer
}

// ServeStream refuses: a bootstrap server carries no calls.
func (s *Server) ServeStream(_ context.Context, _ *link.Conn, _ wire.Message, st *link.Stream) {
	s.refused("enrolment", reasonStream)
	_ = st.Close()
}

// refusal turns an error into the answer for who asked, counts and logs it.
// Names are for the debug level only, so the log says the kind of refusal.
func (s *Server) refusal(err error, from string) *wire.Error {
	v := judge(err)
	s.refused("enrolment", v.reason)
	if v.reason == reasonInternal {
		s.log.Error().Err(err).Msg("an enrolment failed in this server; is the disk of the state folder full?")
		return wire.Errorf(v.code, "the bootstrap server cannot do this now; tell its operator, whose log says why")
	}
	s.log.Info().Str("reason", v.reason).Str("from", from).Msg("enrolment refused")
	s.log.Debug().Err(err).Str("from", from).Msg("enrolment refused")
	return wire.Errorf(v.code, "%v", err)
}

// nonce is the challenge for one enrolment connection: drawn from a secret of
// this run and the connection's TLS exporter, so that it needs no table, and
// what was signed for it serves on no other connection.
func (s *Server) nonce(from link.EnrolPeer) (nonce [32]byte) {
	h := hmac.New(sha256.New, s.nonceKey)
	h.Write(from.Exporter[:])
	h.Sum(nonce[:0])
	return nonce
}
