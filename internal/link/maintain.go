package link

import (
	"context"
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"

	"github.com/quic-go/quic-go"
)

// How often connections are looked through, and how long a second connection to
// one node must have been idle to be closed.
const (
	maintainEvery = time.Minute
	spareIdle     = time.Minute
)

// maintain looks through connections and rates until ctx ends.
func (l *Link) maintain(ctx context.Context) {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.dropExpired()
		l.dropSpare(spareIdle)
		l.rates.forget()
		l.calls.forget()
		l.lasting.forget()
		l.passer.forget(time.Now())
	}
}

// dropExpired closes connections to nodes whose certificate is no longer valid.
func (l *Link) dropExpired() {
	for _, c := range l.pool.all() {
		if _, err := l.cfg.Trust.VerifyNode(c.chain, l.verifyTime()); err != nil {
			reason := ReasonExpired
			if errors.Is(err, identity.ErrRevoked) {
				reason = ReasonRevoked
			}
			l.cfg.Refused(reason)
			c.close(CloseExpired, "certificate no longer valid")
		}
	}
}

// Revoked returns the connections to nodes whose certificate has been revoked,
// which Recheck closes.
func (l *Link) Revoked() (out []*Conn) {
	for _, c := range l.pool.all() {
		if _, err := l.cfg.Trust.VerifyNode(c.chain, time.Time{}); errors.Is(err, identity.ErrRevoked) {
			out = append(out, c)
		}
	}
	return out
}

// Recheck closes connections to nodes whose certificate has been revoked.
func (l *Link) Recheck() { l.dropExpired() }

// dropSpare closes what two nodes have too much because both have dialled at
// the same time.
func (l *Link) dropSpare(idle time.Duration) {
	for _, c := range l.pool.spare(idle) {
		c.close(CloseIdle, "there is another connection")
	}
}

// badCertificate is the TLS alert of that name in QUIC (RFC 9001 §4.8, RFC 8446
// §6.2). It comes when the handshake has ended for who dialled.
const badCertificate = quic.TransportErrorCode(0x100 + 42)

// noteRefusal remembers that another node has closed a connection because of this
// node's certificate.
func (l *Link) noteRefusal(err error) {
	closed, ok := errors.AsType[*quic.ApplicationError](err)
	alert, alerted := errors.AsType[*quic.TransportError](err)
	if ok && closed.Remote && closed.ErrorCode == CloseExpired || alerted && alert.Remote && alert.ErrorCode == badCertificate {
		now := time.Now()
		l.refusedUs.Store(&now)
	}
}

// RefusedUs returns when another node has last closed a connection because of this
// node's certificate; zero if none has.
func (l *Link) RefusedUs() time.Time {
	if at := l.refusedUs.Load(); at != nil {
		return *at
	}
	return time.Time{}
}
