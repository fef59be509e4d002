//go:build linux

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// contender is a server that is measured.
type contender struct {
	name    string
	program string // "" for this one and the bare ones
	line    string // of a list, {} for the name
	files   map[string]string
	command []string
	bare    string // "answer" or "forward"
}

// everythingOn is this server with all that works beside answers and journal.
const everythingOn = "sinkhole, everything on"

// contenders are the servers that are measured, each as a careful operator would
// have it on one core. $ADDR, $PORT, $UP, $UPIP, $UPPORT, $DIR and $HTTP stand for
// where it listens, whom it asks, where its files are, a free port.
var contenders = []contender{
	{name: "sinkhole", line: "{}", command: []string{"sinkhole", "serve", "-c", "$DIR/sinkhole.yaml"}, files: map[string]string{
		"sinkhole.yaml": `listen: {dns: ["$ADDR"]}
upstream: {servers: ["$UP"]}
cache: {memory: 256MiB}
sinkhole: {ipv4: "192.0.2.1"}
lists: [{name: measured, source: list}]
hits: {journal: {path: hits}, inventory: ""}
console: {listen: "127.0.0.1:$HTTP"}
`}},
	{name: everythingOn, line: "{}", command: []string{"sinkhole", "serve", "-c", "$DIR/sinkhole.yaml"}, files: map[string]string{
		"sinkhole.yaml": `listen: {dns: ["$ADDR"]}
upstream: {servers: ["$UP"]}
cache: {memory: 256MiB}
sinkhole: {ipv4: "192.0.2.1"}
lists: [{name: measured, source: list}]
hits: {journal: {path: hits}, inventory: inventory.db}
console: {listen: "127.0.0.1:$HTTP"}
`}},
	{name: "dnsdist", program: "dnsdist", line: "{}", command: []string{"--supervised", "--disable-syslog", "-C", "$DIR/dnsdist.conf"}, files: map[string]string{
		"dnsdist.conf": `setSecurityPollSuffix("")
setLocal("$ADDR")
setACL({"127.0.0.0/8"})
setUDPMultipleMessagesVectorSize(64)
setUDPSocketBufferSizes(4194304, 4194304)
setMaxUDPOutstanding(65535)
newServer({address="$UP", checkInterval=60, sockets=4})
local names = newSuffixMatchNode()
for l in io.lines("$DIR/list") do names:add(newDNSName(l)) end
addAction(SuffixMatchNodeRule(names, true), SpoofAction("192.0.2.1"))
getPool(""):setCache(newPacketCache(2000000, {maxTTL=86400, numberOfShards=1}))
`}},
	{name: "unbound", program: "unbound", line: "local-zone: \"{}.\" redirect\nlocal-data: \"{}. 3600 A 192.0.2.1\"", command: []string{"-d", "-c", "$DIR/unbound.conf"}, files: map[string]string{
		"unbound.conf": `server:
  num-threads: 1
  interface: 127.0.0.1@$PORT
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "$DIR"
  pidfile: ""
  use-syslog: no
  do-ip6: no
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "iterator"
  msg-cache-size: 256m
  rrset-cache-size: 512m
  so-rcvbuf: 4m
  so-sndbuf: 4m
  outgoing-range: 8192
  num-queries-per-thread: 4096
  minimal-responses: yes
  include: "$DIR/list"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: $UPIP@$UPPORT
`}},
	{name: "PowerDNS Recursor", program: "pdns_recursor", line: "{} A 192.0.2.1\n*.{} A 192.0.2.1", command: []string{"--config-dir=$DIR"}, files: map[string]string{
		"rpz.lua": "rpzFile(\"$DIR/list\", {policyName=\"x\"})\n",
		"recursor.conf": `local-address=127.0.0.1
local-port=$PORT
allow-from=127.0.0.0/8
daemon=no
threads=1
pdns-distributes-queries=no
forward-zones-recurse=.=$UP
dont-query=
dnssec=off
qname-minimization=no
nothing-below-nxdomain=no
max-mthreads=8192
max-cache-entries=4000000
max-packetcache-entries=2000000
packetcache-ttl=3600
lua-config-file=$DIR/rpz.lua
socket-dir=$DIR
quiet=yes
loglevel=0
disable-syslog=yes
security-poll-suffix=
webserver=no
`}},
	{name: "Knot Resolver", program: "kresd", line: "{} A 192.0.2.1\n*.{} A 192.0.2.1", command: []string{"-n", "-c", "$DIR/kresd.conf", "$DIR"}, files: map[string]string{
		"kresd.conf": `log_level('err')
net.listen('127.0.0.1', $PORT, { kind = 'dns' })
trust_anchors.remove('.')
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_jump')
modules.unload('detect_time_skew')
cache.size = 500 * MB
policy.add(policy.rpz(policy.DENY, '$DIR/list', false))
policy.add(policy.all(policy.STUB('$UPIP@$UPPORT')))
`}},
	{name: "BIND", program: "named", line: "{} A 192.0.2.1\n*.{} A 192.0.2.1", command: []string{"-f", "-n", "1", "-c", "$DIR/named.conf"}, files: map[string]string{
		"named.conf": `options {
  directory "$DIR";
  pid-file none;
  session-keyfile none;
  managed-keys-directory "$DIR";
  listen-on port $PORT { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion yes;
  allow-query { 127.0.0.0/8; };
  forward only;
  forwarders { $UPIP port $UPPORT; };
  dnssec-validation no;
  minimal-responses yes;
  max-cache-size 1g;
  recursive-clients 20000;
  clients-per-query 0;
  max-clients-per-query 0;
  send-cookie no;
  answer-cookie no;
  prefetch 0;
  notify no;
  empty-zones-enable no;
  response-policy { zone "rpz.local"; } qname-wait-recurse no min-update-interval 0 recursive-only no;
};
controls { };
logging { channel n { null; }; category default { n; }; category rpz { n; }; };
zone "rpz.local" { type primary; file "$DIR/list"; allow-query { none; }; check-names ignore; };
`}},
	{name: "bare answer", bare: "answer"},
	{name: "bare forward", bare: "forward"},
}

// rpzHead begins a list in RPZ.
const rpzHead = "$TTL 3600\n$ORIGIN rpz.local.\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n"

// running is a contender that runs, on the first processor.
type running struct {
	contender
	cmd     *exec.Cmd
	addr    string
	http    string
	dir     string
	said    bytes.Buffer
	started time.Time
	first   time.Duration // from the start to the first answer for a listed name
}

// available leaves out what is not installed.
func available(t *testing.T) (all []contender) {
	t.Helper()
	for _, c := range contenders {
		if c.program != "" {
			path := ""
			for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
				if found, err := exec.LookPath(filepath.Join(dir, c.program)); err == nil {
					path = found
					break
				}
			}
			if path == "" {
				t.Logf("%s is left out: %s is not installed", c.name, c.program)
				continue
			}
			c.command = append([]string{path}, c.command...)
		}
		all = append(all, c)
	}
	return all
}

// startContender starts a server with a list and waits for its first answer.
func startContender(t *testing.T, c contender, upstream string, names []string) *running {
	t.Helper()
	return startOn(t, "0", c, upstream, names)
}

// startOn is startContender on other processors.
func startOn(t *testing.T, processors string, c contender, upstream string, names []string) *running {
	t.Helper()
	r := &running{contender: c, dir: t.TempDir(), http: freePort(t), addr: "127.0.0.1:" + freePort(t)}
	_, port, _ := net.SplitHostPort(r.addr)
	_, upPort, _ := net.SplitHostPort(upstream)
	fill := strings.NewReplacer("$ADDR", r.addr, "$PORT", port, "$UPIP", "127.0.0.1", "$UPPORT", upPort, "$UP", upstream, "$DIR", r.dir, "$HTTP", r.http).Replace
	for name, text := range c.files {
		writeFile(t, filepath.Join(r.dir, name), fill(text))
	}
	if c.line != "" {
		r.writeList(t, names)
	}
	switch c.bare {
	case "answer":
		r.cmd = exec.Command("taskset", "-c", processors, os.Args[0], "-test.run=^TestBareProcess$")
		r.cmd.Env = append(os.Environ(), "SINKHOLE_BARE="+r.addr)
	case "forward":
		r.cmd = exec.Command("taskset", "-c", processors, os.Args[0], "-test.run=^TestBareProcess$")
		r.cmd.Env = append(os.Environ(), "SINKHOLE_BARE="+r.addr+" "+upstream)
	default:
		words := []string{"-c", processors}
		for _, word := range c.command {
			words = append(words, fill(word))
		}
		r.cmd = exec.Command("taskset", words...)
		r.cmd.Dir = r.dir
	}
	r.started = time.Now()
	r.cmd.Stderr = &r.said
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	r.wait(t, names[0])
	return r
}

func (r *running) end() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

func (r *running) writeList(t *testing.T, names []string) {
	t.Helper()
	var text strings.Builder
	if strings.Contains(r.line, "*.") {
		text.WriteString(rpzHead)
	}
	for _, name := range names {
		text.WriteString(strings.ReplaceAll(r.line, "{}", name))
		text.WriteByte('\n')
	}
	writeFile(t, filepath.Join(r.dir, "next"), text.String())
	if err := os.Rename(filepath.Join(r.dir, "next"), filepath.Join(r.dir, "list")); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wait waits until a listed name is answered as such.
func (r *running) wait(t *testing.T, listed string) {
	t.Helper()
	client := &dns.Client{Timeout: 200 * time.Millisecond}
	for begin := time.Now(); time.Since(begin) < 3*time.Minute; {
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(listed), dns.TypeA), r.addr)
		if err == nil && (r.bare != "" || addressOf(m).String() == "192.0.2.1") {
			r.first = cmp.Or(r.first, time.Since(r.started))
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s does not answer:\n%s", r.name, &r.said)
}

// resident is the memory of the process in MiB.
func (r *running) resident(t *testing.T) float64 {
	return (&process{t: t, cmd: r.cmd}).status("VmRSS")
}

// listedNames are n names, in an order of their own each time.
func listedNames(n int) []string {
	random := rand.New(rand.NewPCG(3, 4))
	tops := []string{"com", "net", "org", "top", "xyz", "ru", "co.uk"}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%x.%s", random.Uint64()>>24, tops[i%len(tops)])
	}
	return names
}

func numbered(n int, form string) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(form, i)
	}
	return names
}

// loadsOf are what a server is asked, by name.
func loadsOf(t *testing.T, listed, cached []string) map[string]workload {
	some := slices.Clone(listed[:min(len(listed), 100_000)])
	rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return map[string]workload{
		"blocked": asking(t, some), "cached": asking(t, cached), "miss": askingAnew(t),
		"mix": mixing(asking(t, cached), askingAnew(t), asking(t, some)),
	}
}

var loadNames = []string{"blocked", "cached", "mix", "miss"}

// TestComparedPeers asks this server and others, one at a time, as fast as they
// answer: the server on one processor, what asks and what is asked on another. Rounds
// in turn, medians over them, and the least that the job takes in the same run.
func TestComparedPeers(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("skipped: runs by `make peers` (SINKHOLE_MEASURE), alone on the machine")
	}
	const span = 2 * time.Second
	rounds := measuredRounds(t, 3)
	pin(t, os.Getpid(), 1)
	upstream := startBareUpstream(t)
	all := available(t)
	for _, size := range measuredSizes(t) {
		names, cached := listedNames(size), numbered(50_000, "www%d.clean.example")
		costs := map[string]map[string][]float64{} // by server and load: us a query
		add := func(server, what string, value float64) {
			if costs[server] == nil {
				costs[server] = map[string][]float64{}
			}
			costs[server][what] = append(costs[server][what], value)
		}
		var account []string
		for round := range rounds {
			for i := range all {
				c := all[(i+round*len(all)/rounds)%len(all)]
				r := startContender(t, c, upstream, names)
				add(c.name, "first", r.first.Seconds())
				add(c.name, "resident", r.resident(t))
				loads := loadsOf(t, names, cached)
				if c.bare == "" {
					press(t, r.addr, asking(t, cached), time.Minute, len(cached))
				}
				for _, what := range loadNames {
					if c.bare == "answer" && what == "miss" || c.bare == "forward" && what != "miss" {
						continue
					}
					press(t, r.addr, loads[what], 500*time.Millisecond, 0)
					before := processorTime(t, r.cmd.Process.Pid)
					p := press(t, r.addr, loads[what], span, 0)
					used := processorTime(t, r.cmd.Process.Pid) - before
					add(c.name, what, float64(used.Microseconds())/float64(max(p.answered, 1)))
					add(c.name, what+" lost", float64(p.lost+p.failed))
				}
				if strings.HasPrefix(c.name, "sinkhole") {
					account = append(account, hitsAccount(t, r))
				}
				r.end()
			}
		}
		t.Logf("%d names, CPU us a query, medians of %d rounds of %v\n%s\nhits: %s", size, rounds, span, costTable(all, costs), strings.Join(account, "; "))
		judgeCosts(t, costs)
	}
}

// judgeCosts holds the medians to what is promised.
func judgeCosts(t *testing.T, costs map[string]map[string][]float64) {
	t.Helper()
	ours := costs["sinkhole"]
	for _, what := range []string{"blocked", "cached"} {
		if ratio := median(ours[what]) / median(costs["bare answer"][what]); ratio > 1.3 {
			t.Errorf("%s: %.2f times the bare answer, expected at most 1.3", what, ratio)
		}
	}
	if ratio := median(ours["miss"]) / median(costs["bare forward"]["miss"]); ratio > 2 {
		t.Errorf("miss: %.2f times the bare forwarding, expected at most 2", ratio)
	}
	for _, what := range loadNames {
		if ratio := median(costs[everythingOn][what]) / median(ours[what]); ratio > 1.25 {
			t.Errorf("%s: %.2f times as much with everything on, expected at most 1.25", what, ratio)
		}
	}
	for name, c := range costs {
		for _, what := range loadNames {
			if !strings.HasPrefix(name, "bare") && name != everythingOn && median(c[what+" lost"]) == 0 && median(c[what]) < median(ours[what]) {
				t.Errorf("%s: %s takes %.2f us a query, we %.2f", what, name, median(c[what]), median(ours[what]))
			}
		}
	}
}

// measuredSizes are the lengths of lists: SINKHOLE_SIZES, divided by commas.
func measuredSizes(t *testing.T) (all []int) {
	t.Helper()
	for _, text := range strings.Split(cmp.Or(os.Getenv("SINKHOLE_SIZES"), "200000,1000000"), ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 100_000 {
			t.Fatalf("SINKHOLE_SIZES has %q, expected a number of at least 100000", text)
		}
		all = append(all, n)
	}
	return all
}

func measuredRounds(t *testing.T, usual int) int {
	t.Helper()
	text := cmp.Or(os.Getenv("SINKHOLE_ROUNDS"), strconv.Itoa(usual))
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SINKHOLE_ROUNDS is %q, expected a number", text)
	}
	return n
}

// startBareUpstream runs what every server asks, on the second processor.
func startBareUpstream(t *testing.T) (addr string) {
	t.Helper()
	addr, _ = startBare(t)
	return addr
}

func startBare(t *testing.T) (addr string, running *os.Process) {
	t.Helper()
	addr = "127.0.0.1:" + freePort(t)
	c := exec.Command("taskset", "-c", "1", os.Args[0], "-test.run=^TestBareProcess$")
	c.Env = append(os.Environ(), "SINKHOLE_BARE="+addr)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return addr, c.Process
}

// hitsAccount is what became of the hits of this server.
func hitsAccount(t *testing.T, r *running) string {
	t.Helper()
	p := &process{t: t, http: "127.0.0.1:" + r.http}
	var m metrics
	if err := eventually(func() error {
		if m = p.metrics(); m.sum("sinkhole_hits_queued", "") > 0 {
			return fmt.Errorf("%v hits are queued", m.sum("sinkhole_hits_queued", ""))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	lost := m.sum("sinkhole_hits_lost_total", "")
	if lost > 0 {
		t.Errorf("%.0f hits were lost", lost)
	}
	return fmt.Sprintf("%.0f journaled in %.0f lines of their own and %.0f merged, %.0f lost",
		m.sum("sinkhole_hits_journaled_total", ""), m.sum("sinkhole_hits_lines_total", "single"), m.sum("sinkhole_hits_lines_total", "merged"), lost)
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func costTable(all []contender, costs map[string]map[string][]float64) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| server | blocked | cached | mix | miss | first block at start, s | resident, MiB | lost or failed |\n|---|---|---|---|---|---|---|---|")
	for _, c := range all {
		of := costs[c.name]
		fmt.Fprintf(&b, "| %s |", c.name)
		lost := 0.0
		for _, what := range loadNames {
			if len(of[what]) == 0 {
				fmt.Fprint(&b, " |")
				continue
			}
			fmt.Fprintf(&b, " %.2f |", median(of[what]))
			for _, n := range of[what+" lost"] {
				lost += n
			}
		}
		fmt.Fprintf(&b, " %.2f | %.0f | %.0f |\n", median(of["first"]), median(of["resident"]), lost)
	}
	return b.String()
}
