package upstream_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sinkhole/resolver/upstream"
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

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(l.Addr())
}

// engine is a resolver of others, as a server over TLS and HTTPS. In its
// configuration {dir}, {tls}, {https}, {cert} and {key} are filled in.
type engine struct {
	program string
	files   map[string]string
	args    string
}

func engines() map[string]engine {
	return map[string]engine{
		"unbound": {"unbound", map[string]string{"unbound.conf": `server:
  directory: "{dir}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1@{tls}
  interface: 127.0.0.1@{https}
  tls-port: {tls}
  https-port: {https}
  tls-service-pem: {cert}
  tls-service-key: {key}
  do-ip6: no
  do-daemonize: no
  local-zone: "example.com." static
  local-data: "www.example.com. 300 IN A 192.0.2.1"
remote-control:
  control-enable: no
`}, "-d -c {dir}/unbound.conf"},
		"BIND": {"named", map[string]string{"named.conf": `options {
  directory "{dir}"; pid-file none; session-keyfile none; recursion yes; dnssec-validation no;
  listen-on port {tls} tls ours { 127.0.0.1; };
  listen-on port {https} tls ours http ours { 127.0.0.1; };
  listen-on-v6 { none; };
};
controls { };
tls ours { cert-file "{cert}"; key-file "{key}"; };
http ours { endpoints { "/dns-query"; }; };
zone "example.com" { type primary; file "zone"; };
`, "zone": "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 120\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.1\n"}, "-g -c {dir}/named.conf"},
		"Knot Resolver": {"kresd", map[string]string{"kresd.conf": `net.ipv6 = false
net.tls('{cert}', '{key}')
net.listen('127.0.0.1', {tls}, { kind = 'tls' })
net.listen('127.0.0.1', {https}, { kind = 'doh2' })
modules = { 'hints > iterate' }
hints['www.example.com'] = '192.0.2.1'
cache.size = 10 * MB
trust_anchors.remove('.')
`}, "-n -c {dir}/kresd.conf {dir}"},
	}
}

func (e engine) start(t *testing.T, a *authority) (overTLS, overHTTPS string) {
	t.Helper()
	program := tool(t, e.program)
	cert, key := a.files(peerName)
	dir, portTLS, portHTTPS := t.TempDir(), freePort(t), freePort(t)
	fill := strings.NewReplacer("{dir}", dir, "{tls}", portTLS, "{https}", portHTTPS, "{cert}", cert, "{key}", key)
	for name, content := range e.files {
		writeFile(t, filepath.Join(dir, name), fill.Replace(content))
	}
	runEngine(t, dir, program, strings.Fields(fill.Replace(e.args))...)
	for _, port := range []string{portTLS, portHTTPS} {
		eventually(t, e.program+" listens", func() bool {
			c, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return "tls://127.0.0.1:" + portTLS + "#" + peerName, "https://127.0.0.1:" + portHTTPS + "/dns-query#" + peerName
}

// Real resolvers are asked over TLS and HTTPS, many queries at a time, and idle
// connections are taken up again.
func TestEngines(t *testing.T) {
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			overTLS, overHTTPS := e.start(t, a)
			first := forwarder(t, upstream.Options{Servers: []string{overTLS}, Timeout: 10 * time.Second, RootCAs: a.roots()})
			eventually(t, name+" has read its zone", func() bool { // it listens before
				reply, err := first.Exchange(t.Context(), newQuery(t, "www.example.com."))
				return err == nil && reply.Msg[3]&0xf == 0
			})
			for _, server := range []string{overTLS, overHTTPS} {
				f := forwarder(t, upstream.Options{Servers: []string{server}, Timeout: 10 * time.Second, RootCAs: a.roots()})
				var asking sync.WaitGroup
				for i := range 200 {
					asking.Go(func() {
						name, want := "www.example.com.", truth
						if i%2 == 1 && e.program != "kresd" { // which has no zone
							name, want = fmt.Sprintf("%d.example.com.", i), ""
						}
						if got, _ := exchange(t, f, name); got != want {
							t.Errorf("%s: %s has the address %q, want %q", server, name, got, want)
						}
					})
				}
				asking.Wait()
				s := f.Stats()[0]
				if !s.Healthy || s.Replies != 200 || s.Connections.Opened > 3 {
					t.Errorf("want 200 replies over few connections: %+v, %+v", s, s.Connections)
				}
				wrong := forwarder(t, upstream.Options{Servers: []string{strings.Replace(server, peerName, "other.example", 1)}, Timeout: 5 * time.Second, RootCAs: a.roots()})
				if _, err := wrong.Exchange(t.Context(), newQuery(t, "www.example.com.")); err == nil || !strings.Contains(err.Error(), "not other.example") {
					t.Errorf("%s: got error %v for another name", server, err)
				}
			}
		})
	}
}

// runEngine runs a server until the test ends, and shows what it said if that fails.
func runEngine(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		output.Close()
		if text, err := os.ReadFile(output.Name()); err == nil && t.Failed() {
			t.Logf("%s says:\n%s", program, text)
		}
	})
}
