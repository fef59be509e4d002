package upstream

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestParseResolvConf(t *testing.T) {
	tests := []struct {
		name    string
		content string
		want    string // servers
		faults  string // what they contain
	}{
		{"empty", "", "", ""},
		{"usual", "domain example.com\nsearch example.com\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:1\n", "192.0.2.1:53 192.0.2.2:53", ""},
		{"four, all count", "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4", "192.0.2.1:53 192.0.2.2:53 192.0.2.3:53 192.0.2.4:53", ""},
		{"repeated", "nameserver 192.0.2.1\nnameserver 192.0.2.1\n", "192.0.2.1:53", ""},
		{"comments", "# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n#nameserver 192.0.2.3\n", "", ""},
		{"white space, CRLF, trailing words", "nameserver\t 192.0.2.1 \t# first\r\nnameserver 192.0.2.2\r\n", "192.0.2.1:53 192.0.2.2:53", ""},
		{"IPv6 with zone", "nameserver 2001:db8::1\nnameserver fe80::1%eth0\n", "[2001:db8::1]:53 [fe80::1%eth0]:53", ""},
		{"mapped", "nameserver ::ffff:192.0.2.1\n", "192.0.2.1:53", ""},
		{"this machine", "nameserver 0.0.0.0\nnameserver ::\n", "127.0.0.1:53 [::1]:53", ""},
		{"OpenBSD's port", "nameserver [192.0.2.1]:5353\n", "192.0.2.1:5353", ""},
		{"a port without brackets", "nameserver 192.0.2.1:5353\n", "", `file:1: nameserver "192.0.2.1:5353", expected an IP address`},
		{"a name", "\n\nnameserver dns.example\nnameserver 192.0.2.1\n", "192.0.2.1:53", `file:3: nameserver "dns.example", expected`},
		{"no address", "nameserver\n", "", `file:1: nameserver "", expected`},
		{"multicast", "nameserver 224.0.0.251\n", "", `file:1: nameserver "224.0.0.251"`},
		{"another word", "nameservers 192.0.2.1\nNameserver 192.0.2.1\n", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			servers, faults := parseResolvConf("file", []byte(test.content))
			if got := strings.ReplaceAll(joined(servers), ",", ""); got != test.want {
				t.Errorf("got servers %q, want %q", got, test.want)
			}
			if got := strings.Join(faults, "; "); !strings.Contains(got, test.faults) || (test.faults == "") != (got == "") {
				t.Errorf("got faults %q, want %q", got, test.faults)
			}
		})
	}
	if _, faults := parseResolvConf("file", bytes.Repeat([]byte("nameserver x\n"), 1000)); len(faults) != faultLimit {
		t.Errorf("got %d faults for 1000 bad lines, want %d", len(faults), faultLimit)
	}
}

// FuzzResolvConf compares with the library's reader, where that reads plain
// addresses.
func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("# a\nnameserver 192.0.2.1\nsearch example.com\nnameserver fe80::1%eth0\r\n;\nnameserver\n"))
	f.Add([]byte("nameserver ::ffff:192.0.2.1\nnameserver 0.0.0.0"))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, _ := parseResolvConf("file", content)
		for i, s := range got {
			if !s.IsValid() || s.Addr().Is4In6() || s.Addr().IsUnspecified() || s.Port() == 0 || slices.Contains(got[:i], s) {
				t.Fatalf("server %d is %v in %v", i, s, got)
			}
		}
		config, err := dns.ClientConfigFromReader(bytes.NewReader(content))
		if err != nil {
			return
		}
		for _, text := range config.Servers {
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.IsUnspecified() || addr.Unmap().IsUnspecified() || checkServer(netip.AddrPortFrom(addr, dnsPort)) != nil {
				continue
			}
			if !slices.Contains(got, netip.AddrPortFrom(addr.Unmap(), dnsPort)) {
				t.Fatalf("the library reads %s, we read %v", text, got)
			}
		}
	})
}

// A change that leaves the size alone, or all but the file itself, is seen.
func TestRefreshSeesEveryChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	r := resolvConf{path: path}
	then := time.Unix(1_700_000_000, 0)
	write := func(path, content string, modified time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if err := r.refresh(); err != nil {
			t.Fatal(err)
		}
		if got := joined(r.servers); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	write(path, "nameserver 192.0.2.1\n", then)
	expect("192.0.2.1:53")
	write(path, "nameserver 192.0.2.2\n", then.Add(time.Millisecond))
	expect("192.0.2.2:53")
	write(path, "nameserver 192.0.2.31\n", then.Add(time.Millisecond))
	expect("192.0.2.31:53")
	write(path+".new", "nameserver 192.0.2.42\n", then.Add(time.Millisecond))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	expect("192.0.2.42:53")
}

// A trouble that lasts is told of once; another one is told of, too.
func TestSystemWarnsOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	core, logs := observer.New(zapcore.WarnLevel)
	self := netip.MustParseAddrPort("192.0.2.1:53")
	s := newSystem(Options{ResolvConf: path, Logger: zap.New(core), Own: func() []netip.AddrPort { return []netip.AddrPort{self} }}, nil)
	now := time.Unix(1000, 0)
	look := func(want int) {
		t.Helper()
		for range 3 {
			s.servers(now)
			now = now.Add(recheck)
		}
		if got := logs.Len(); got != want {
			t.Errorf("got %d warnings, want %d: %v", got, want, logs.All())
		}
	}
	look(1) // no file
	for i, content := range []string{"nameserver 192.0.2.1\n", "nameserver 192.0.2.1\nnameserver x\n"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		look(2 + i)
	}
}

// The file is looked at once in a while, not at every exchange.
func TestSystemLooksOnceASecond(t *testing.T) {
	looks := 0
	s := newSystem(Options{ResolvConf: filepath.Join(t.TempDir(), "none"), Logger: zap.NewNop(), Own: func() []netip.AddrPort {
		looks++
		return nil
	}}, nil)
	now := time.Unix(1000, 0)
	for ms := range 3000 {
		s.servers(now.Add(time.Duration(ms) * time.Millisecond))
	}
	if looks != 3 {
		t.Errorf("got %d looks in 3s, want 3", looks)
	}
}
