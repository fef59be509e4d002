package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A receiver that comes late gets the hits of before; what a stop ends with, and what came
// while nobody listened, is not lost and not sent twice.
func TestHitsAreSentBySyslog(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "list.txt"), []byte("bad.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	to := "127.0.0.1:" + freePort(t)
	p := startProcess(t, dir, fmt.Sprintf("lists: [{name: police, source: list.txt}]\nhits: {journal: {path: data/hits}, syslog: \"tcp://%s\"}", to))
	if _, err := askOnce("udp", p.dns, "first.bad.example", 1); err != nil {
		t.Fatal(err)
	}
	if err := eventually(func() error {
		if p.metric("sinkhole_hits_receiver_failures_total", `operation="connect"`) == 0 {
			return fmt.Errorf("no failure is counted")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accept := func() *bufio.Reader {
		t.Helper()
		_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(30 * time.Second))
		conn, err := l.Accept()
		if err != nil {
			t.Fatalf("%v\n%s", err, p.stderr)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		return bufio.NewReader(conn)
	}
	// until reads on to the record that has text.
	until := func(in *bufio.Reader, text string) (all string) {
		t.Helper()
		for !strings.Contains(all, text) {
			more, err := in.ReadString('}')
			if err != nil {
				t.Fatalf("%s has not come: %v\n%s\n%s", text, err, all, p.stderr)
			}
			all += more
		}
		return all
	}
	in := accept()
	if got := until(in, `"name":"first.bad.example"`); !strings.Contains(got, `"action":"start"`) {
		t.Errorf("the journal's first record is missing:\n%s", got)
	}
	if err := eventually(func() error {
		if m := p.metrics(); m.sum("sinkhole_hits_receiver_connected", `by="syslog"`) != 1 || m.sum("sinkhole_hits_receiver_behind_seconds", "") > 5 {
			return fmt.Errorf("the receiver counts as away")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if _, err := askOnce("udp", p.dns, "last.bad.example", 1); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if got := until(in, `"action":"stop"`); !strings.Contains(got, `"name":"last.bad.example"`) {
		t.Errorf("a hit right before the stop is missing:\n%s", got)
	}
	p.start()
	if _, err := askOnce("udp", p.dns, "third.bad.example", 1); err != nil {
		t.Fatal(err)
	}
	if got := until(accept(), `"name":"third.bad.example"`); strings.Contains(got, "first.bad.example") || strings.Contains(got, "last.bad.example") {
		t.Errorf("sent again after a restart in order:\n%s", got)
	}
	p.stop()
}
