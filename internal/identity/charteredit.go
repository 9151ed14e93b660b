package identity

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
)

// Rule is one value of a charter, as people read and change it.
type Rule struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Seconds bool   `json:"seconds,omitempty"` // Value is a number of seconds
	Fixed   bool   `json:"fixed,omitempty"`   // no later edition can change it
}

// number is a rule that is a number: its key, and where it stands.
type number struct {
	key     string
	at      func(c *Charter) any // *uint8, *uint32 or *uint64
	seconds bool
}

func numbers() []number {
	return []number{
		{"owner-records", func(c *Charter) any { return &c.OwnerRecords }, false},
		{"owner-bytes", func(c *Charter) any { return &c.OwnerBytes }, false},
		{"store-bytes", func(c *Charter) any { return &c.StoreBytes }, false},
		{"registration-lifetime", func(c *Charter) any { return &c.RegistrationLifetime }, true},
		{"registration-refresh", func(c *Charter) any { return &c.RegistrationRefresh }, true},
		{"certificate-lifetime", func(c *Charter) any { return &c.CertificateLifetime }, true},
		{"renew-after", func(c *Charter) any { return &c.RenewAfter }, true},
		{"grace", func(c *Charter) any { return &c.Grace }, true},
		{"share-lifetime", func(c *Charter) any { return &c.ShareLifetime }, true},
		{"max-devices", func(c *Charter) any { return &c.MaxDevices }, false},
	}
}

const keyPaths = "paths"

// Rules returns what the charter says, those that are fixed first.
func (c Charter) Rules() []Rule {
	fixed := func(key string, v uint8) Rule { return Rule{Key: key, Value: strconv.Itoa(int(v)), Fixed: true} }
	out := []Rule{fixed("k", c.K), fixed("n", c.N), fixed("registration-replicas", c.RegistrationReplicas)}
	for _, n := range numbers() {
		out = append(out, Rule{Key: n.key, Value: strconv.FormatUint(get(n.at(&c)), 10), Seconds: n.seconds})
	}
	return append(out, Rule{Key: keyPaths, Value: strings.Join(c.Paths, ",")})
}

func get(field any) uint64 {
	switch f := field.(type) {
	case *uint8:
		return uint64(*f)
	case *uint32:
		return uint64(*f)
	case *uint64:
		return *f
	}
	return 0
}

// Edit returns the next edition of the charter: with these values by their keys,
// as Rules writes them, and one number higher. The error wraps ErrMalformed or
// ErrFixed.
func (c Charter) Edit(values map[string]string, now time.Time) (Charter, error) {
	next := c
	next.Seq, next.Issued = c.Seq+1, max(now.UnixMilli(), c.Issued)
	for _, r := range c.Rules() {
		v, ok := values[r.Key]
		switch {
		case !ok:
		case r.Fixed:
			return Charter{}, fmt.Errorf("%w: %s", ErrFixed, r.Key)
		case r.Key == keyPaths:
			next.Paths = strings.Split(v, ",")
		default:
			if err := next.setNumber(r.Key, v); err != nil {
				return Charter{}, err
			}
		}
	}
	for key := range values {
		if !slices.ContainsFunc(c.Rules(), func(r Rule) bool { return r.Key == key }) {
			return Charter{}, fmt.Errorf("%w: a charter has no %q", ErrMalformed, key)
		}
	}
	return next, next.Validate()
}

func (c *Charter) setNumber(key, value string) error {
	numbers := numbers()
	i := slices.IndexFunc(numbers, func(n number) bool { return n.key == key })
	field := numbers[i].at(c)
	most := uint64(math.MaxUint64)
	switch field.(type) {
	case *uint8:
		most = math.MaxUint8
	case *uint32:
		most = math.MaxUint32
	}
	v, err := strconv.ParseUint(value, 10, 64)
	if err != nil || v > most {
		return fmt.Errorf("%w: %s is no number from 0 to %d: %q", ErrMalformed, key, most, value)
	}
	switch f := field.(type) {
	case *uint8:
		*f = uint8(v)
	case *uint32:
		*f = uint32(v)
	case *uint64:
		*f = v
	}
	return nil
}

// Edition returns the number that a charter says that it has, and 0 for none:
// nothing of it is verified.
func (s SignedCharter) Edition() uint64 {
	if len(s) > maxCharter {
		return 0
	}
	payload, err := canon.Payload(s)
	var c Charter
	if err != nil || canon.Unmarshal(payload, &c) != nil {
		return 0
	}
	return c.Seq
}
