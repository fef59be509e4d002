package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"sinkhole/hits"
)

// The figures of the README. They need the lists of SINKHOLE_REAL_DATA and a
// machine with nothing else to do, so they run by `make measured` only.

// realData is the folder of the real lists.
func realData(t *testing.T) string {
	t.Helper()
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("skipped: runs by `make measured` (SINKHOLE_MEASURE), alone on the machine")
	}
	dir := os.Getenv("SINKHOLE_REAL_DATA")
	if dir == "" {
		t.Fatal("SINKHOLE_REAL_DATA is not set: expected the folder of the real lists")
	}
	return dir
}

const (
	measuredSink = "203.0.113.53"
	infostealers = `
  - {name: stealer-csv, source: %[1]s/infostealer.csv}
  - {name: stealer-domains, source: %[1]s/infostealer.domains.txt}
  - {name: stealer-hosts, source: %[1]s/infostealer.hosts}
  - {name: stealer-ips, source: %[1]s/infostealer.ips.txt}`
	generals = `
  - {name: malicious, source: %[1]s/lists/malicious-domains.domains.txt.zst}
  - {name: phishing, source: %[1]s/lists/phishing.domains.txt.zst}
  - {name: malware, source: %[1]s/lists/malware.domains.txt.zst}`
	stealerRPZ = `
  - {name: stealer-rpz, source: %[1]s/infostealer.rpz}`
	measuredRest = `
sinkhole: {ipv4: 203.0.113.53, ipv6: none}
hits: {journal: {path: data/hits}}`
)

func measuredConfig(data string, lists ...string) string {
	return "lists:" + fmt.Sprintf(strings.Join(lists, ""), data) + measuredRest
}

// lines reads a list of names, one a line, plain or zstd.
func lines(t *testing.T, path string) (names []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".zst") {
		d, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		r = d
	}
	seen := map[string]bool{}
	for s := bufio.NewScanner(r); s.Scan(); {
		name := strings.ToLower(strings.TrimSpace(s.Text()))
		if name != "" && name[0] != '#' && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

func blocked(answers map[string]net.IP) (n int) {
	for _, addr := range answers {
		if addr.String() == measuredSink {
			n++
		}
	}
	return n
}

// TestMeasuredLists loads all real lists together and holds that every name of
// the infostealer list is answered with the sinkhole address and journaled
// once, and that an answer with one of its addresses is sinkholed.
func TestMeasuredLists(t *testing.T) {
	data := realData(t)
	p := startProcess(t, t.TempDir(), measuredConfig(data, infostealers, generals, stealerRPZ))
	names := lines(t, filepath.Join(data, "infostealer.domains.txt"))
	first := pump(t, p.dns, names[:1])
	t.Logf("start to first answer with %.0f indicators: %v", p.metric("sinkhole_policy_indicators", ""), time.Since(p.started).Round(time.Millisecond))
	t.Logf("resident memory: %.0f MiB", p.resident())
	if blocked(first) != 1 {
		t.Errorf("%s: %v, want %s", names[0], first, measuredSink)
	}
	if got := blocked(pump(t, p.dns, names[1:])); got != len(names)-1 {
		t.Errorf("%d of %d names answered with the sinkhole address", got+1, len(names))
	}

	addresses := lines(t, filepath.Join(data, "infostealer.ips.txt"))
	hosts := make([]string, len(addresses))
	for i, a := range addresses {
		hosts[i] = a + ".ip.example"
	}
	if got := blocked(pump(t, p.dns, hosts)); got != len(hosts) {
		t.Errorf("%d of %d answers with a listed address sinkholed", got, len(hosts))
	}

	answer := p.run("reload")
	t.Logf("reload of all lists: %s", strings.TrimSpace(answer))
	t.Logf("resident memory after it: %.0f MiB", p.resident())
	p.stop()
	a := p.account()
	if a.Verdicts != len(names)+len(hosts) || a.Journaled != a.Verdicts {
		t.Errorf("%+v, want %d verdicts, all journaled", a, len(names)+len(hosts))
	}
	counts := map[string]int{}
	err := hits.Read(t.Context(), p.path("data/hits"), hits.Filter{}, func(r *hits.Record) error {
		counts[r.DNS.Question.Name] += int(r.Sinkhole.Count)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for _, name := range append(names, hosts...) {
		if counts[name] != 1 {
			if wrong++; wrong <= 10 {
				t.Errorf("%s stands %d times in the journal, want once", name, counts[name])
			}
		}
	}
	if wrong > 0 {
		t.Fatalf("%d of %d names and addresses do not stand in the journal once", wrong, len(names)+len(hosts))
	}
	t.Logf("%d names and %d addresses answered with the sinkhole address and journaled once each", len(names), len(hosts))
}

// TestMeasuredBenign holds that the infostealer files block no popular name,
// and counts what the three general lists block: the guard of a later version
// is for those.
func TestMeasuredBenign(t *testing.T) {
	data := realData(t)
	tops := [][]string{lines(t, filepath.Join(data, "benign/tranco-top10k.txt")), lines(t, filepath.Join(data, "benign/umbrella-top20k.txt.zst"))}
	p := startProcess(t, t.TempDir(), measuredConfig(data, infostealers, stealerRPZ))
	for _, names := range tops {
		for name, addr := range pump(t, p.dns, names) {
			if addr.String() == measuredSink {
				t.Errorf("%s is blocked by the infostealer files", name)
			}
		}
	}
	p.stop()
	p = startProcess(t, t.TempDir(), measuredConfig(data, generals))
	for i, names := range tops {
		t.Logf("the three general lists block %d of the top %d", blocked(pump(t, p.dns, names)), []int{10_000, 20_000}[i])
	}
	p.stop()
}

// TestMeasuredReload holds that 50 reloads of the 113,741-name list under 20,000
// queries a second lose no query, kernel drops counted in.
func TestMeasuredReload(t *testing.T) {
	data := realData(t)
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join(data, "infostealer.domains.txt"))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(i int) {
		next := append([]byte(fmt.Sprintf("# version %d\nversion-%d.example\n", i, i)), text...)
		if err := os.WriteFile(filepath.Join(dir, "next"), next, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "list.txt")); err != nil {
			t.Fatal(err)
		}
	}
	replace(0)
	p := startProcess(t, dir, "lists: [{name: stealers, source: list.txt}]"+measuredRest)
	names := lines(t, filepath.Join(dir, "list.txt"))
	mix := make([]string, 0, 4000)
	for i := range 2000 { // half listed, half cached
		mix = append(mix, names[i*50], fmt.Sprintf("www%d.clean.example", i))
	}
	pump(t, p.dns, mix)

	l := newTraffic(t, p.dns, 16)
	stop, sending := make(chan struct{}), make(chan struct{})
	begin := time.Now()
	go func() { defer close(sending); l.send(mix, 20_000, 3_000_000, stop) }()
	const reloads = 50
	for i := 1; i <= reloads; i++ {
		replace(i)
		want := fmt.Sprintf("version-%d.example", i)
		if err := eventually(func() error {
			if _, ok := pump(t, p.dns, []string{want})[want+"."]; ok && p.metric("sinkhole_policy_serial", "") >= float64(i+1) {
				return nil
			}
			return fmt.Errorf("%s is not in force", want)
		}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-sending
	took := time.Since(begin)
	l.settle()
	sent, answered, drops := l.sent.Load(), l.answered.Load(), p.metric("sinkhole_udp_kernel_drops_total", "")
	t.Logf("%d reloads in %v under %.0f queries a second: %d sent, %d answered, kernel drops %.0f, resident %.0f MiB",
		reloads, took.Round(time.Millisecond), float64(sent)/took.Seconds(), sent, answered, drops, p.resident())
	if answered != sent || drops != 0 {
		t.Errorf("%d of %d queries answered, kernel drops %v: want all and none", answered, sent, drops)
	}
	if rate := float64(sent) / took.Seconds(); rate < 19_000 {
		t.Errorf("%.0f queries a second: the load was too low", rate)
	}
	p.stop()
	inForce, all := updatesOf(t, p)
	t.Logf("an update was in force after %v (at most %v) and took %v (at most %v)",
		inForce[len(inForce)/2], inForce[len(inForce)-1], all[len(all)/2], all[len(all)-1])
}

// updatesOf reads the log for how long the updates of changed lists took, until
// they were in force and in all; both sorted.
func updatesOf(t *testing.T, p *process) (inForce, all []time.Duration) {
	t.Helper()
	for s := bufio.NewScanner(p.stderr); s.Scan(); {
		var line struct {
			Msg, Took, Cause string
			InForce          string `json:"in_force_after"`
		}
		if json.Unmarshal(s.Bytes(), &line) != nil || line.Msg != "policy in force" || line.Cause != "changed" {
			continue
		}
		first, err := time.ParseDuration(line.InForce)
		if err != nil {
			t.Fatal(err)
		}
		took, err := time.ParseDuration(line.Took)
		if err != nil {
			t.Fatal(err)
		}
		inForce, all = append(inForce, first.Round(time.Millisecond)), append(all, took.Round(time.Millisecond))
	}
	if len(all) == 0 {
		t.Fatal("no update of a changed list in the log")
	}
	slices.Sort(inForce)
	slices.Sort(all)
	return inForce, all
}
