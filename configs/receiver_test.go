package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReceivers(t *testing.T) {
	for text, want := range map[string]Receiver{
		"":                             {},
		"udp://192.0.2.9":              {Network: "udp", Address: "192.0.2.9:514"},
		"udp://[2001:db8::1]":          {Network: "udp", Address: "[2001:db8::1]:514"},
		"tcp://logs.example:601":       {Network: "tcp", Address: "logs.example:601"},
		"tls://logs.example":           {Network: "tls", Address: "logs.example:6514"},
		"tls://logs.example?ca=/c.pem": {Network: "tls", Address: "logs.example:6514", CA: "/c.pem"},
		"tls://a:1?ca=/c&certificate=/d&key=/k%20y": {Network: "tls", Address: "a:1", CA: "/c", Certificate: "/d", Key: "/k y"},
	} {
		if got, err := (&Hits{Syslog: text}).SyslogReceiver(); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]Receiver{
		"unix:///run/dnstap.sock": {Network: "unix", Address: "/run/dnstap.sock"},
		"tcp://127.0.0.1:6000":    {Network: "tcp", Address: "127.0.0.1:6000"},
	} {
		if got, err := (&Hits{Dnstap: text}).DnstapReceiver(); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"logs.example":                      "expected udp://",
		"http://logs.example":               "expected udp://",
		"unix:///dev/log":                   "expected udp://",
		"udp:logs.example":                  "expected udp://",
		"udp://":                            `with the host ""`,
		"udp://a b":                         "expected udp://",
		"udp://-ü":                          `with the host "-ü"`,
		"udp://user@logs.example":           "expected udp://",
		"tcp://logs.example":                "without a port",
		"tcp://logs.example:0":              `with port "0"`,
		"tcp://logs.example:65536":          `with port "65536"`,
		"tcp://logs.example:x":              "expected udp://",
		"tls://logs.example/path":           `with the path "/path"`,
		"tcp://logs.example:1?ca=/c":        `with the parameter "ca"`,
		"tls://logs.example?cs=/c":          `with the parameter "cs"`,
		"tls://logs.example?ca=c":           "whole path",
		"tls://logs.example?ca=/a&ca=/b":    "whole path",
		"tls://logs.example?ca=%zz":         "cannot be read",
		"tls://logs.example?certificate=/c": "expected both or none",
		"\x00":                              "expected udp://",
	} {
		if got, err := (&Hits{Syslog: text}).SyslogReceiver(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"unix://run/x", "unix:x", "unix:///x?ca=/c", "udp://127.0.0.1:6000", "tcp://127.0.0.1"} {
		if got, err := (&Hits{Dnstap: text}).DnstapReceiver(); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func TestReceiverFilesAreNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Receiver{{CA: empty}, {CA: empty + "x"}, {Certificate: empty, Key: empty}} {
		if _, err := r.TLS(); err == nil || !strings.Contains(err.Error(), empty) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	c, err := Parse("sinkhole.yaml", []byte("hits: {syslog: \"tls://logs.example?ca="+empty+"\"}\n"), filepath.Dir(empty))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckFiles(); err == nil || !strings.Contains(err.Error(), ":1:16: hits.syslog: "+empty+": found no certificate") {
		t.Errorf("got %v", err)
	}
}
