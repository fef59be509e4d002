package main

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// An outage of the upstreams is when operators restart: queries that wait for
// silent servers, and a silent client of the console, must not hold up the end.
// What waits is told SERVFAIL.
func TestStopWhileWaiting(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dir := t.TempDir()
	p := startProcess(t, dir, "hits: {journal: {path: data/hits}}")
	p.stop()
	config, err := os.ReadFile(p.path("sinkhole.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config = []byte(strings.Replace(string(config), p.upstream.String(), silent.LocalAddr().String(), 1) + "\n")
	config = []byte(strings.Replace(string(config), "upstream: {", "upstream: {timeout: 20s, ", 1))
	if err := os.WriteFile(p.path("sinkhole.yaml"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	p.start()
	idle, err := net.Dial("tcp", p.http)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()

	type outcome struct {
		answer *dns.Msg
		err    error
	}
	outcomes := make(chan outcome, 2)
	for _, network := range []string{"udp", "tcp"} {
		go func() {
			c := dns.Client{Net: network, Timeout: patience}
			m, _, err := c.Exchange(new(dns.Msg).SetQuestion(network+".clean.example.", dns.TypeA), p.dns)
			outcomes <- outcome{m, err}
		}()
	}
	if err := eventually(func() error {
		if n := p.metric("sinkhole_queries_waiting", ""); n < 2 {
			return errWaiting(n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if took := p.stop(); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	for range 2 {
		if o := <-outcomes; o.err != nil || o.answer.Rcode != dns.RcodeServerFailure {
			t.Errorf("answer %v, error %v: want SERVFAIL", o.answer, o.err)
		}
	}
}

type errWaiting float64

func (errWaiting) Error() string { return "fewer than 2 queries wait" }
