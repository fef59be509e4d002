package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A new machine is told of by the running server, with its name, and by the next one no more.
func TestWebhookOfServer(t *testing.T) {
	type told struct {
		ID, Event string
		Machine   struct {
			Address, Name, Evidence string
			Families                []string
		}
	}
	took := make(chan told, 16)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		var x told
		if err := json.NewDecoder(q.Body).Decode(&x); err != nil {
			t.Error(err)
		}
		took <- x
	}))
	defer hook.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"x.csv": "indicator,family\nbad.example,Vidar\n", "names.csv": "address,name\n127.0.0.1,here\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := startProcess(t, dir, "lists: [{name: x, source: x.csv}]\nhits: {names: [names.csv], webhook: \""+hook.URL+"/\"}\n")
	ask := func(from string) {
		t.Helper()
		c := &dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}}
		if _, _, err := c.Exchange(new(dns.Msg).SetQuestion("bad.example.", dns.TypeA), p.dns); err != nil {
			t.Fatal(err)
		}
	}
	ask("127.0.0.1")
	select {
	case x := <-took:
		if m := x.Machine; x.Event != "new" || m.Address != "127.0.0.1" || m.Name != "here" || m.Evidence != "queried" || len(m.Families) != 1 {
			t.Errorf("%+v", x)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("told of nothing\n%s", p.stderr)
	}
	p.stop()
	if err := os.Remove(p.path("data/inventory.db")); err != nil {
		t.Fatal(err)
	}
	p.start()
	// They are told of in the order in which they were first seen: the second after the first.
	ask("127.0.0.1")
	ask("127.0.0.2")
	select {
	case x := <-took:
		if x.Event != "new" || x.Machine.Address != "127.0.0.2" {
			t.Errorf("told again: %+v", x)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("told of nothing\n%s", p.stderr)
	}
	p.stop()
	if len(took) > 0 {
		t.Errorf("told of more: %+v", <-took)
	}
}
