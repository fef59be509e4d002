package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	kibibyte int64 = 1 << 10
	mebibyte int64 = 1 << 20
	gibibyte int64 = 1 << 30
	tebibyte int64 = 1 << 40
)

// parseSize reads a number of bytes: a plain integer, or one with a binary
// (KiB, MiB, GiB, TiB) or decimal (KB, MB, GB, TB) unit.
func parseSize(s string) (int64, error) {
	const expected = `expected a size, as in "64MiB", "20GiB", "500MB" or a whole number of bytes`
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("found %q, expected a size that is not below zero", s)
	}
	n := digits(s)
	if n == 0 {
		return 0, fmt.Errorf("found %q, %s", s, expected)
	}
	unit, ok := sizeUnit(strings.TrimLeft(s[n:], " "))
	if !ok {
		return 0, fmt.Errorf("found %q, %s", s, expected)
	}
	value, err := strconv.ParseInt(s[:n], 10, 64)
	if err != nil || value > math.MaxInt64/unit {
		return 0, fmt.Errorf("found %q, expected less than 8 EiB", s)
	}
	return value * unit, nil
}

func sizeUnit(s string) (int64, bool) {
	switch s {
	case "", "B":
		return 1, true
	case "KiB":
		return kibibyte, true
	case "MiB":
		return mebibyte, true
	case "GiB":
		return gibibyte, true
	case "TiB":
		return tebibyte, true
	case "KB", "kB":
		return 1e3, true
	case "MB":
		return 1e6, true
	case "GB":
		return 1e9, true
	case "TB":
		return 1e12, true
	}
	return 0, false
}

func formatSize(n int64) string {
	switch {
	case n != 0 && n%tebibyte == 0:
		return strconv.FormatInt(n/tebibyte, 10) + "TiB"
	case n != 0 && n%gibibyte == 0:
		return strconv.FormatInt(n/gibibyte, 10) + "GiB"
	case n != 0 && n%mebibyte == 0:
		return strconv.FormatInt(n/mebibyte, 10) + "MiB"
	case n != 0 && n%kibibyte == 0:
		return strconv.FormatInt(n/kibibyte, 10) + "KiB"
	}
	return strconv.FormatInt(n, 10)
}
