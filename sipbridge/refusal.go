package sipbridge

import (
	"errors"
	"time"
)

// The refusals that phones get, one constructor for each outcome. The reason
// phrase is what the phone shows, detail goes into a Warning (RFC 3261
// §20.43) and may be empty.

// Malformed refuses a request that cannot be understood.
func Malformed(detail string) *Refusal { return refuse(400, "Bad Request", detail) }

// AddressIncomplete refuses a request that names nobody.
func AddressIncomplete(detail string) *Refusal { return refuse(484, "Address Incomplete", detail) }

// NoSuchName refuses a name that the overlay does not know.
func NoSuchName(detail string) *Refusal { return refuse(404, "Not Found", detail) }

// NotRegistered: the name is known, but none of its phones is there.
func NotRegistered(detail string) *Refusal {
	return refuse(480, "Temporarily Unavailable", orElse(detail, "no phone of this name is registered now"))
}

// Unreachable: registered, but the callee's adapter cannot be reached.
func Unreachable(detail string) *Refusal {
	return refuse(480, "Temporarily Unavailable", orElse(detail, "the other side's adapter cannot be reached"))
}

// TimedOut: the look-up or the ringing took too long.
func TimedOut(detail string) *Refusal { return refuse(408, "Request Timeout", detail) }

// OverlayDown: the ring cannot be reached, or is still being joined.
func OverlayDown(detail string, retry time.Duration) *Refusal {
	return retryLater("Service Unavailable", orElse(detail, "not connected to the overlay yet"), retry)
}

// Overloaded: too much to do at this moment.
func Overloaded(detail string, retry time.Duration) *Refusal {
	return retryLater("Service Unavailable", orElse(detail, "too busy now"), retry)
}

// KeyUnverified: the callee's key or record fails verification, or its key
// has changed.
func KeyUnverified(detail string) *Refusal {
	return refuse(403, "Callee key verification failed", orElse(detail, "the called name's key cannot be verified"))
}

// CallerUnknown, as the callee's adapter sees it: the call names no caller
// (RFC 8224 §6.2.2).
func CallerUnknown(detail string) *Refusal { return refuse(428, "Use Identity Header", detail) }

// CallerUnfetchable: the caller's credentials cannot be fetched.
func CallerUnfetchable(detail string) *Refusal { return refuse(436, "Bad Identity Info", detail) }

// CallerUntrusted: the caller's credentials do not lead to the overlay's root.
func CallerUntrusted(detail string) *Refusal { return refuse(437, "Unsupported Credential", detail) }

// CallerForged: the caller's signature is wrong.
func CallerForged(detail string) *Refusal { return refuse(438, "Invalid Identity Header", detail) }

// Stale: the request was signed too long ago, or one clock is wrong.
func Stale(detail string) *Refusal { return refuse(403, "Stale Date", detail) }

// Blocked: the callee has blocked the caller.
func Blocked(detail string) *Refusal { return refuse(603, "Decline", detail) }

// Unwanted: the callee does not want this call (RFC 8197).
func Unwanted(detail string) *Refusal { return refuse(607, "Unwanted", detail) }

// TooManyHops: Max-Forwards is used up.
func TooManyHops(detail string) *Refusal { return refuse(483, "Too Many Hops", detail) }

// Loop: the request has been here before.
func Loop(detail string) *Refusal { return refuse(482, "Loop Detected", detail) }

// NoCommonMedia: no shared encryption or codec.
func NoCommonMedia(detail string) *Refusal { return refuse(488, "Not Acceptable Here", detail) }

// Forbidden refuses what is not allowed here.
func Forbidden(detail string) *Refusal { return refuse(403, "Forbidden", detail) }

// Internal: something went wrong that is nobody's fault outside.
func Internal(detail string) *Refusal { return refuse(500, "Server Internal Error", detail) }

func refuse(code int, reason, warning string) *Refusal {
	return &Refusal{Code: code, Reason: reason, Warning: warning}
}

func retryLater(reason, warning string, retry time.Duration) *Refusal {
	return &Refusal{Code: 503, Reason: reason, Warning: warning, RetryAfter: max(retry, time.Second)}
}

func orElse(s, alternative string) string {
	if s == "" {
		return alternative
	}
	return s
}

// asRefusal finds the answer for a phone in an error.
func asRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok && r.Code >= 300 && r.Code <= 699 {
		return r
	}
	return Internal("the adapter could not do this; see its log")
}
