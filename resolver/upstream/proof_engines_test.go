//go:build linux

package upstream_test

import (
	"path/filepath"
	"strings"
	"testing"

	"sinkhole/resolver/upstream"
)

// BIND gives cookies, and with unbound keeps the case, and goes on to; their answers come through
// over UDP, by readers too.
func TestEnginesGiveProofs(t *testing.T) {
	givesCookies := map[string]bool{"named": true} // unbound does from 1.18 on
	for program, conf := range map[string]string{
		"named": `options { directory "{dir}"; pid-file none; session-keyfile none; recursion yes; dnssec-validation no; require-server-cookie yes;
  listen-on port {port} { 127.0.0.1; }; listen-on-v6 { none; }; };
controls { };
zone "example.com" { type primary; file "zone"; };
zone "net" { type primary; file "zone"; };
`,
		"unbound": `server:
  directory: "{dir}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1@{port}
  do-ip6: no
  do-daemonize: no
  local-zone: "example.com." static
  local-data: "www.example.com. 300 IN A 192.0.2.1"
  local-zone: "net." static
remote-control:
  control-enable: no
`,
	} {
		t.Run(program, func(t *testing.T) {
			path, dir, port := tool(t, program), t.TempDir(), freePort(t)
			writeFile(t, filepath.Join(dir, "conf"), strings.NewReplacer("{dir}", dir, "{port}", port).Replace(conf))
			writeFile(t, filepath.Join(dir, "zone"), "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 120\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.1\n")
			args := map[string][]string{"named": {"-g", "-c"}, "unbound": {"-d", "-c"}}[program]
			runEngine(t, dir, path, append(args, filepath.Join(dir, "conf"))...)
			server := "127.0.0.1:" + port
			eventually(t, program+" answers", func() bool {
				reply, err := newForwarder(t, 1e9, server).Exchange(t.Context(), newQuery(t, "www.example.com."))
				return err == nil && reply.Msg[3]&0xf == 0
			})
			f := introducing(t, func(s upstream.ServerStats) bool { return s.KeepsCase && (s.Cookies || !givesCookies[program]) }, server)
			for range 100 {
				if got, reply := exchange(t, f, "www.example.com."); got != truth || reply.Transport != "udp" {
					t.Fatalf("got %q over %s: %x, %+v", got, reply.Transport, reply.Msg, f.Stats()[0])
				}
			}
			r := newReader(t, f)
			for range 100 {
				if got := r.result(r.ask("www.example.com.")); got != truth {
					t.Fatalf("a reader got %q", got)
				}
			}
			if s := f.Stats()[0]; s.Cookies != givesCookies[program] || !s.KeepsCase || s.Suspected+s.Mismatched+s.Malformed+s.Abandoned > 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}
