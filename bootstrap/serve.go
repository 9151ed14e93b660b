package bootstrap

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// ServeEnrol answers a newcomer that has no certificate yet.
func (s *Server) ServeEnrol(ctx context.Context, from link.EnrolPeer, req wire.Message) wire.Message {
	switch m := req.(type) {
	case *wire.EnrolStart:
		return &wire.EnrolChallenge{
			Nonce: s.nonce(from), Charter: s.overlay.charter, Root: s.overlay.rootCert,
			Issuer: s.overlay.issuer.Certificate(), Open: s.cfg.Open,
		}
	case *wire.GetTime:
		return s.node.Time(m)
	case *wire.Register:
		return s.serveRegister(ctx, from, m)
	}
	return wire.Errorf(wire.CodeUnsupported, "a bootstrap server does not serve %s before enrolment", req.Type())
}

func (s *Server) serveRegister(ctx context.Context, from link.EnrolPeer, m *wire.Register) wire.Message {
	body, err := m.Verify(s.nonce(from), from.Exporter)
	if err != nil {
		s.refused("enrolment", reasonBadProof)
		return wire.Errorf(wire.CodeUnauthorized, "%v: %v", ErrProof, err)
	}
	answer, err := s.register(ctx, from.Addr, body)
	if err != nil {
		s.refused("enrolment", reasonRefused)
		s.log.Info().Err(err).Str("from", from.Addr.String()).Msg("enrolment refused")
		return refusal(err)
	}
	return answer
}

// ServeExtra answers members: renewal.
func (s *Server) ServeExtra(ctx context.Context, from *link.Conn, req wire.Message) wire.Message {
	m, ok := req.(*wire.Renew)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	answer, err := s.renew(ctx, from, m)
	if err != nil {
		s.refused("enrolment", reasonRenewRefused)
		return refusal(err)
	}
	return answer
}

// ServeStream refuses: a bootstrap server carries no calls.
func (s *Server) ServeStream(_ context.Context, _ *link.Conn, _ wire.Message, st *link.Stream) {
	_ = st.Close()
}

// refusal turns an error into the answer for the newcomer.
func refusal(err error) *wire.Error {
	code := wire.CodeInternal
	for _, c := range []struct {
		err  error
		code wire.Code
	}{
		{ErrBadInvitation, wire.CodeUnauthorized}, {ErrNotOpen, wire.CodeUnauthorized}, {ErrProof, wire.CodeUnauthorized},
		{ErrExpired, wire.CodeGone}, {ErrUsed, wire.CodeGone},
		{ErrTaken, wire.CodeConflict}, {ErrNumberTaken, wire.CodeConflict},
		{ErrOtherName, wire.CodeForbidden}, {ErrReserved, wire.CodeForbidden}, {ErrQuota, wire.CodeForbidden}, {ErrTooManyDevices, wire.CodeForbidden},
		{ErrFirstDevice, wire.CodeUnavailable},
		{identity.ErrMalformed, wire.CodeMalformed}, {identity.ErrOtherOverlay, wire.CodeForbidden},
	} {
		if errors.Is(err, c.err) {
			code = c.code
			break
		}
	}
	if code == wire.CodeInternal {
		return wire.Errorf(code, "the bootstrap server could not do this; its log says why")
	}
	return wire.Errorf(code, "%v", err)
}

// seeds returns some members of the ring, ourselves first.
func (s *Server) seeds() []wire.Peer {
	const most = 9 // enough for a successor list
	peers := append([]wire.Peer{s.node.Self()}, s.node.Ring().Known()...)
	return peers[:min(len(peers), most)]
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
