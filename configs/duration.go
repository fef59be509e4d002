package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// ParseDuration reads a duration as the configuration writes it: what
// time.ParseDuration reads but nothing below zero, and days and weeks, as in
// 90d or 1w.
func ParseDuration(s string) (time.Duration, error) {
	const expected = `expected a number with its unit, as in "500ms", "2s", "15m", "24h", "90d" or "1w"`
	if s == "0" {
		return 0, nil
	}
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("found %q, expected a duration that is not below zero", s)
	}
	if digits(s) == len(s) && s != "" {
		return 0, fmt.Errorf("found %s without a unit, %s; did you mean %ss?", s, expected, s)
	}
	var total float64
	rest := s
	for rest != "" {
		n := digits(rest)
		if n < len(rest) && rest[n] == '.' {
			n += 1 + digits(rest[n+1:])
		}
		value, err := strconv.ParseFloat(rest[:n], 64)
		if err != nil {
			return 0, fmt.Errorf("found %q, %s", s, expected)
		}
		rest = rest[n:]
		u := strings.IndexAny(rest, ".0123456789")
		if u < 0 {
			u = len(rest)
		}
		unit, ok := durationUnit(rest[:u])
		if !ok {
			return 0, fmt.Errorf("found %q, %s", s, expected)
		}
		rest = rest[u:]
		total += value * float64(unit)
		if total >= math.MaxInt64 {
			return 0, fmt.Errorf("found %q, expected less than 292 years", s)
		}
	}
	if s == "" {
		return 0, fmt.Errorf("found nothing, %s", expected)
	}
	return time.Duration(math.Round(total)), nil
}

func durationUnit(s string) (time.Duration, bool) {
	switch s {
	case "ns":
		return time.Nanosecond, true
	case "us", "µs", "μs":
		return time.Microsecond, true
	case "ms":
		return time.Millisecond, true
	case "s":
		return time.Second, true
	case "m":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return day, true
	case "w":
		return week, true
	}
	return 0, false
}

// formatDuration writes a duration as people write it in the file: 60s and 24h,
// not 1m and 1d.
func formatDuration(d time.Duration) string {
	switch {
	case d != 0 && d%day == 0 && d/day > 1:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d != 0 && d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d != 0 && d%time.Minute == 0 && d/time.Minute > 1:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	case d%time.Second == 0:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return d.String()
}

// digits counts the decimal digits that s begins with.
func digits(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}
