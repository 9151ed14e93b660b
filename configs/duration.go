package configs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written with days: "90d", "1d12h", "5m".
type Duration time.Duration

// Units.
const (
	Second = Duration(time.Second)
	Minute = Duration(time.Minute)
	Hour   = Duration(time.Hour)
	Day    = 24 * Hour
)

// maxDays keeps the sum within 64 bit.
const maxDays = 36500

// ParseDuration reads an optional number of days and then what
// time.ParseDuration takes. Durations are not negative.
func ParseDuration(text string) (Duration, error) {
	bad := fmt.Errorf("%q is not a duration such as 90d, 36h, 5m or 30s", text)
	rest := text
	var sum Duration
	if days, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > maxDays {
			return 0, bad
		}
		sum, rest = Duration(n)*Day, after
		if rest == "" {
			return sum, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || time.Duration(sum)+d < 0 {
		return 0, bad
	}
	return sum + Duration(d), nil
}

// Std returns d for the standard library.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the short form: "90d", "1d12h", "5m".
func (d Duration) String() string {
	days, rest := d/Day, time.Duration(d%Day)
	s := ""
	if days > 0 {
		s = strconv.FormatInt(int64(days), 10) + "d"
	}
	if rest == 0 && days > 0 {
		return s
	}
	text := rest.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return s + text
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
