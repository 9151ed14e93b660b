package link

import (
	"context"
	"io"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// enrolRequests bounds the requests on one enrolment connection.
const enrolRequests = 16

// serveEnrolment serves a peer without a certificate: a few requests, one after
// the other, within Limits.EnrolTime.
func (l *Link) serveEnrolment(qc *quic.Conn) {
	addr := addrPort(qc.RemoteAddr())
	if reason := l.enrol.enter(addr.Addr()); reason != "" {
		l.cfg.Refused(reason)
		_ = qc.CloseWithError(CloseFull, "too many enrolments at once")
		return
	}
	defer func() { _ = qc.CloseWithError(CloseDone, "done") }()
	defer l.enrol.leave(addr.Addr()) // before the other side can know that it is over
	ctx, cancel := context.WithTimeout(qc.Context(), l.cfg.Limits.EnrolTime)
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	exporter, err := export(qc.ConnectionState().TLS, exporterEnrol)
	if err != nil {
		return
	}
	from := EnrolPeer{Addr: addr, Exporter: exporter}
	for range enrolRequests {
		s, err := qc.AcceptStream(ctx)
		if err != nil {
			return
		}
		deadline, _ := ctx.Deadline()
		_ = s.SetReadDeadline(deadline)
		l.answer(s, deadline, l.serveEnrolRequest(ctx, from, s))
	}
	<-ctx.Done() // let the last answer arrive
}

func (l *Link) serveEnrolRequest(ctx context.Context, from EnrolPeer, s *quic.Stream) wire.Message {
	if l.draining.Load() {
		l.cfg.Refused(ReasonDraining)
		return wire.Errorf(wire.CodeUnavailable, "the server is about to go")
	}
	var kind [1]byte
	if _, err := io.ReadFull(s, kind[:]); err != nil || kind[0] != kindRequest {
		l.cfg.Refused(ReasonMalformed)
		return wire.Errorf(wire.CodeMalformed, "not a request")
	}
	req, refusal := l.readRequest(s)
	if refusal != nil {
		return refusal
	}
	switch req.(type) {
	case *wire.EnrolStart, *wire.Register, *wire.GetCharter, *wire.GetTime, *wire.Ping:
		if m := l.cfg.Enrol.ServeEnrol(ctx, from, req); m != nil {
			return m
		}
		l.cfg.Refused(ReasonUnserved)
		return wire.Errorf(wire.CodeUnsupported, "%s is not served", req.Type())
	}
	l.cfg.Refused(ReasonEnrolForbidden)
	return wire.Errorf(wire.CodeForbidden, "%s needs a certificate", req.Type())
}

// enrolTime is the deadline of a newcomer's request that has none.
const enrolTime = 30 * time.Second
