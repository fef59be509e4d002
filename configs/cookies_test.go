package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCookieSecrets(t *testing.T) {
	t.Parallel()
	const one, two = "e5e973e5a6b2a43f48e7dc849e37bfcf", "DD3BDF9344B678B185A6F5CB60FCA715"
	for name, test := range map[string]struct {
		text, fault string
		n           int
	}{
		"two, with a comment": {text: "# new\n" + one + "\n\n " + two + "\r\n", n: 2},
		"too short":           {text: one[2:], fault: ":1: found what is no secret, expected 32 hexadecimal digits"},
		"no digits":           {text: one + "\nsecret\n", fault: ":2: found what is no secret"},
		"nothing":             {text: "\n# later\n", fault: ": found no secret"},
	} {
		c := Clients{CookieSecretFile: filepath.Join(t.TempDir(), "cookies")}
		if err := os.WriteFile(c.CookieSecretFile, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := c.CookieSecrets()
		if test.fault == "" && (err != nil || len(all) != test.n) || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault) || strings.Contains(err.Error(), "secret\n")) {
			t.Errorf("%s: %d secrets, %v", name, len(all), err)
		}
	}
	if all, err := (&Clients{}).CookieSecrets(); err != nil || all != nil {
		t.Errorf("without a file: %v, %v", all, err)
	}
}
