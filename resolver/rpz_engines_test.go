package resolver

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// policyZone is one response policy zone of a test, in order.
type policyZone struct {
	name   string
	action string // what is to be done in place of what the zone says; "" for nothing
	broken bool   // BIND does not load it
	text   string
}

// sinkName is where the peers lead a client in place of a sinkhole address.
const sinkName = "sinkhole.net."

// startNamed writes the zones and a configuration for BIND and runs it.
func startNamed(t *testing.T, zones []policyZone, upstream string) *engine {
	t.Helper()
	program, dir, port := peerProgram(t, "named"), t.TempDir(), freePort(t)
	host, upstreamPort, err := net.SplitHostPort(upstream)
	check(t, err)
	var policies, files strings.Builder
	for _, z := range zones {
		check(t, os.WriteFile(filepath.Join(dir, z.name), []byte(z.text), 0o600))
		action := "given"
		switch z.action {
		case "":
		case "log":
			action = "disabled"
		case "sinkhole":
			action = "cname " + sinkName
		default:
			action = z.action
		}
		fmt.Fprintf(&policies, "    zone %q policy %s;\n", z.name, action)
		fmt.Fprintf(&files, "zone %q { type primary; file %q; check-names ignore; allow-query { any; }; };\n", z.name, filepath.Join(dir, z.name))
	}
	config := filepath.Join(dir, "named.conf")
	check(t, os.WriteFile(config, fmt.Appendf(nil, `options {
  directory %q;
  pid-file none;
  session-keyfile none;
  listen-on port %s { 127.0.0.1; };
  listen-on-v6 { none; };
  forwarders { %s port %s; };
  forward only;
  recursion yes;
  allow-query { any; };
  dnssec-validation no;
  qname-minimization off;
  empty-zones-enable no;
  minimal-any no;
  response-policy {
%s  } qname-wait-recurse no break-dnssec yes;
};
controls { };
%s`, dir, port, host, upstreamPort, policies.String(), files.String()), 0o600))
	return runEngine(t, "bind", port, func(said string) bool {
		for _, z := range zones {
			loaded := "rpz: " + z.name + ": reload done: success"
			if z.broken {
				loaded = "zone " + z.name + "/IN: not loaded due to errors."
			}
			if !strings.Contains(said, loaded) {
				return false
			}
		}
		return strings.Contains(said, " running\n")
	}, program, "-n", "1", "-g", "-c", config)
}

// startUnbound writes the zones and a configuration for unbound and runs it.
func startUnbound(t *testing.T, zones []policyZone, upstream string) *engine {
	t.Helper()
	program, dir, port := peerProgram(t, "unbound"), t.TempDir(), freePort(t)
	var policies strings.Builder
	for _, z := range zones {
		file := filepath.Join(dir, z.name)
		check(t, os.WriteFile(file, []byte(z.text), 0o600))
		fmt.Fprintf(&policies, "rpz:\n  name: %q\n  zonefile: %q\n  for-downstream: yes\n", z.name, file)
		switch z.action {
		case "":
		case "log":
			policies.WriteString("  rpz-action-override: disabled\n")
		case "sinkhole":
			fmt.Fprintf(&policies, "  rpz-action-override: cname\n  rpz-cname-override: %s\n", sinkName)
		default:
			fmt.Fprintf(&policies, "  rpz-action-override: %s\n", z.action)
		}
	}
	config := filepath.Join(dir, "unbound.conf")
	check(t, os.WriteFile(config, fmt.Appendf(nil, `server:
  directory: %q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 1
  interface: 127.0.0.1@%s
  outgoing-port-avoid: 0-32767
  do-ip6: no
  do-daemonize: no
  do-not-query-localhost: no
  num-threads: 1
  module-config: "respip validator iterator"
  qname-minimisation: no
  deny-any: no
  minimal-responses: no
  access-control: 127.0.0.0/8 allow
  local-zone: "test." nodefault
forward-zone:
  name: "."
  forward-addr: %s
remote-control:
  control-enable: no
%s`, dir, port, strings.ReplaceAll(upstream, ":", "@"), policies.String()), 0o600))
	ready := func(said string) bool { return strings.Contains(said, "start of service") }
	return runEngine(t, "unbound", port, ready, program, "-d", "-c", config)
}

// engine is a resolver that answers.
type engine struct {
	name   string
	addr   string
	exited <-chan struct{} // closed when the peer's process has ended; nil for this resolver
	log    string          // file of what the peer says
}

// runEngine runs a peer until the test ends and waits until it is ready, as
// ready reads from what it says, or has ended.
func runEngine(t *testing.T, name, port string, ready func(said string) bool, program string, args ...string) *engine {
	t.Helper()
	exited := make(chan struct{})
	e := &engine{name: name, addr: net.JoinHostPort("127.0.0.1", port), exited: exited, log: filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(e.log)
	check(t, err)
	defer log.Close()
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = log, log
	check(t, command.Start())
	go func() {
		defer close(exited)
		_ = command.Wait()
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-exited
	})
	for deadline := time.Now().Add(patience); !ready(e.said(t)); time.Sleep(5 * time.Millisecond) {
		select {
		case <-exited:
			return e
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready within %v\n%s", filepath.Base(program), patience, e.said(t))
		}
	}
	return e
}

func (e *engine) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(e.log)
	check(t, err)
	return string(text)
}

// ends waits for the end of a peer's process.
func (e *engine) ends() bool {
	if e.exited == nil {
		return false
	}
	select {
	case <-e.exited:
		return true
	case <-time.After(patience):
		return false
	}
}

// refuses holds that a peer did not start, and why.
func (e *engine) refuses(t *testing.T, text string) {
	t.Helper()
	if said := e.said(t); !e.ends() || !strings.Contains(said, text) {
		t.Errorf("expected an end with %q, found\n%s", text, said)
	}
}

// peerProgram is the path of a peer, in the version that the differences were
// found with: others may differ elsewhere.
func peerProgram(t *testing.T, name string) string {
	t.Helper()
	path := tool(t, name)
	banner, err := exec.Command(path, "-V").CombinedOutput()
	check(t, err)
	wanted := map[string]string{"named": "BIND 9.18.", "unbound": "Version 1.17."}[name]
	if strings.HasPrefix(string(banner), wanted) {
		return path
	}
	const reason = "the differences were found with another version than this %s: expected %q, found %.40q"
	if os.Getenv("SINKHOLE_REQUIRE_TOOLS") != "" {
		t.Fatalf(reason, name, wanted, banner)
	}
	t.Skipf("skipped: "+reason, name, wanted, banner)
	return ""
}

// tool is the path of a program that a test needs. Without it the test skips and
// says so; with SINKHOLE_REQUIRE_TOOLS it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv("SINKHOLE_REQUIRE_TOOLS") != "" {
		t.Fatalf("%s is not installed, and SINKHOLE_REQUIRE_TOOLS is set", name)
	}
	t.Skipf("skipped: %s is not installed", name)
	return ""
}

// freePort finds a port for a peer, below those that the system hands out by
// itself: one of these another test might get before the peer does.
func freePort(t *testing.T) string {
	t.Helper()
	const first, end = 10240, 32768
	for range 50 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.N(end-first))
		packets, err := net.ListenPacket("udp4", addr)
		if err != nil {
			continue
		}
		stream, err := net.Listen("tcp4", addr)
		packets.Close()
		if err != nil {
			continue
		}
		stream.Close()
		return strings.TrimPrefix(addr, "127.0.0.1:")
	}
	t.Fatal("no port is free over UDP and TCP")
	return ""
}
