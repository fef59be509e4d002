package main

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the files of an example hold, by the end of their path.
func exampleFile(path string) string {
	switch base := filepath.Base(path); {
	case strings.HasSuffix(base, ".csv"):
		return "indicator,type,family,confidence\nlumma.example,domain,Lumma Stealer,90\n"
	case strings.HasSuffix(base, ".rpz"):
		return "$ORIGIN rpz.example.\n@ 3600 SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\nvidar.example CNAME .\n"
	case strings.HasSuffix(base, ".tsig"):
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 64))) + "\n"
	case strings.Contains(path, "/secrets/"):
		return "key\n"
	case strings.Contains(path, "/groups/"):
		return "198.51.100.77\n"
	case strings.HasPrefix(base, "popular"):
		return "1,popular.example\n"
	case strings.HasPrefix(base, "public_suffix_list"):
		return "// ===BEGIN ICANN DOMAINS===\ncom\nexample\n// ===END ICANN DOMAINS===\n"
	case strings.HasPrefix(base, "own") || strings.HasPrefix(base, "allow"):
		return "portal.isp.example\n"
	}
	return "redline.example\n"
}

// Each example passes `sinkhole check` with files where it says that there are some: whoever
// takes one over has to do no more than to put his own there.
func TestExamplesCheck(t *testing.T) {
	examples, err := filepath.Glob("../../configs/examples/*.yaml")
	if err != nil || len(examples) < 2 {
		t.Fatal(examples, err)
	}
	for _, example := range append(examples, "../../configs/packaging/sinkhole.yaml") {
		t.Run(filepath.Base(example), func(t *testing.T) {
			dir := t.TempDir()
			text := string(readText(t, example))
			for _, path := range regexp.MustCompile(`/etc/sinkhole/[\w./*-]+`).FindAllString(text, -1) {
				file := filepath.Join(dir, strings.ReplaceAll(path, "*", "one"))
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, file, exampleFile(file))
				if err := os.Chmod(file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			text = strings.NewReplacer("/etc/sinkhole/", dir+"/etc/sinkhole/", "/var/lib/sinkhole", dir+"/state").Replace(text)
			config := filepath.Join(dir, "sinkhole.yaml")
			write(t, config, text)
			out, err := exec.Command("sinkhole", "check", "-c", config).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "no faults") {
				t.Errorf("%v\n%s", err, out)
			}
			if regexp.MustCompile(`[1-9]\d* malformed`).Match(out) {
				t.Errorf("a file was not read as it is meant:\n%s", out)
			}
		})
	}
}
