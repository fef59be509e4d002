package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sinkhole/hits"
)

const (
	zoneSecret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="

	// BIND waits for notify-delay before it tells of a change, 5 s by default. The
	// fourth value says who has access to the zone, the fifth how notices are signed.
	namedConfig = `options {
	directory "%[1]s";
	managed-keys-directory "%[1]s";
	session-keyfile "%[1]s/session.key";
	pid-file none;
	listen-on port %[2]s { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	dnssec-validation no;
	notify-delay 0;
};
controls { };
key "transfer" { algorithm hmac-sha256; secret "` + zoneSecret + `"; };
zone "rpz.test" {
	type primary;
	file "%[1]s/rpz.test";
	allow-transfer { %[4]s; };
	allow-update { %[4]s; };
	notify explicit;
	also-notify { 127.0.0.1 port %[3]s%[5]s; };
};
`
	policyZone = `$TTL 300
@ IN SOA localhost. root.localhost. 1 3600 600 86400 60
@ NS localhost.
lumma.example CNAME .
*.lumma.example CNAME .
vidar.example CNAME .
32.66.2.0.192.rpz-ip CNAME .
`
	secondaryConfig = `listen: {dns: [%q]}
console: {listen: %q}
upstream: {servers: [%q]}
log: {format: json}
lists:
  - name: cert
    source: rpz://127.0.0.1:%s/rpz.test
    format: rpz
%slist_store: data/lists
hits: {journal: {path: data/hits}}
`
)

// primary is a running BIND with one zone of policy, rpz.test.
type primary struct {
	t    *testing.T
	dir  string
	port string
	key  bool // nobody transfers or changes the zone without it
	stop func()
}

// startPrimary runs a BIND that notifies a port on loopback.
func startPrimary(t *testing.T, notified string, key bool) *primary {
	t.Helper()
	named := tool(t, "named")
	b := &primary{t: t, dir: t.TempDir(), port: freePort(t), key: key}
	access, signed := "127.0.0.1", ""
	if key {
		access, signed = "key transfer", " key transfer"
	}
	b.write("named.conf", fmt.Sprintf(namedConfig, b.dir, b.port, notified, access, signed))
	b.write("rpz.test", policyZone)
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(named, "-g", "-n", "1", "-c", filepath.Join(b.dir, "named.conf"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
	})
	t.Cleanup(b.stop)
	if err := eventually(func() error {
		answer, err := askOnce("tcp", "127.0.0.1:"+b.port, "rpz.test", dns.TypeSOA)
		if err == nil && !strings.Contains(answer, "NOERROR") {
			err = errors.New(answer)
		}
		return err
	}); err != nil {
		t.Fatalf("named does not answer: %v\n%s", err, b.log())
	}
	return b
}

func (b *primary) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *primary) log() string {
	text, err := os.ReadFile(filepath.Join(b.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// update changes the zone. It returns when the primary had answered.
func (b *primary) update(changes ...string) (answered time.Time) {
	b.t.Helper()
	cmd := exec.Command(tool(b.t, "nsupdate"))
	if b.key {
		cmd.Args = append(cmd.Args, "-y", "hmac-sha256:transfer:"+zoneSecret)
	}
	cmd.Stdin = strings.NewReader(fmt.Sprintf("server 127.0.0.1 %s\nzone rpz.test\n%s\nsend\n", b.port, strings.Join(changes, "\n")))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("nsupdate: %v\n%s\n%s", err, out, b.log())
	}
	return time.Now()
}

// startSecondary runs a server whose one list, cert, is the zone of a BIND, which
// notifies it.
func startSecondary(t *testing.T, key bool) (*process, *primary) {
	t.Helper()
	port := freePort(t)
	b := startPrimary(t, port, key)
	tsig := ""
	if key {
		tsig = "    tsig: {name: transfer, algorithm: hmac-sha256, secret_file: transfer.key}\n"
	}
	p := &process{t: t, dir: t.TempDir(), dns: "127.0.0.1:" + port, http: "127.0.0.1:" + freePort(t), upstream: startUpstream(t), stderr: new(bytes.Buffer)}
	for name, text := range map[string]string{
		"transfer.key":  zoneSecret + "\n",
		"sinkhole.yaml": fmt.Sprintf(secondaryConfig, p.dns, p.http, p.upstream, b.port, tsig),
	} {
		if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	return p, b
}

const (
	blockedAnswer = "NXDOMAIN" // by CNAME .
	passedAnswer  = "198.18.0.1"
)

// answered waits until the answer for a name has a part.
func (p *process) answered(name, part string) {
	p.t.Helper()
	if err := eventually(func() error { return p.answers(name, part) }); err != nil {
		p.t.Fatal(err)
	}
}

// answers is an error unless the answer for a name has a part.
func (p *process) answers(name, part string) error {
	answer, err := askOnce("udp", p.dns, name, dns.TypeA)
	if err == nil && !strings.Contains(answer, part) {
		err = fmt.Errorf("the answer for %s is %q, expected %s", name, answer, part)
	}
	return err
}

// shown is an error of the test unless lists show cert soon has all of some
// regular expressions: a change is in force a moment before it is counted.
func (p *process) shown(expressions ...string) {
	p.t.Helper()
	if err := eventually(func() error {
		out := p.run("lists", "show", "cert")
		for _, e := range expressions {
			if !regexp.MustCompile(e).MatchString(out) {
				return fmt.Errorf("no match of %s in\n%s", e, out)
			}
		}
		return nil
	}); err != nil {
		p.t.Error(err)
	}
}

// TestZone blocks by a policy zone that a real BIND serves: whole at the start,
// by increments within a second of each change, and from the copy when BIND is
// gone.
func TestZone(t *testing.T) {
	tool(t, "nsupdate")
	p, b := startSecondary(t, true)
	for name, part := range map[string]string{
		"lumma.example": blockedAnswer, "www.lumma.example": blockedAnswer, "vidar.example": blockedAnswer,
		"192.0.2.66.ip.example": blockedAnswer, // by the address in the answer
		"www.vidar.example":     passedAnswer, "redline.example": passedAnswer, "192.0.2.67.ip.example": "192.0.2.67",
	} {
		p.answered(name, part)
	}
	p.shown(`cert +ok +4 .*serial:1 +rpz://127\.0\.0\.1:`+b.port+`/rpz\.test`,
		`zone: +rpz\.test, serial 1, at the primary 1; 1 transfer whole, 0 increments`)

	for _, c := range []struct{ change, name, part string }{
		{"update add redline.example.rpz.test 300 CNAME .", "redline.example", blockedAnswer},
		{"update delete vidar.example.rpz.test CNAME", "vidar.example", passedAnswer},
		{"update add 32.67.2.0.192.rpz-ip.rpz.test 300 CNAME .", "192.0.2.67.ip.example", blockedAnswer},
	} {
		changed := b.update(c.change)
		p.answered(c.name, c.part)
		took := time.Since(changed)
		t.Logf("%s: in force after %v", c.change, took)
		if took > time.Second {
			t.Errorf("%s: in force %v after the primary's answer, expected at most a second", c.change, took)
		}
	}
	p.shown(`cert +ok +5 .*serial:4 `, `zone: +rpz\.test, serial 4, at the primary 4; 1 transfer whole, 3 increments, [1-9][0-9]* NOTIFYs? believed`)
	m := p.metrics()
	for sample, want := range map[string]float64{
		`sinkhole_list_transfers_total{kind="whole",list="cert"}`:     1,
		`sinkhole_list_transfers_total{kind="increment",list="cert"}`: 3,
		`sinkhole_list_zone_serial{list="cert"}`:                      4,
		`sinkhole_list_state{list="cert",state="ok"}`:                 1,
		`sinkhole_list_rules{list="cert"}`:                            5,
	} {
		if got, found := m[sample]; !found || got != want {
			t.Errorf("%s is %v (there: %v), expected %v", sample, got, found, want)
		}
	}

	b.stop()
	p.fails("lists", "refresh")
	p.shown(`cert +stale +5 .*serial:4 `, `error: .*127\.0\.0\.1`)
	p.holds("redline.example", blockedAnswer)
	p.stop()

	// From the copy and its increments, with the first answer.
	p.start()
	for name, part := range map[string]string{"lumma.example": blockedAnswer, "redline.example": blockedAnswer, "vidar.example": passedAnswer, "192.0.2.67.ip.example": blockedAnswer} {
		p.holds(name, part)
	}
	p.shown(`cert +(ok|stale) .*serial:4 `, `zone: +rpz\.test, serial 4`, `in force: +5 entries`)
	p.stop()
	p.checkEvidence("redline.example", "serial:2", "serial:4")
	p.checkEvidence("www.lumma.example", "serial:1")
}

// TestZoneWithoutKey does the same with a BIND that knows its secondaries by
// their addresses alone.
func TestZoneWithoutKey(t *testing.T) {
	tool(t, "nsupdate")
	p, b := startSecondary(t, false)
	p.run("check")
	p.answered("lumma.example", blockedAnswer)
	b.update("update add redline.example.rpz.test 300 CNAME .")
	p.answered("redline.example", blockedAnswer)
	p.shown(`cert +ok +5 .*serial:2 `, `zone: +rpz\.test, serial 2, at the primary 2; 1 transfer whole, 1 increment, [1-9][0-9]* NOTIFYs? believed`)
	p.stop()
}

// holds is an error of the test unless the answer for a name has a part at once.
func (p *process) holds(name, part string) {
	p.t.Helper()
	if err := p.answers(name, part); err != nil {
		p.t.Error(err)
	}
}

// checkEvidence has the journaled hits of a name say that they are by the list
// cert, in these versions one after the other.
func (p *process) checkEvidence(name string, versions ...string) {
	p.t.Helper()
	var got []string
	if err := hits.Read(p.t.Context(), p.path("data/hits"), hits.Filter{}, func(r *hits.Record) error {
		if r.DNS.Question.Name != name {
			return nil
		}
		if len(r.Sinkhole.Lists) != 1 || r.Sinkhole.Lists[0].Name != "cert" {
			return fmt.Errorf("a hit of %s is by %+v, expected cert", name, r.Sinkhole.Lists)
		}
		got = append(got, r.Sinkhole.Lists[0].Version)
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
	if got = slices.Compact(got); !slices.Equal(got, versions) {
		p.t.Errorf("%s was hit in versions %q, expected %q", name, got, versions)
	}
}
