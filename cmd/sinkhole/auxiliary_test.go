package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"sinkhole/blocklist"
)

// TestFilesBesideLists changes what a configuration names beside its lists while
// the server runs: a key, clients who opt out, popular names.
func TestFilesBesideLists(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "n3w" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "lumma.example\npopular.example\n")
	}))
	defer origin.Close()
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("key", "0ld\n")
	put("out.txt", "# nobody\n")
	put("popular.csv", "1,other.example\n")
	p := startProcess(t, dir, fmt.Sprintf(`lists: [{name: cert, source: %q, action: nxdomain, auth: {header: X-Key, secret_file: key}}]
groups: [{name: out, clients: [out.txt], mode: "off"}]
guard: {hold: [popular.csv]}`, origin.URL+"/list"))
	if err := eventually(func() error {
		if got := p.metric("sinkhole_list_state", `state="failed"`); got != 1 {
			return fmt.Errorf("failed is %v", got)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	put("key", "n3w\n")
	p.answered("lumma.example", blockedAnswer)
	p.answered("popular.example", blockedAnswer)
	put("popular.csv", "1,popular.example\n")
	p.answered("popular.example", passedAnswer)
	p.holds("lumma.example", blockedAnswer)
	put("out.txt", "127.0.0.0/8\n")
	p.answered("lumma.example", passedAnswer)
	put("out.txt", "")
	p.answered("lumma.example", blockedAnswer)
	p.stop()
}

func TestListsText(t *testing.T) {
	list := func(state string, n int) (all []blocklist.Status) {
		for range n {
			all = append(all, blocklist.Status{State: state})
		}
		return all
	}
	for want, lists := range map[string][]blocklist.Status{
		"0 lists":                               nil,
		"1 list":                                list(blocklist.StateOK, 1),
		"3 lists":                               append(list(blocklist.StateStale, 2), list(blocklist.StateHeld, 1)...),
		"2 lists, of which 1 is being fetched":  append(list(blocklist.StateOK, 1), list(blocklist.StateFetching, 1)...),
		"2 lists, of which 2 are being fetched": list(blocklist.StateFetching, 2),
		"2 lists, of which 1 could not be read": append(list(blocklist.StateOK, 1), list(blocklist.StateFailed, 1)...),
		"4 lists, of which 2 are being fetched and 2 could not be read": append(list(blocklist.StateFetching, 2), list(blocklist.StateFailed, 2)...),
	} {
		if got := listsText(lists); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestApprovedBeside(t *testing.T) {
	for entry, want := range map[string]string{
		"pastebin.com": "*.pastebin.com", "*.pastebin.com": "pastebin.com itself",
		"192.0.2.1": "", "192.0.2.0/24": "", "2001:db8::1": "", "2001:db8::/32": "", "the content sha256:12": "",
	} {
		if got := approvedBeside(entry); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", entry, got, want)
		}
	}
}
