package configs

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(text), "/base")
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return c
}

func TestNothingGivesTheDefaults(t *testing.T) {
	for _, text := range []string{"", "\n", "# only a comment\n", "---\n", "cache:\nhits:\n  journal:\n", "\uFEFF", "{}"} {
		c, err := Parse("test.yaml", []byte(text), "")
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if changed := Changed(Default(), c); changed != nil {
			t.Errorf("%q changes %v", text, changed)
		}
	}
}

func TestPartialSectionsKeepTheOtherDefaults(t *testing.T) {
	c := parse(t, "hits:\n  journal: {path: x}\nclients:\n  refuse: drop\n")
	want := Default()
	want.Hits.Journal.Path = "/base/x"
	want.Hits.Inventory = "/base/data/inventory.db"
	want.ListStore = "/base/data/lists"
	want.Clients.Refuse = RefuseDrop
	c.source = source{}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

func TestValues(t *testing.T) {
	c := parse(t, `
listen:
  dns: ["127.0.0.1:5300", "[::1]:5300", ":53", "localhost:53", "[::ffff:192.0.2.1]:53", "127.0.0.1:0", "127.0.0.1:0"]
  shutdown_delay: 1m30s
clients:
  allow: [10.0.0.0/8, 192.0.2.7, "2001:db8::1", "::/0", "::ffff:192.0.2.9"]
upstream:
  servers: [system, 192.0.2.53, "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353"]
  timeout: 1.5s
  nat64: ["64:ff9b::/96", "2001:db8::/32"]
cache: {memory: 1048576, min_ttl: 1w, max_ttl: 14d, negative_ttl: 0}
sinkhole: {ipv4: 192.0.2.1, ipv6: none, ttl: 1d12h}
hits:
  journal: {rotate_size: 500MB, keep_size: 1 TiB, sync_every: 100ms}
console: {listen: ""}
metrics: {listen: ":9153"}
lists:
  - name: a-b_c.1
    source: a.txt
    ipv6: "2001:db8::1"
    family: "404"
    confidence: 100
`)
	addrPorts := func(texts ...string) (all []netip.AddrPort) {
		for _, s := range texts {
			all = append(all, netip.MustParseAddrPort(s))
		}
		return all
	}
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, s := range texts {
			all = append(all, netip.MustParsePrefix(s))
		}
		return all
	}
	plain := func(s string) Server { return Server{Kind: ServerPlain, Addr: netip.MustParseAddrPort(s)} }
	for _, test := range []struct {
		key       string
		got, want any
	}{
		{"listen.dns", c.Listen.DNS, addrPorts("127.0.0.1:5300", "[::1]:5300", "[::]:53", "127.0.0.1:53", "192.0.2.1:53", "127.0.0.1:0", "127.0.0.1:0")},
		{"listen.shutdown_delay", c.Listen.ShutdownDelay, 90 * time.Second},
		{"clients.allow", c.Clients.Allow, prefixes("10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128", "::/0", "192.0.2.9/32")},
		{"upstream.servers", c.Upstream.Servers, []Server{{Kind: ServerSystem}, plain("192.0.2.53:53"), plain("192.0.2.53:5353"), plain("[2001:db8::53]:53"), plain("[2001:db8::53]:5353")}},
		{"upstream.timeout", c.Upstream.Timeout, 1500 * time.Millisecond},
		{"upstream.nat64", c.Upstream.NAT64, prefixes("64:ff9b::/96", "2001:db8::/32")},
		{"cache.memory", c.Cache.Memory, int64(1 << 20)},
		{"cache.min_ttl", c.Cache.MinTTL, 7 * 24 * time.Hour},
		{"cache.max_ttl", c.Cache.MaxTTL, 14 * 24 * time.Hour},
		{"cache.negative_ttl", c.Cache.NegativeTTL, time.Duration(0)},
		{"sinkhole.ipv4", c.Sinkhole.IPv4, Sink{Kind: SinkAddress, Addr: netip.MustParseAddr("192.0.2.1")}},
		{"sinkhole.ipv6", c.Sinkhole.IPv6, Sink{Kind: SinkNone}},
		{"sinkhole.ttl", c.Sinkhole.TTL, 36 * time.Hour},
		{"hits.journal.rotate_size", c.Hits.Journal.RotateSize, int64(500_000_000)},
		{"hits.journal.keep_size", c.Hits.Journal.KeepSize, int64(1 << 40)},
		{"hits.journal.sync_every", c.Hits.Journal.SyncEvery, 100 * time.Millisecond},
		{"console.listen", c.Console.Listen, netip.AddrPort{}},
		{"metrics.listen", c.Metrics.Listen, netip.MustParseAddrPort("[::]:9153")},
		{"lists[0].ipv4", c.Lists[0].IPv4, Sink{}},
		{"lists[0].ipv6", c.Lists[0].IPv6, Sink{Kind: SinkAddress, Addr: netip.MustParseAddr("2001:db8::1")}},
		{"lists[0].family", c.Lists[0].Family, "404"},
		{"lists[0].format", c.Lists[0].Format, FormatAuto},
		{"lists[0].refresh", c.Lists[0].Refresh, time.Hour},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: got %v, want %v", test.key, test.got, test.want)
		}
	}
}

func TestAutoSinkholeAddressWhereNoneIsGiven(t *testing.T) {
	const beyond = "listen: {dns: [\"192.0.2.53:53\"]}\n"
	for name, text := range map[string]string{
		"loopback":           "",
		"another action":     beyond + "sinkhole: {action: nodata}",
		"addresses":          beyond + "sinkhole: {ipv4: 192.0.2.1, ipv6: none}",
		"every list its own": beyond + "lists: [{name: a, source: a, ipv4: 192.0.2.1, ipv6: none}, {name: b, source: b, action: log}]",
	} {
		if _, err := Parse("test.yaml", []byte(text), ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEncryptedServersAreKnown(t *testing.T) {
	for text, want := range map[string]Server{
		"tls://192.0.2.53#dns.example":         {Kind: ServerTLS, Addr: netip.MustParseAddrPort("192.0.2.53:853"), Name: "dns.example"},
		"tls://192.0.2.53":                     {Kind: ServerTLS, Addr: netip.MustParseAddrPort("192.0.2.53:853"), Name: "192.0.2.53"},
		"tls://192.0.2.53#192.0.2.54":          {Kind: ServerTLS, Addr: netip.MustParseAddrPort("192.0.2.53:853"), Name: "192.0.2.54"},
		"tls://[2001:db8::53]:8853#DNS.test.":  {Kind: ServerTLS, Addr: netip.MustParseAddrPort("[2001:db8::53]:8853"), Name: "dns.test"},
		"tls://DNS.example.":                   {Kind: ServerTLS, Host: "dns.example:853", Name: "dns.example"},
		"tls://dns.example:8853":               {Kind: ServerTLS, Host: "dns.example:8853", Name: "dns.example"},
		"quic://2001:db8::53#dns.example":      {Kind: ServerQUIC, Addr: netip.MustParseAddrPort("[2001:db8::53]:853"), Name: "dns.example"},
		"quic://dns.example":                   {Kind: ServerQUIC, Host: "dns.example:853", Name: "dns.example"},
		"https://dns.example/dns-query":        {Kind: ServerHTTPS, Host: "dns.example:443", Name: "dns.example", Path: "/dns-query"},
		"https://192.0.2.53/dns-query#dns.tld": {Kind: ServerHTTPS, Addr: netip.MustParseAddrPort("192.0.2.53:443"), Name: "dns.tld", Path: "/dns-query"},
		"https://[2001:db8::53]:8443/a?dns=1":  {Kind: ServerHTTPS, Addr: netip.MustParseAddrPort("[2001:db8::53]:8443"), Name: "2001:db8::53", Path: "/a?dns=1"},
	} {
		want.Text = text
		if got, err := parseServer(text); got != want || err != nil {
			t.Errorf("%s: got %+v, error %v, want %+v", text, got, err, want)
		}
	}
}

func TestPositions(t *testing.T) {
	c := parse(t, "log:\n  level: warn\nlists:\n  - name: a\n    source: a.txt\n")
	for _, test := range []struct {
		key          string
		stated       bool
		line, column int
	}{
		{"log.level", true, 2, 10},
		{"log", true, 2, 3},
		{"log.format", false, 2, 3},
		{"lists", true, 4, 3},
		{"lists[0]", true, 4, 5},
		{"lists[0].source", true, 5, 13},
		{"lists[0].format", false, 4, 5},
		{"cache.memory", false, 1, 1},
		{"", false, 1, 1},
	} {
		line, column := c.Position(test.key)
		if stated := c.Stated(test.key); stated != test.stated || line != test.line || column != test.column {
			t.Errorf("%q: stated %v at %d:%d, want %v at %d:%d", test.key, stated, line, column, test.stated, test.line, test.column)
		}
	}
	if c.File() != "test.yaml" {
		t.Errorf("file %q", c.File())
	}
}

func TestChanged(t *testing.T) {
	old := parse(t, "lists: [{name: a, source: a.txt}]")
	new := parse(t, `
log: {level: debug}
listen: {dns: ["127.0.0.1:5301"], tls: []}
lists: [{name: a, source: a.txt, family: x}]
hits: {journal: {keep: 91d}}
cache: {memory: 64MiB}
`)
	want := []string{"listen.dns", "lists", "hits.journal.keep", "log.level"}
	if got := Changed(old, new); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Changed(new, new); got != nil {
		t.Errorf("a configuration differs from itself in %v", got)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with [brackets]")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sinkhole.yaml")
	text := `
lists:
  - {name: a, source: lists/a.txt}
  - {name: b, source: "lists/*.txt"}
  - {name: c, source: /absolute/c.txt}
  - {name: d, source: "embedded:sample"}
  - {name: f, source: "https://lists.example/f.txt", auth: {header: X-Key, secret_file: keys/f}}
  - {name: g, source: "rpz://192.0.2.1/rpz.example", tsig: {name: g.example, secret_file: /absolute/g}}
allow:
  - {name: e, source: ../e.txt}
groups:
  - {name: h, clients: [192.0.2.0/24, groups/h.txt, "2001:db8::1"], lists: [a]}
guard:
  files: [guard/own.txt, /absolute/own.txt]
  hold: [guard/popular.txt]
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	literal := strings.ReplaceAll(dir, "[", `\[`)
	for _, test := range [][2]string{
		{c.Lists[0].Source, literal + "/lists/a.txt"},
		{c.Lists[1].Source, literal + "/lists/*.txt"},
		{c.Lists[2].Source, "/absolute/c.txt"},
		{c.Lists[3].Source, EmbeddedSample},
		{c.Allow[0].Source, filepath.Dir(dir) + "/e.txt"},
		{c.Hits.Journal.Path, dir + "/data/hits"},
		{c.ListStore, dir + "/data/lists"},
		{c.Lists[4].Source, "https://lists.example/f.txt"},
		{c.Lists[4].Auth.SecretFile, dir + "/keys/f"},
		{c.Lists[4].TSIG.SecretFile, ""},
		{c.Lists[5].Source, "rpz://192.0.2.1/rpz.example"},
		{c.Lists[5].TSIG.SecretFile, "/absolute/g"},
		{c.Groups[0].Clients[0], "192.0.2.0/24"},
		{c.Groups[0].Clients[1], dir + "/groups/h.txt"},
		{c.Groups[0].Clients[2], "2001:db8::1"},
		{c.Guard.Files[0], dir + "/guard/own.txt"},
		{c.Guard.Files[1], "/absolute/own.txt"},
		{c.Guard.Hold[0], dir + "/guard/popular.txt"},
	} {
		if test[0] != test[1] {
			t.Errorf("got %s, want %s", test[0], test[1])
		}
	}
}

func TestRelativeConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	dir, err := os.Getwd() // without symbolic links
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("sinkhole.yaml", []byte("hits: {journal: {path: j}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load("sinkhole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "j"); c.Hits.Journal.Path != want {
		t.Errorf("got %s, want %s", c.Hits.Journal.Path, want)
	}
	if c, err = Embedded(); err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "data/hits"); c.Hits.Journal.Path != want {
		t.Errorf("embedded: got %s, want %s", c.Hits.Journal.Path, want)
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 5<<30); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for path, want := range map[string]string{
		missing: missing + ": file does not exist, expected a configuration file: correct the path, or put the file there",
		dir:     dir + ": is a directory, expected a configuration file: name the file in it",
		pipe:    pipe + ": is a device or pipe, expected a regular file: write the configuration to a file and name that",
		large:   large + ": found more than 1048576 bytes, expected a configuration of at most 1 MiB; is this another file?",
	} {
		if _, err := Load(path); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, err := Load(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// Files made to be costly end within a bound, refused.
func TestHostileText(t *testing.T) {
	const size = maxFile / 16
	repeat := func(s string) string { return strings.Repeat(s, size/len(s)) }
	var steps strings.Builder
	for i := 0; steps.Len() < size-2000; i++ {
		steps.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for name, text := range map[string]string{
		"brackets":    repeat("["),
		"braces":      repeat("{a: "),
		"keys":        strings.Repeat("a: 1\n", maxKeys),
		"empty keys":  strings.Repeat("a:\n", maxKeys),
		"entries":     "lists:\n" + strings.Repeat(" - \n", maxEntries),
		"flow keys":   "log: {" + strings.Repeat("a,", maxEntries) + "}",
		"dashes":      repeat("- "),
		"questions":   repeat("? "),
		"anchors":     repeat("&a "),
		"tags":        repeat("!a "),
		"quotes":      repeat(`"`),
		"one letter":  strings.Repeat("a", maxFile),
		"one key":     repeat("a"),
		"equal keys":  repeat("a: 1\n"),
		"bytes":       repeat("\x00"),
		"steps":       steps.String(),
		"long list":   repeat("- a\n"),
		"long flow":   repeat("a, "),
		"documents":   repeat("---\n"),
		"literal":     "log:\n  level: |\n" + repeat("    x\n"),
		"entity bomb": "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n",
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			_, err := Parse("test.yaml", []byte(text), "")
			if err == nil {
				t.Error("accepted")
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestFaultsAreBounded(t *testing.T) {
	_, err := Parse("test.yaml", []byte(strings.Repeat("a: 1\n", maxKeys)), "")
	faults, _ := errors.AsType[Faults](err)
	if len(faults) != maxFaults+1 {
		t.Fatalf("got %d faults", len(faults))
	}
	if got, want := faults[maxFaults].String(), "test.yaml: 4800 more faults; mend these first"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
