package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"sinkhole/hits"
)

// noon is a time that leases are about.
var noon = time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)

func write(t testing.TB, path, text string, at time.Time) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	return path
}

// opened has a file of the text, written at noon.
func opened(t testing.TB, texts ...string) *Names {
	t.Helper()
	var files []string
	for i, text := range texts {
		files = append(files, write(t, filepath.Join(t.TempDir(), fmt.Sprint("file", i)), text, noon))
	}
	return Open(Options{Files: files, Logger: zaptest.NewLogger(t)})
}

func client(addr string, at time.Time, ports ...uint16) hits.Client {
	return hits.Client{Addr: netip.MustParseAddr(addr), Ports: ports, At: at}
}

const keaHeader = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n"

func TestWho(t *testing.T) {
	at := noon.Unix()
	kea := func(addr, mac string, from, lifetime int64, name string, state int) string {
		return fmt.Sprintf("%s,%s,01:00,%d,%d,1,0,0,%s,%d,,0\n", addr, mac, lifetime, from+lifetime, name, state)
	}
	for name, c := range map[string]struct {
		text string
		ask  hits.Client
		want hits.Who
	}{
		"dnsmasq":                                 {fmt.Sprintf("%d 00:00:5e:00:53:01 192.0.2.5 laptop 01:00\n", at+3600), client("192.0.2.5", noon.Add(time.Minute)), hits.Who{Name: "laptop"}},
		"dnsmasq, another address":                {fmt.Sprintf("%d 00:00:5e:00:53:01 192.0.2.5 laptop *\n", at+3600), client("192.0.2.6", noon.Add(time.Minute)), hits.Who{}},
		"dnsmasq, before it was seen":             {fmt.Sprintf("%d 00:00:5e:00:53:01 192.0.2.5 laptop *\n", at+3600), client("192.0.2.5", noon.Add(-time.Minute)), hits.Who{}},
		"dnsmasq, after its end":                  {fmt.Sprintf("%d 00:00:5e:00:53:01 192.0.2.5 laptop *\n", at+3600), client("192.0.2.5", noon.Add(time.Hour)), hits.Who{}},
		"dnsmasq, no end":                         {"0 00:00:5e:00:53:01 192.0.2.5 printer *\n", client("192.0.2.5", noon.AddDate(9, 0, 0)), hits.Who{Name: "printer"}},
		"dnsmasq, no name":                        {"0 00:00:5e:00:53:01 192.0.2.5 * *\n", client("192.0.2.5", noon), hits.Who{}},
		"dnsmasq, IPv6":                           {"duid 00:01:00:01:2d:00:00:00:00:00:5e:00:53:99\n0 123456 2001:db8::5 phone 00:01:00:01:2d:00:00:00:00:00:5e:00:53:01\n", client("2001:db8::5", noon), hits.Who{Name: "phone"}},
		"what a client calls itself is no markup": {"0 00:00:5e:00:53:01 192.0.2.5 <img/onerror=alert(1)>\x1b[31m *\n", client("192.0.2.5", noon), hits.Who{Name: "?img?onerror?alert?1????31m"}},
		"kea":                 {keaHeader + kea("192.0.2.5", "00:00:5e:00:53:01", at, 3600, "laptop&#x2c1.example.", 0), client("192.0.2.5", noon), hits.Who{Name: "laptop?1.example"}},
		"kea, renewed":        {keaHeader + kea("192.0.2.5", "00:00:5e:00:53:01", at, 600, "laptop", 0) + kea("192.0.2.5", "00:00:5e:00:53:01", at+300, 600, "laptop", 0), client("192.0.2.5", noon.Add(899*time.Second)), hits.Who{Name: "laptop"}},
		"kea, the one before": {keaHeader + kea("192.0.2.5", "00:00:5e:00:53:01", at, 600, "laptop", 0) + kea("192.0.2.5", "00:00:5e:00:53:02", at+300, 600, "phone", 0), client("192.0.2.5", noon.Add(299*time.Second)), hits.Who{Name: "laptop"}},
		"kea, the one after":  {keaHeader + kea("192.0.2.5", "00:00:5e:00:53:01", at, 600, "laptop", 0) + kea("192.0.2.5", "00:00:5e:00:53:02", at+300, 600, "phone", 0), client("192.0.2.5", noon.Add(300*time.Second)), hits.Who{Name: "phone"}},
		"kea, deleted":        {keaHeader + kea("192.0.2.5", "00:00:5e:00:53:01", at-600, 36000000000, "laptop", 0) + kea("192.0.2.5", "00:00:5e:00:53:01", at-600, 0, "laptop", 0), client("192.0.2.5", time.Now().Add(time.Hour)), hits.Who{}},
		"kea, forever":        {keaHeader + kea("192.0.2.5", "00:00:5e:00:53:01", at, keaForever, "laptop", 0), client("192.0.2.5", noon.AddDate(200, 0, 0)), hits.Who{Name: "laptop"}},
		"kea, IPv6": {
			"address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id\n" +
				fmt.Sprintf("2001:db8::5,00:03:00:01:00:00:5e:00:53:01,600,%d,1,300,0,1,128,0,0,phone,,0,,,,0\n2001:db8:1::,00:03:00:01:00:00:5e:00:53:01,600,%d,1,300,2,1,48,0,0,prefix,,0,,,,0\n", at+600, at+600),
			client("2001:db8::5", noon), hits.Who{Name: "phone"},
		},
		"isc":                                   {"# comment\nauthoring-byte-order little-endian;\nlease 192.0.2.5 {\n  starts 0 2026/02/01 12:00:00;\n  ends 0 2026/02/01 13:00:00;\n  cltt 0 2026/02/01 12:00:00;\n  binding state active;\n  next binding state free;\n  hardware ethernet 00:00:5e:00:53:01;\n  uid \"\\001#};\";\n  client-hostname \"laptop\";\n}\n", client("192.0.2.5", noon.Add(59*time.Minute)), hits.Who{Name: "laptop"}},
		"isc, given back":                       {"lease 192.0.2.5 {\n  starts epoch 1769947200; # 2026/02/01 12:00:00\n  ends never;\n  binding state active;\n  hardware ethernet 00:00:5e:00:53:01;\n  client-hostname \"laptop\";\n}\nlease 192.0.2.5 {\n  starts epoch 1769947200;\n  ends epoch 1769947800;\n  binding state free;\n  hardware ethernet 00:00:5e:00:53:01;\n  client-hostname \"laptop\";\n}\n", client("192.0.2.5", noon.Add(time.Hour)), hits.Who{}},
		"isc, IPv6":                             {"ia-na \"\\001\\000\\000\\000\\000\\003\\000\\001\\000\\000^\\000S\\001\" {\n  cltt 0 2026/02/01 12:00:00;\n  iaaddr 2001:db8::5 {\n    binding state active;\n    preferred-life 375;\n    max-life 600;\n    ends 0 2026/02/01 12:10:00;\n  }\n}\nlease 192.0.2.6 {\n  starts 0 2026/02/01 12:00:00;\n  ends never;\n  hardware ethernet 00:00:5e:00:53:01;\n  client-hostname \"dual\";\n}\n", client("192.0.2.6", noon), hits.Who{Name: "dual"}},
		"csv":                                   {"address,name,owner,site,subscriber\n192.0.2.5,laptop,\"Example, Inc.\",HQ,S1\n", client("192.0.2.5", noon), hits.Who{Name: "laptop", Owner: "Example, Inc.", Site: "HQ", Subscriber: "S1"}},
		"csv, semicolons and a byte order mark": {"\uFEFFprefix;owner\r\n192.0.2.0/24;a \"\"quoted\"\" one\r\n", client("192.0.2.5", noon), hits.Who{Owner: `a ""quoted"" one`}},
		"csv, the longest prefix first":         {"prefix,owner,site\n192.0.0.0/16,ISP,north\n192.0.2.0/24,customer,\n", client("192.0.2.5", noon), hits.Who{Owner: "customer", Site: "north"}},
		"csv, in its time":                      {"address,from,until,subscriber\n192.0.2.5,2026-02-01T11:00:00Z,2026-02-01T12:00:00Z,S1\n192.0.2.5,2026-02-01 12:00:00,,S2\n", client("192.0.2.5", noon), hits.Who{Subscriber: "S2"}},
		"csv, before":                           {"address,from,until,subscriber\n192.0.2.5,2026-02-01T11:00:00Z,2026-02-01T12:00:00Z,S1\n192.0.2.5,1769947200,,S2\n", client("192.0.2.5", noon.Add(-1)), hits.Who{Subscriber: "S1"}},
		"csv, a long one behind short ones":     {"address,from,until,subscriber\n192.0.2.5,2026-01-01,2026-03-01,long\n192.0.2.5,2026-01-02,2026-01-03,short\n192.0.2.5,2026-01-04,2026-01-05,short\n", client("192.0.2.5", noon), hits.Who{Subscriber: "long"}},
		"csv, a block of ports":                 {"address,ports,subscriber\n192.0.2.5,1024-2047,S1\n192.0.2.5,2048-3071,S2\n", client("192.0.2.5", noon, 2048), hits.Who{Subscriber: "S2"}},
		"csv, a port in no block":               {"address,port_from,port_to,subscriber\n192.0.2.5,1024,2047,S1\n", client("192.0.2.5", noon, 2048), hits.Who{Shared: true}},
		"csv, ports of one subscriber":          {"address,ports,subscriber\n192.0.2.5,1024-2047,S1\n192.0.2.5,2048-3071,S2\n", client("192.0.2.5", noon, 1024, 2047), hits.Who{Subscriber: "S1"}},
		"csv, ports of two subscribers":         {"address,ports,subscriber\n192.0.2.5,1024-2047,S1\n192.0.2.5,2048-3071,S2\n", client("192.0.2.5", noon, 1024, 2048), hits.Who{Shared: true}},
		"csv, ports that are not all told":      {"address,ports,subscriber\n192.0.2.5,1024-2047,S1\n", hits.Client{Addr: netip.MustParseAddr("192.0.2.5"), Ports: []uint16{1024}, MorePorts: true, At: noon}, hits.Who{Shared: true}},
		"csv, a block in its time":              {"address,ports,from,until,subscriber\n192.0.2.5,1024-2047,2026-02-01T11:00:00Z,2026-02-01T12:00:00Z,S1\n192.0.2.5,1024-2047,2026-02-01T12:00:00Z,2026-02-01T13:00:00Z,S2\n", client("192.0.2.5", noon, 1024), hits.Who{Subscriber: "S2"}},
		"csv, a shared prefix":                  {"prefix,owner,shared\n100.64.0.0/10,ISP,cgnat\n", client("100.64.1.2", noon, 1024), hits.Who{Owner: "ISP", Shared: true}},
		"csv, a MAC address":                    {"mac,owner,name\n00-00-5e-00-53-01,Example,asset 7\n", hits.Client{MAC: "00-00-5E-00-53-01", At: noon}, hits.Who{Owner: "Example", Name: "asset 7"}},
		"an IPv4 address in an IPv6 one":        {"address,name\n192.0.2.5,laptop\n", client("::ffff:192.0.2.5", noon), hits.Who{Name: "laptop"}},
		"no address":                            {"address,name\n192.0.2.5,laptop\n", hits.Client{At: noon}, hits.Who{}},
	} {
		t.Run(name, func(t *testing.T) {
			n := opened(t, c.text)
			if got := n.Who(c.ask); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if s := n.Stats(); s.Faults > 0 || s.Unread > 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What one source does not tell another does: the lease the MAC address, whose entry the owner.
func TestSourcesTogether(t *testing.T) {
	n := opened(t, "0 00:00:5e:00:53:01 192.0.2.5 laptop *\n", "mac,owner\n00:00:5e:00:53:01,Example\n", "prefix,site,owner\n192.0.2.0/24,HQ,everybody\n")
	want := hits.Who{Name: "laptop", Owner: "Example", Site: "HQ"}
	if got := n.Who(client("192.0.2.5", noon)); got != want {
		t.Errorf("by the address: %+v", got)
	}
	by := client("198.51.100.1", noon) // a forwarder's
	by.MAC = "00-00-5E-00-53-01"
	if got := n.Who(by); got != (hits.Who{Name: "laptop", Owner: "Example"}) {
		t.Errorf("by the MAC address: %+v", got)
	}
	by = client("192.0.2.5", noon)
	by.MAC = "00-00-5E-00-53-02"
	if got := n.Who(by); got != (hits.Who{Site: "HQ", Owner: "everybody"}) {
		t.Errorf("of another machine: %+v", got)
	}
}

func TestSubscriber(t *testing.T) {
	n := opened(t, "address,prefix,ports,from,subscriber,shared\n192.0.2.5,,1024-2047,,S1,\n192.0.2.6,,,2026-02-01,S2,\n192.0.2.7,,,,S3,\n192.0.2.8,,,,,yes\n,100.64.0.0/10,,,,yes\n")
	for _, c := range []struct {
		ask    hits.Client
		want   string
		shared bool
	}{
		{client("192.0.2.5", noon, 1024), "S1", false}, {client("192.0.2.5", noon, 1), "", true}, {client("192.0.2.5", noon), "", true},
		{client("192.0.2.6", noon, 1), "S2", false}, {client("192.0.2.6", noon.AddDate(0, 0, -1), 1), "", false},
		{client("192.0.2.7", noon, 1), "", false}, // an address that is always theirs may have many machines behind it
		{client("192.0.2.8", noon, 1), "", true}, {client("100.64.0.1", noon, 1), "", true}, {client("192.0.2.9", noon, 1), "", false},
	} {
		if got, shared := n.Subscriber(c.ask); got != c.want || shared != c.shared {
			t.Errorf("%+v: %q, %v", c.ask, got, shared)
		}
	}
}

// What a lease file said stays true of its time: over a change, over a restart, and also where
// the file is gone, empty or broken.
func TestLeasesMove(t *testing.T) {
	dir := t.TempDir()
	path, history := filepath.Join(dir, "leases"), filepath.Join(dir, "names.jsonl")
	open := func() *Names {
		return Open(Options{Files: []string{path}, History: history, Write: true, Logger: zaptest.NewLogger(t)})
	}
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	line := func(end time.Time, mac int, name string) string {
		return fmt.Sprintf("%d 00:00:5e:00:53:%02d 192.0.2.5 %s *\n", end.Unix(), mac, name)
	}
	expect := func(n *Names, minutes int, want string) {
		t.Helper()
		if got := n.Who(client("192.0.2.5", at(minutes))).Name; got != want {
			t.Errorf("minute %d: %q, want %q", minutes, got, want)
		}
	}
	write(t, path, line(at(60), 1, "first"), at(0))
	n := open()
	expect(n, 30, "first")
	write(t, path, line(at(80), 1, "first"), at(20)) // renewed
	n.look()
	expect(n, 70, "first")
	write(t, path, line(at(120), 2, "second"), at(40))
	n.look()
	for range 2 {
		expect(n, 39, "first")
		expect(n, 40, "second")
		expect(n, 119, "second")
		expect(n, 120, "")
		n = open()
	}
	for _, text := range []string{"", "no lease\n", "x 00:00:5e:00:53:01 192.0.2.5 third *\n"} {
		write(t, path, text, at(50))
		n.look()
		expect(n, 39, "first")
		expect(n, 119, "second")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	n.look()
	expect(n, 119, "second")
	if s := n.Stats(); s.Unread == 0 || s.Leases != 2 || s.Unsaved != 0 {
		t.Errorf("%+v", s)
	}
}

// A lease that is gone from dnsmasq's file was given back.
func TestLeaseGivenBack(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "leases"), "0 00:00:5e:00:53:01 192.0.2.5 one *\n0 00:00:5e:00:53:02 192.0.2.6 two *\n", noon)
	n := Open(Options{Files: []string{path}, Logger: zaptest.NewLogger(t)})
	write(t, path, "0 00:00:5e:00:53:02 192.0.2.6 two *\n", noon.Add(time.Hour))
	n.look()
	if a, b, c := n.Who(client("192.0.2.5", noon.Add(59*time.Minute))).Name, n.Who(client("192.0.2.5", noon.Add(time.Hour))).Name, n.Who(client("192.0.2.6", noon.Add(2*time.Hour))).Name; a != "one" || b != "" || c != "two" {
		t.Errorf("%q, %q, %q", a, b, c)
	}
}

// Reading a file of changes again changes nothing, whenever that is.
func TestReadAgain(t *testing.T) {
	var text strings.Builder
	text.WriteString(keaHeader)
	for i := range 20 {
		lifetime := int64(600)
		if i%5 == 4 {
			lifetime = 0
		}
		from := noon.Unix() + int64(i*100)
		fmt.Fprintf(&text, "192.0.2.5,00:00:5e:00:53:%02d,,%d,%d,1,0,0,m%d,0,,0\n", i/3%3, lifetime, from+lifetime, i/3%3)
	}
	path := write(t, filepath.Join(t.TempDir(), "leases"), text.String(), noon)
	n := Open(Options{Files: []string{path}, Logger: zaptest.NewLogger(t)})
	before := slices.Clone(n.leases.by[netip.MustParseAddr("192.0.2.5")])
	for i := range 3 {
		write(t, path, text.String(), noon.Add(time.Duration(i+1)*time.Hour))
		n.look()
		if after := n.leases.by[netip.MustParseAddr("192.0.2.5")]; !slices.Equal(before, after) {
			t.Errorf("got %v, want %v", after, before)
		}
	}
	for i := range before[1:] {
		if before[i].until > before[i+1].from {
			t.Errorf("two at a time: %v", before)
		}
	}
}

// While Kea cleans up, leases stand in files beside.
func TestKeaCleansUp(t *testing.T) {
	dir := t.TempDir()
	row := func(addr, name string) string {
		return keaHeader + fmt.Sprintf("%s,00:00:5e:00:53:01,,3600,%d,1,0,0,%s,0,,0\n", addr, noon.Unix()+3600, name)
	}
	write(t, filepath.Join(dir, "leases.csv.2"), row("192.0.2.5", "one"), noon)
	write(t, filepath.Join(dir, "leases.csv.1"), row("192.0.2.6", "two"), noon)
	n := Open(Options{Files: []string{write(t, filepath.Join(dir, "leases.csv"), row("192.0.2.7", "three"), noon)}, Logger: zaptest.NewLogger(t)})
	for i, want := range []string{"one", "two", "three"} {
		if got := n.Who(client(fmt.Sprintf("192.0.2.%d", 5+i), noon)).Name; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"csv, column":    {"address,colour\n", `:1: found the column "colour", which is left out, expected some of address, prefix,`},
		"csv, address":   {"address,name\n192.0.2.256,x\n192.0.2.5,good\n", `:2: found "192.0.2.256", expected an address or a prefix such as 192.0.2.0/24`},
		"csv, quote":     {"address,name\n\"192.0.2.256,x\n192.0.2.5,good\n", `:2: found a " without another, expected a field to end on its line`},
		"csv, ports":     {"address,ports\n192.0.2.5,2-1\n", `:2: found the ports "2" to "1", expected a block such as 1024-2047`},
		"csv, prefix":    {"prefix,ports\n192.0.2.0/24,1-2\n", `:2: found ports without one address, expected the address whose ports they are`},
		"csv, time":      {"address,from\n192.0.2.5,yesterday\n", `:2: from: found "yesterday", expected a time such as 2026-02-01T03:04:05Z, a date or seconds since 1970`},
		"csv, order":     {"address,from,until\n192.0.2.5,2026-02-02,2026-02-01\n", `:2: found an until that is not after from, expected it to be later`},
		"csv, nobody":    {"address,name\n,x\n", `:2: found no address, prefix or mac, expected one of them`},
		"csv, shared":    {"address,shared\n192.0.2.5,perhaps\n", `:2: found shared "perhaps", expected yes or no`},
		"csv, long line": {"address,name\n192.0.2.5," + strings.Repeat("x", maxLine) + "\n192.0.2.5,good\n", fmt.Sprintf(":2: found a line of more than %d octets, expected shorter ones", maxLine)},
		"dnsmasq, short": {"0 00:00:5e:00:53:01 192.0.2.5 x *\n0 1\n", `:2: found 2 fields, expected those of a lease: end, MAC address, address, name`},
		"dnsmasq, end":   {"0 00:00:5e:00:53:01 192.0.2.5 x *\nsoon 00:00:5e:00:53:01 192.0.2.5 x *\n", `:2: found the end "soon", expected seconds since 1970`},
		"kea":            {keaHeader + "192.0.2.5,00:00:5e:00:53:01,,x,1,1,0,0,x,0,,0\n", `:2: found valid_lifetime "x", expected a number`},
		"isc":            {"lease 192.0.2.5 {\n  starts 0 soon;\n}\n", `:2: found the time "0 soon", expected one such as 4 2026/01/29 10:11:12, epoch 1769681472 or never`},
		"no format":      {"hello\n", `:1: found neither leases of dnsmasq, Kea or ISC, nor the header of a CSV file with a column address, prefix or mac`},
		"empty":          {"\n# nothing\n", `: found nothing, expected leases of dnsmasq, Kea or ISC, or CSV with a header`},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "file"), c.text, noon)
			faults, _ := Check([]string{path})
			if len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), path+c.want) {
				t.Errorf("got %v, want %s", faults, c.want)
			}
			if strings.Contains(c.text, "good") {
				n := Open(Options{Files: []string{path}, Logger: zaptest.NewLogger(t)})
				if got := n.Who(client("192.0.2.5", noon)).Name; got != "good" {
					t.Errorf("the rest of the file: %q", got)
				}
			}
		})
	}
}

// Names of reverse DNS are of private addresses alone, unless all are asked for, and hold from
// the hit on.
func TestReverse(t *testing.T) {
	for _, all := range []bool{false, true} {
		asked := make(chan netip.Addr, 8)
		history := filepath.Join(t.TempDir(), "names.jsonl")
		n := Open(Options{History: history, Write: true, ReverseAll: all, Logger: zaptest.NewLogger(t), Reverse: func(_ context.Context, a netip.Addr) (string, error) {
			asked <- a
			switch a.String() {
			case "10.0.0.2":
				return "", &net.DNSError{IsNotFound: true}
			case "10.0.0.3":
				return "", errors.New("broken")
			}
			return "host.example", nil
		}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		at := time.Now().Add(-time.Second)
		addrs := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "203.0.113.1"}
		for range 2 {
			for _, a := range addrs {
				n.Seen(netip.MustParseAddr(a), at)
			}
			n.Seen(netip.MustParseAddr("10.0.0.9"), at.Add(-time.Hour))
		}
		want := len(addrs)
		if !all {
			want--
		}
		for i := range want {
			if a := <-asked; a.String() != addrs[i] {
				t.Errorf("asked for %s, want %s", a, addrs[i])
			}
		}
		for n.Stats().Asked < uint64(want) || n.Who(client("10.0.0.1", at)).Name == "" {
			time.Sleep(time.Millisecond)
		}
		stop()
		<-done
		again := Open(Options{History: history, Logger: zaptest.NewLogger(t)})
		for _, n := range []*Names{n, again} {
			if got := n.Who(client("10.0.0.1", at)).Name; got != "host.example" {
				t.Errorf("%q", got)
			}
			if got := n.Who(client("10.0.0.1", at.Add(-time.Second))).Name; got != "" {
				t.Errorf("before the hit: %q", got)
			}
		}
		if s := n.Stats(); s.Asked != uint64(want) || s.Unnamed != 2 || s.Unasked != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// Past the bound those go that ended first.
func TestBound(t *testing.T) {
	o := newHolders()
	for i := range int64(1000) {
		o.put(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), timeline{{from: i, until: i + 100, name: "x"}})
	}
	if n := o.bound(500); o.count > 500 || o.count < 400 || n != 1000-o.count {
		t.Errorf("%d are left, %d went", o.count, n)
	}
	if o.at(netip.AddrFrom4([4]byte{10, 0, 3, 231}), 1000) == nil {
		t.Error("the last one is gone")
	}
}

// A history that a crash cut off is read up to there, and goes on.
func TestHistoryCutOff(t *testing.T) {
	dir := t.TempDir()
	history := filepath.Join(dir, "names.jsonl")
	write(t, history, `{"address":"192.0.2.5","name":"kept","source":"x","from":1,"until":100}`+"\n"+`{"address":"192.0.2.6","na`, noon)
	path := write(t, filepath.Join(dir, "leases"), "0 00:00:5e:00:53:01 192.0.2.7 new *\n", noon)
	for range 2 {
		n := Open(Options{Files: []string{path}, History: history, Write: true, Logger: zaptest.NewLogger(t)})
		if a, b := n.Who(client("192.0.2.5", time.Unix(0, 50))).Name, n.Who(client("192.0.2.7", noon)).Name; a != "kept" || b != "new" {
			t.Errorf("%q, %q", a, b)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"0 00:00:5e:00:53:01 192.0.2.5 x *\n", keaHeader + "192.0.2.5,00:00:5e:00:53:01,,600,1769948000,1,0,0,x,0,,0\n",
		"lease 192.0.2.5 {\n  starts never;\n  client-hostname \"\\001x\";\n}\n", "address,ports,from,until,name\n192.0.2.5,1-2,2026-01-01,,\"x\"\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		n := Open(Options{Files: []string{path}, History: path + ".history", Write: true, Logger: zaptest.NewLogger(t)})
		for a, timeline := range n.leases.by {
			for i, h := range timeline {
				if h.until <= h.from || i > 0 && h.from < timeline[i-1].until {
					t.Fatalf("%s: %v", a, timeline)
				}
				if strings.ContainsAny(h.name, "<>\"'&=\x1b\n") || len(h.name) > maxText {
					t.Fatalf("%q", h.name)
				}
			}
		}
		again := Open(Options{History: path + ".history", Logger: zaptest.NewLogger(t)})
		if again.leases.count != n.leases.count {
			t.Fatalf("the history has %d leases, want %d", again.leases.count, n.leases.count)
		}
	})
}
