package configs

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "2s": 2 * time.Second, "15m": 15 * time.Minute,
		"24h": 24 * time.Hour, "90d": 90 * 24 * time.Hour, "1w": 7 * 24 * time.Hour, "1w2d3h4m5s": 219*time.Hour + 4*time.Minute + 5*time.Second,
		"1.5h": 90 * time.Minute, "0.5d": 12 * time.Hour, "10us": 10 * time.Microsecond, "7ns": 7,
	} {
		if got, err := ParseDuration(text); got != want || err != nil {
			t.Errorf("%q: got %v, error %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", "2", "-1s", "1y", "1M", "1 s", "s1", "1s ", "1..5s", ".s", "300y", "9999999w", "1e3s", "١s", "+1s", "inf", "0x1s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestDurationsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, text := range []string{"0s", "1s", "60s", "15m", "1h", "24h", "36h", "90d", "500ms", "1.5s", "90s"} {
		d, err := ParseDuration(text)
		if err != nil || formatDuration(d) != text {
			t.Errorf("%q is written %q (error %v)", text, formatDuration(d), err)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "67108864": 64 << 20, "1B": 1, "64KiB": 64 << 10, "64MiB": 64 << 20, "20GiB": 20 << 30, "2TiB": 2 << 40,
		"1KB": 1000, "1kB": 1000, "500MB": 500_000_000, "3GB": 3_000_000_000, "1TB": 1_000_000_000_000, "64 MiB": 64 << 20,
	} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%q: got %d, error %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "64M", "64mib", "-1", "1.5GiB", "8EiB", "9223372036854775808", "8388608TiB", "0x10", "1_000", "64MiB "} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestPercents(t *testing.T) {
	for text, want := range map[string]Percent{"0%": 0, "50%": 50, "100%": 100} {
		if got, err := parsePercent(text); got != want || err != nil {
			t.Errorf("%q: got %v, error %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "%", "50", "101%", "-1%", "1.5%", "50 %", "50%%"} {
		if got, err := parsePercent(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestSinks(t *testing.T) {
	for _, text := range []string{"192.0.2.1", "2001:db8::1", "auto", "none", "2001:db8:5::/64", ""} {
		if got, err := parseSink(text); got.String() != text || err != nil {
			t.Errorf("%q: got %v, error %v", text, got, err)
		}
	}
	for _, text := range []string{"192.0.2.1:80", "fe80::1%eth0", "AUTO", "sink.example", "192.0.2.1/33"} {
		if got, err := parseSink(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1},
		{"jurnal", "journal", 1}, {"anwser", "answer", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
