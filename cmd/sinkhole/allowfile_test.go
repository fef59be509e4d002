package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What is allowed by mistake or on purpose: the entry as it is written, or why it is not.
func TestAllowEntry(t *testing.T) {
	for text, want := range map[string]string{
		" Good.Example. ": "good.example", "_dmarc.good.example": "_dmarc.good.example", "bücher.example": "xn--bcher-kva.example",
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "192.0.2.77/24": "192.0.2.0/24", "2001:db8::1/48": "2001:db8::/48", "user.github.io": "user.github.io",
		"": "", ".": "", "com": "", "co.uk": "", "github.io": "", "localhost": "", "0.0.0.0/0": "", "10.0.0.0/8": "", "::/0": "", "2001:db8::/31": "", "::ffff:0.0.0.0/96": "",
		"http://x.example/": "", "a b.example": "", "a#b.example": "", "*.good.example": "", "x.example\nevil.example": "", "a..b": "",
	} {
		got, err := allowEntry(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
}

// An entry allowed in the console acts with the next query and outlives a restart; what was
// written by hand stays; taken out again, the name is blocked again.
func TestAllowFile(t *testing.T) {
	dig := tool(t, "dig")
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("l.txt", "evil.example\nbad.example\nother.example\n")
	write("allowed.txt", "; ours\nother.example\n")
	p := startProcess(t, dir, "lists: [{name: police, source: l.txt}]\nallow_file: allowed.txt\nhits: {journal: {path: hits}}\nsinkhole: {ipv4: 203.0.113.9}")
	blocked := func(name string) bool {
		host, port, _ := strings.Cut(p.dns, ":")
		out, err := exec.Command(dig, "@"+host, "-p", port, "+short", name).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Contains(string(out), "203.0.113.9")
	}
	call := func(method, path, body string, want int) string {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://%s/api/v1%s", p.http, path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, _ := io.ReadAll(a.Body)
		if a.StatusCode != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, a.StatusCode, text, want)
		}
		return string(text)
	}
	if !blocked("evil.example") || !blocked("bad.example") || blocked("other.example") {
		t.Fatal("not blocked as the files say")
	}
	call("POST", "/allow", `{"entry":"EVIL.example","comment":"ours\n# evil"}`, 200)
	if blocked("evil.example") || blocked("www.evil.example") {
		t.Error("blocked after it was allowed")
	}
	call("POST", "/allow", `{"entry":"evil.example"}`, 422)
	call("POST", "/allow", `{"entry":"com"}`, 422)
	p.stop()
	p.start()
	if blocked("evil.example") || !blocked("bad.example") {
		t.Error("not so any more after a restart")
	}
	for _, entry := range []string{"evil.example", "other.example"} { // most of it, then all: on purpose, so not held
		call("DELETE", "/allow/"+entry, "", 200)
		if !blocked(entry) {
			t.Errorf("%s is not blocked again", entry)
		}
	}
	call("DELETE", "/allow/none.example", "", 422)
	text, err := os.ReadFile(dir + "/allowed.txt")
	if err != nil || string(text) != "; ours\n" {
		t.Errorf("left is %q %v", text, err)
	}
	audit := call("GET", "/events?dataset=audit", "", 200)
	for _, want := range []string{`"action":"allow","outcome":"success"`, `"action":"disallow"`, `"outcome":"failure"`, `"object":"evil.example"`} {
		if !strings.Contains(audit, want) {
			t.Errorf("%s is not in %s", want, audit)
		}
	}
}
