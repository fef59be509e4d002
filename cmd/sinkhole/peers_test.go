package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

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

const unboundConfig = `server:
  directory: "%[1]s"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: "%[1]s/unbound.log"
  interface: 127.0.0.1@%[2]s
  do-ip6: no
  do-daemonize: no
  num-threads: 1
  access-control: 127.0.0.0/8 allow
  local-zone: "example." static
  local-data: "example. 300 IN SOA ns.example. hostmaster.example. 1 3600 600 86400 120"
  local-data: "www.example. 300 IN A 198.18.0.1"
  local-data: "evil-address.example. 300 IN A 192.0.2.66"
  local-data: "mail.example. 300 IN MX 10 www.example."
  local-data: "two.example. 300 IN A 198.18.0.2"
  local-data: "two.example. 300 IN A 198.18.0.3"
%[3]sremote-control:
  control-enable: no
`

// startUnbound runs a real unbound as the upstream. big.example has a TXT record
// set of some 3,000 octets, too large for UDP.
func startUnbound(t *testing.T) (addr string) {
	t.Helper()
	unbound := tool(t, "unbound")
	dir := t.TempDir()
	port := freePort(t)
	var big strings.Builder
	for i := range 15 {
		fmt.Fprintf(&big, "  local-data: 'big.example. 300 IN TXT \"%02d%s\"'\n", i, strings.Repeat("x", 190))
	}
	file := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, unboundConfig, dir, port, big.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(unbound, "-d", "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	addr = "127.0.0.1:" + port
	if err := eventually(func() error { _, err := askOnce("udp", addr, "www.example", 1); return err }); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "unbound.log"))
		t.Fatalf("unbound does not answer: %v\n%s", err, log)
	}
	return addr
}

// TestPeers asks with dig and kdig, and forwards to unbound.
func TestPeers(t *testing.T) {
	dig, kdig := tool(t, "dig"), tool(t, "kdig")
	upstream := startUnbound(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "list.csv"), []byte("indicator,family\nlumma.example,Lumma Stealer\n192.0.2.66,Vidar\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, dir, `
sinkhole: {ipv4: 203.0.113.53, ipv6: none, explain: family}
lists: [{name: police, source: list.csv}]
hits: {journal: {path: data/hits}}`)
	p.stop()
	config, err := os.ReadFile(p.path("sinkhole.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config = regexp.MustCompile(`upstream: .*`).ReplaceAll(config, fmt.Appendf(nil, "upstream: {servers: [%q]}", upstream))
	if err := os.WriteFile(p.path("sinkhole.yaml"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	p.start()
	_, port, err := net.SplitHostPort(p.dns)
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		tool string
		args string
		want []string // regular expressions on the output
		not  string
	}{
		{dig, "lumma.example", []string{`status: NOERROR`, `flags: qr rd ra;`, `EDE: 4 \(Forged Answer\): \(Lumma Stealer\)`, `lumma.example.\s+60\s+IN\s+A\s+203.0.113.53`}, ""},
		{dig, "LuMMa.Example AAAA", []string{`EDE: 15 \(Blocked\)`, `ANSWER: 0, AUTHORITY: 1`, `LuMMa.Example.\s+60\s+IN\s+SOA`}, ""},
		{dig, "+noedns lumma.example", []string{`203.0.113.53`}, `OPT PSEUDO`},
		{dig, "+tcp lumma.example", []string{`203.0.113.53`}, ""},
		{dig, "+dnssec +cdflag lumma.example", []string{`flags: qr rd ra cd;`, `flags: do`, `203.0.113.53`}, ""},
		{dig, "lumma.example HTTPS", []string{`ANSWER: 0, AUTHORITY: 1`}, ""},
		{dig, "lumma.example ANY", []string{`HINFO\s+"RFC8482" ""`}, ""},
		{dig, "www.example", []string{`www.example.\s+\d+\s+IN\s+A\s+198.18.0.1`, `flags: qr rd ra;`}, "EDE"},
		{dig, "evil-address.example", []string{`203.0.113.53`, `Vidar`}, "192.0.2.66"},
		{dig, "nothing.example", []string{`status: NXDOMAIN`, `SOA`}, ""},
		{dig, "www.example AAAA", []string{`status: NOERROR`, `ANSWER: 0, AUTHORITY: 1`}, ""},
		{dig, "+norecurse www.example", []string{`status: REFUSED`, `EDE: 20`}, ""},
		{dig, "+edns=1 +noednsneg www.example", []string{`status: BADVERS`}, ""},
		{dig, "+ignore big.example TXT", []string{`flags: qr tc rd ra;`, `ANSWER: 0`}, ""},
		{dig, "big.example TXT", []string{`ANSWER: 15`}, ""},
		{dig, "www.example CH TXT", []string{`status: REFUSED`}, ""},
		{dig, "+opcode=notify www.example SOA", []string{`status: REFUSED`}, ""},
		{kdig, "+edns lumma.example", []string{`203.0.113.53`, `EDE: 4`}, ""},
		{kdig, "+tcp +keepopen lumma.example www.example two.example", []string{`203.0.113.53`, `198.18.0.1`, `198.18.0.3`}, ""},
		{kdig, "mail.example MX", []string{`10 www.example.`}, ""},
	} {
		t.Run(filepath.Base(c.tool)+" "+c.args, func(t *testing.T) {
			args := append([]string{"@127.0.0.1", "-p", port, "+time=5", "+tries=1"}, strings.Fields(c.args)...)
			if c.tool == kdig {
				args = append([]string{"@127.0.0.1", "-p", port, "+time=5", "+retry=0"}, strings.Fields(c.args)...)
			}
			out, err := exec.Command(c.tool, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range c.want {
				if !regexp.MustCompile(want).Match(out) {
					t.Errorf("no match of %s in\n%s", want, out)
				}
			}
			if c.not != "" && regexp.MustCompile(c.not).Match(out) {
				t.Errorf("a match of %s in\n%s", c.not, out)
			}
		})
	}

	// TTLs of cached answers are counted down.
	if err := eventually(func() error {
		out, err := exec.Command(dig, "@127.0.0.1", "-p", port, "+noall", "+answer", "www.example").Output()
		if err == nil && strings.Contains(string(out), "\t300\t") {
			err = fmt.Errorf("the TTL is still whole: %s", out)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if took := p.stop(); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
