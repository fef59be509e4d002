package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a running `sinkhole serve` with a configuration of its own.
type process struct {
	t        testing.TB
	dir      string
	dns      string // address of the DNS listener
	http     string // address of /metrics
	upstream testUpstream
	cmd      *exec.Cmd
	stderr   *bytes.Buffer
	started  time.Time
	sockets  []*os.File // that it is passed
}

// startProcess runs the server. lists is YAML for the keys that the test is
// about; the rest is filled in.
func startProcess(t testing.TB, dir, lists string) *process {
	t.Helper()
	p := preparedProcess(t, dir, "127.0.0.1:"+freePort(t), lists)
	p.start()
	return p
}

// preparedProcess is one that does not run yet.
func preparedProcess(t testing.TB, dir, addr, lists string) *process {
	t.Helper()
	p := &process{
		t: t, dir: dir, dns: addr, http: "127.0.0.1:" + freePort(t), upstream: startUpstream(t),
		stderr: new(bytes.Buffer),
	}
	config := fmt.Sprintf("listen: {dns: [%q]}\nconsole: {listen: %q}\nupstream: {servers: [%q]}\nlog: {format: json}\n%s\n", p.dns, p.http, p.upstream, lists)
	if err := os.WriteFile(p.path("sinkhole.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command("sinkhole", "serve", "-c", p.path("sinkhole.yaml"))
	if p.sockets != nil {
		activated(p.cmd, p.sockets)
	}
	p.cmd.Stderr = p.stderr
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	if err := waitReady(p.http); err != nil {
		p.t.Fatalf("%v\n%s", err, p.stderr)
	}
}

// stop sends SIGTERM and returns how long the end took. The server must exit 0.
func (p *process) stop() time.Duration {
	p.t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("after SIGTERM: %v\n%s", err, p.stderr)
	}
	return time.Since(begin)
}

// account is the accounting of hits as the server logged it at its end.
type account struct{ Verdicts, Journaled, Queued, Lost int }

func (p *process) account() (a account) {
	p.t.Helper()
	at := bytes.LastIndex(p.stderr.Bytes(), []byte(`"hits accounted for"`))
	if at < 0 {
		p.t.Fatalf("the account of hits was not logged:\n%s", p.stderr)
	}
	line := p.stderr.Bytes()[bytes.LastIndexByte(p.stderr.Bytes()[:at], '\n')+1:]
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&a); err != nil {
		p.t.Fatal(err)
	}
	return a
}

// metrics are the samples of one scrape, by name with labels.
type metrics map[string]float64

func (p *process) metrics() metrics {
	p.t.Helper()
	r, err := http.Get("http://" + p.http + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	m := metrics{}
	for s := bufio.NewScanner(r.Body); s.Scan(); {
		at := strings.LastIndexByte(s.Text(), ' ')
		if at < 0 || strings.HasPrefix(s.Text(), "#") {
			continue
		}
		if m[s.Text()[:at]], err = strconv.ParseFloat(s.Text()[at+1:], 64); err != nil {
			p.t.Fatal(err)
		}
	}
	return m
}

// sum adds up a metric over its labels; some selects by a part of them.
func (m metrics) sum(name, some string) (sum float64) {
	for key, v := range m {
		if base, _, _ := strings.Cut(key, "{"); base == name && strings.Contains(key, some) {
			sum += v
		}
	}
	return sum
}

// metric is one metric of a scrape of its own.
func (p *process) metric(name, some string) float64 {
	p.t.Helper()
	return p.metrics().sum(name, some)
}

// resident is the memory of the process in MiB.
func (p *process) resident() float64 {
	return p.metric("process_resident_memory_bytes", "") / (1 << 20)
}

// run runs another command on the same configuration.
func (p *process) run(args ...string) (stdout string) {
	p.t.Helper()
	cmd := exec.Command("sinkhole", append(args, "-c", p.path("sinkhole.yaml"))...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("sinkhole %s: %v\n%s", strings.Join(args, " "), err, &errs)
	}
	return string(out)
}

// fails runs another command that must not succeed.
func (p *process) fails(args ...string) {
	p.t.Helper()
	if out, err := exec.Command("sinkhole", append(args, "-c", p.path("sinkhole.yaml"))...).CombinedOutput(); err == nil {
		p.t.Fatalf("sinkhole %s succeeded:\n%s", strings.Join(args, " "), out)
	}
}

// activated makes the command of a process pass sockets, as systemd does.
func activated(cmd *exec.Cmd, files []*os.File) {
	cmd.ExtraFiles = files
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=` + string(rune('0'+len(files))) + ` exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}
