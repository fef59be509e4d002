package inventory

import (
	"strings"
	"time"
)

// Time is Unix nanoseconds, 0 for never; as text RFC 3339 in UTC.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000000000Z"

func timeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixNano())
}

// String is "" for never.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return time.Unix(0, int64(t)).UTC().Format(timeLayout)
}

// MarshalText implements [encoding.TextMarshaler].
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Time) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*t = 0
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(text)))
	if err == nil {
		*t = Time(at.UnixNano())
	}
	return err
}
