package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// A list from the network as /metrics shows it: fetched, held, out of reach.
func TestListMetrics(t *testing.T) {
	var content atomic.Pointer[string]
	publish := func(text string) { content.Store(&text) }
	publish(strings.Join([]string{"lumma.example", "vidar.example", "redline.example", "co.uk", "bad!name.example", ""}, "\n"))
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if text := *content.Load(); text != "" {
			fmt.Fprint(w, text)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer origin.Close()
	p := startProcess(t, t.TempDir(), fmt.Sprintf("lists: [{name: cert, source: %q}]", origin.URL+"/list"))
	expect := func(what string, labels string, want float64) {
		t.Helper()
		if err := eventually(func() error {
			if got := p.metric(what, labels); got != want {
				return fmt.Errorf("%s{%s} is %v, expected %v", what, labels, got, want)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	expect("sinkhole_list_state", `state="ok"`, 1)
	expect("sinkhole_list_entries", "", 4)
	expect("sinkhole_list_rules", "", 3)
	expect("sinkhole_list_entries_left_out", `"guard_refused"`, 1)
	expect("sinkhole_list_entries_left_out", `"malformed"`, 1)
	expect("sinkhole_list_fetch_error", "", 0)
	m := p.metrics()
	if m.sum("sinkhole_policy_memory_bytes", "") <= 0 {
		t.Error("the policy takes no memory")
	}
	for _, since := range []string{"loaded", "fetched", "confirmed"} {
		if age, found := m[fmt.Sprintf(`sinkhole_list_age_seconds{list="cert",since=%q}`, since)]; !found || age < 0 || age > 60 {
			t.Errorf("age since %s is %v", since, age)
		}
	}

	publish("lumma.example\n")
	p.run("lists", "refresh")
	expect("sinkhole_list_state", `state="held"`, 1)
	expect("sinkhole_list_rules", "", 3)
	p.run("lists", "approve", "cert", "--version", fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("lumma.example\n"))))
	expect("sinkhole_list_state", `state="ok"`, 1)
	expect("sinkhole_list_rules", "", 1)

	publish("")
	p.fails("lists", "refresh")
	expect("sinkhole_list_state", `state="stale"`, 1)
	expect("sinkhole_list_fetch_error", "", 1)
	expect("sinkhole_list_fetch_failures", "", 1)
	p.stop()
}
