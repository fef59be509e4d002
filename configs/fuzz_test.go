package configs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzLoad holds that any bytes give either a configuration that passes its own
// rules or faults at places that exist, and that how lines end changes nothing.
func FuzzLoad(f *testing.F) {
	f.Add(Reference())
	for _, pattern := range []string{"testdata/*.yaml", "examples/*.yaml", "docker.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: %d files, error %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data, "")
		if err != nil {
			checkFaults(t, data, err)
			return
		}
		d := &decoder{source: c.source}
		d.validate(c)
		if len(d.faults) > 0 {
			t.Fatalf("accepted with faults: %v", d.faults)
		}
		if bytes.ContainsRune(data, '\r') {
			return
		}
		other, err := Parse("fuzz.yaml", bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")), "")
		if err != nil {
			t.Fatalf("refused with other line ends: %v", err)
		}
		if changed := Changed(c, other); changed != nil {
			t.Fatalf("other line ends change %v", changed)
		}
	})
}

func checkFaults(t *testing.T, data []byte, err error) {
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) == 0 {
		t.Fatalf("got %T %v, want Faults", err, err)
	}
	if last := len(faults) - 1; last == maxFaults {
		faults = faults[:last]
	}
	if !slices.IsSortedFunc(faults, func(a, b Fault) int { return a.Line - b.Line }) {
		t.Errorf("not sorted: %v", faults)
	}
	lines := 1 + bytes.Count(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n")) + bytes.Count(data, []byte("\r"))
	for _, fault := range faults {
		if fault.Message == "" || fault.Line < 1 || fault.Column < 1 || fault.Line > lines {
			t.Errorf("%+v in a text of %d lines", fault, lines)
		}
		if strings.ContainsAny(fault.String(), "\n\r\x1b") {
			t.Errorf("a message of several lines or with terminal codes: %q", fault.String())
		}
	}
}
