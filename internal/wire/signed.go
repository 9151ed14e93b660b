package wire

import (
	"fmt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// The contexts under which bodies are signed: no signature serves for another
// purpose.
const (
	contextRegister = "secp2psip/1 register"
	contextRenew    = "secp2psip/1 renew"
	contextRotate   = "secp2psip/1 rotate"
	contextInvite   = "secp2psip/1 invite"
	contextRedirect = "secp2psip/1 redirect"
	contextText     = "secp2psip/1 message"
	contextTextAck  = "secp2psip/1 message ack"

	// followed by a space and the overlay's name
	contextDescriptor = "secp2psip/1 descriptor"
	contextNotice     = "secp2psip/1 notice"
	contextStatement  = "secp2psip/1 statement"
)

// body is what stands inside a signature: *T with bounds.
type body[T any] interface {
	*T
	check() error
}

// seal returns b, signed by key as COSE_Sign1.
func seal[T any, B body[T]](b B, context string, key identity.PrivateKey) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("sign %s: %w", context, err)
	}
	payload, err := canon.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w: %w", context, ErrMalformed, err)
	}
	return key.Sign(context, payload)
}

// peek returns the body of msg without looking at its signature.
func peek[T any, B body[T]](context string, msg []byte) (T, error) {
	payload, err := canon.Payload(msg)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("read %s: %w: %w", context, ErrMalformed, err)
	}
	return parse[T, B](context, payload)
}

// open returns the body of msg if key has signed it, else ErrForged.
func open[T any, B body[T]](context string, msg []byte, key identity.PublicKey) (T, error) {
	payload, err := key.Verify(context, msg)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("verify %s: %w: %w", context, ErrForged, err)
	}
	return parse[T, B](context, payload)
}

func parse[T any, B body[T]](context string, payload []byte) (T, error) {
	var v, zero T
	if err := canon.Unmarshal(payload, &v); err != nil {
		return zero, fmt.Errorf("read %s: %w: %w", context, ErrMalformed, err)
	}
	if err := B(&v).check(); err != nil {
		return zero, fmt.Errorf("read %s: %w", context, err)
	}
	return v, nil
}

// namesKey returns ErrForged unless the body names the key that signed it.
func namesKey(named, key identity.PublicKey) error {
	if named != key {
		return fmt.Errorf("%w: the body names another device", ErrForged)
	}
	return nil
}
