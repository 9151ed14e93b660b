package identity

import (
	"fmt"
	"strings"

	"golang.org/x/text/secure/precis"
)

// MaxUser and MaxOverlay bound the two halves of an AOR, in bytes.
const (
	MaxUser    = 64
	MaxOverlay = 64
)

// AOR is an address of record, sip:user@overlay, in its canonical form. It is
// comparable; the zero value names nobody.
type AOR struct{ user, overlay string }

// NewAOR canonicalises both halves: the user part by PRECIS
// UsernameCaseMapped (RFC 8265 §3.3), the overlay name as a lower-case host
// name. It returns ErrMalformed for anything that does not fit.
func NewAOR(user, overlay string) (AOR, error) {
	u, err := NormalizeUser(user)
	if err != nil {
		return AOR{}, err
	}
	o, err := NormalizeOverlay(overlay)
	if err != nil {
		return AOR{}, err
	}
	return AOR{u, o}, nil
}

// ParseAOR reads "sip:user@overlay" or "user@overlay".
func ParseAOR(text string) (AOR, error) {
	rest := strings.TrimPrefix(text, "sip:")
	user, overlay, ok := strings.Cut(rest, "@")
	if !ok {
		return AOR{}, fmt.Errorf("%w: %q is not a name of the form user@overlay", ErrMalformed, text)
	}
	return NewAOR(user, overlay)
}

// NormalizeUser returns the canonical user part of a name.
func NormalizeUser(user string) (string, error) {
	if len(user) > MaxUser {
		return "", fmt.Errorf("%w: a name may have at most %d bytes", ErrMalformed, MaxUser)
	}
	u, err := precis.UsernameCaseMapped.String(user)
	if err != nil {
		return "", fmt.Errorf("%w: %q cannot be a name: %v", ErrMalformed, user, err)
	}
	// RFC 8264 §7: the mappings are not idempotent for a few characters.
	if again, err := precis.UsernameCaseMapped.String(u); err != nil || again != u {
		return "", fmt.Errorf("%w: %q has no canonical form", ErrMalformed, user)
	}
	if u == "" || len(u) > MaxUser {
		return "", fmt.Errorf("%w: a name has 1 to %d bytes", ErrMalformed, MaxUser)
	}
	if strings.ContainsAny(u, "@:;<>?&=,\"/ \x00") {
		return "", fmt.Errorf("%w: %q has a character that a SIP name cannot have", ErrMalformed, user)
	}
	return u, nil
}

// NormalizeOverlay returns the canonical overlay name: a lower-case host name
// of letters, digits, hyphens and dots.
func NormalizeOverlay(overlay string) (string, error) {
	o := strings.ToLower(overlay)
	if o == "" || len(o) > MaxOverlay {
		return "", fmt.Errorf("%w: an overlay name has 1 to %d bytes", ErrMalformed, MaxOverlay)
	}
	for label := range strings.SplitSeq(o, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return "", fmt.Errorf("%w: %q is not a host name", ErrMalformed, overlay)
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return "", fmt.Errorf("%w: %q is not a host name", ErrMalformed, overlay)
			}
		}
	}
	return o, nil
}

// User returns the canonical user part.
func (a AOR) User() string { return a.user }

// Overlay returns the canonical overlay name.
func (a AOR) Overlay() string { return a.overlay }

// IsZero tells whether a names nobody.
func (a AOR) IsZero() bool { return a == AOR{} }

// String returns "sip:user@overlay".
func (a AOR) String() string { return "sip:" + a.user + "@" + a.overlay }

// MarshalText implements encoding.TextMarshaler.
func (a AOR) MarshalText() ([]byte, error) {
	if a.IsZero() {
		return nil, nil
	}
	return []byte(a.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler; it accepts only the
// canonical form.
func (a *AOR) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = AOR{}
		return nil
	}
	v, err := ParseAOR(string(text))
	if err != nil {
		return err
	}
	if v.String() != string(text) {
		return fmt.Errorf("%w: %q is not in canonical form (%s)", ErrMalformed, text, v)
	}
	*a = v
	return nil
}
