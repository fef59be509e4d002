package resolver

import (
	"strings"
	"testing"

	"sinkhole/resolver/wire"
)

// The text of an upstream is passed on as what a terminal shows, and no longer than a
// sentence.
func TestUpstreamEDE(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"validation failure":           "validation failure",
		"ends in null\x00":             "ends in null",
		"null\x00within":               "",
		"\x1b[31mred":                  "",
		"two\nlines":                   "",
		"not \xff UTF-8":               "",
		"turned \u202e around":         "",
		"größer":                       "größer",
		strings.Repeat("a", 1000):      strings.Repeat("a", maxUpstreamText),
		"a" + strings.Repeat("ü", 200): "a" + strings.Repeat("ü", (maxUpstreamText-1)/2),
	} {
		got := upstreamEDE(&wire.Reply{HasEDE: true, EDECode: 6, EDEText: []byte(text)})
		if got.Code != 6 || got.Text != want {
			t.Errorf("%q: got %d %q, want %q", text, got.Code, got.Text, want)
		}
	}
	if got := upstreamEDE(&wire.Reply{HasEDE: true, EDEText: []byte("other")}); got != (wire.EDE{}) {
		t.Errorf("code 0: got %v", got)
	}
}
