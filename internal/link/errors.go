package link

import (
	"errors"
	"fmt"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The errors of this package. Every error it returns wraps one of them, an
// error of package identity or wire, or a *RemoteError.
var (
	// ErrConfig: the configuration cannot work.
	ErrConfig = errors.New("link: bad configuration")
	// ErrClosed: the link is not running any more.
	ErrClosed = errors.New("link: closed")
	// ErrSelf: the address or the ID is this node's own.
	ErrSelf = errors.New("link: that is this node itself")
	// ErrUnreachable: no address of the node answered.
	ErrUnreachable = errors.New("link: node not reachable")
	// ErrWrongNode: a node answered, but not the one that was asked for.
	ErrWrongNode = errors.New("link: another node answers there")
	// ErrLost: the connection ended before the answer came.
	ErrLost = errors.New("link: connection lost")
	// ErrLeft: the other node has shut down.
	ErrLeft = errors.New("link: the other node has shut down")
	// ErrTimeout: no answer in time.
	ErrTimeout = errors.New("link: no answer in time")
	// ErrProtocol: the other side does not keep to the protocol.
	ErrProtocol = errors.New("link: protocol violation")
	// ErrTooLarge: a frame exceeds MaxFrame.
	ErrTooLarge = errors.New("link: frame too large")
	// ErrWrongRoot: the server belongs to another overlay than the fingerprint.
	ErrWrongRoot = errors.New("link: the server's root certificate has another fingerprint")
	// ErrNotBootstrap: the server may not enrol.
	ErrNotBootstrap = errors.New("link: not a bootstrap server")
)

// RemoteError is a refusal by the other node.
type RemoteError struct {
	Code   wire.Code
	Reason string
	Retry  time.Duration // how long to wait before trying again; 0 = unknown
}

// Error implements error.
func (e *RemoteError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("refused by the other node (%d)", e.Code)
	}
	return fmt.Sprintf("refused by the other node: %s (%d)", e.Reason, e.Code)
}

// The error codes with which this package closes connections.
const (
	CloseBye     quic.ApplicationErrorCode = 1 // the node shuts down
	CloseIdle    quic.ApplicationErrorCode = 2 // others needed the place
	CloseFull    quic.ApplicationErrorCode = 3 // no place
	CloseExpired quic.ApplicationErrorCode = 4 // the certificate is no longer valid
	CloseSelf    quic.ApplicationErrorCode = 5 // the other side has this node's own certificate
	CloseDropped quic.ApplicationErrorCode = 6 // a decision of this node
	CloseDone    quic.ApplicationErrorCode = 7 // an enrolment has ended
)
