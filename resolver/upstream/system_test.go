package upstream_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sinkhole/resolver/upstream"
)

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// nameserver is a line with a port, in OpenBSD's notation.
func nameserver(p *peer) string {
	return "nameserver [" + p.addr.Addr().String() + "]:" + strings.TrimPrefix(p.addr.String(), p.addr.Addr().String()+":") + "\n"
}

func systemForwarder(t *testing.T, path string, own ...netip.AddrPort) (*upstream.Forwarder, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	f := forwarder(t, upstream.Options{
		Servers: []string{"system"}, Timeout: time.Second, ResolvConf: path,
		Own: func() []netip.AddrPort { return own }, Logger: zap.New(core),
	})
	return f, logs
}

// answeredBy asks until the reply comes from that server.
func answeredBy(t *testing.T, f *upstream.Forwarder, p *peer) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		reply, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
		if err == nil && reply.Server == p.addr {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got server %v and error %v, want %s", reply.Server, err, p)
		}
	}
}

func TestSystemFollowsTheFile(t *testing.T) {
	t.Parallel()
	one, two := startPeer(t, "127.0.0.1", honest, nil), startPeer(t, "127.0.0.1", honest, nil)
	path := filepath.Join(t.TempDir(), "resolv.conf")
	f, _ := systemForwarder(t, path)

	var failed *upstream.Error
	_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
	if !errors.As(err, &failed) || failed.Kind != upstream.NoServer || !strings.Contains(err.Error(), path) {
		t.Fatalf("no file: got error %v, want NoServer naming the file", err)
	}

	writeFile(t, path, "# ours\nsearch example.com\n"+nameserver(one)+"options edns0\n")
	answeredBy(t, f, one)
	exchanges := f.Stats()[0].Exchanges

	// Written in place; a server that stays keeps its counters.
	writeFile(t, path, nameserver(two)+nameserver(one))
	answeredBy(t, f, two)
	if s := f.Stats()[1]; s.Server != one.addr || s.Exchanges < exchanges {
		t.Errorf("got %s with %d exchanges, want %s with its %d and more", s.Server, s.Exchanges, one, exchanges)
	}

	// Replaced by rename.
	writeFile(t, path+".new", nameserver(one))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	answeredBy(t, f, one)

	// Replaced by a link, as systemd-resolved has it.
	writeFile(t, path+".stub", nameserver(two))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+".stub", path); err != nil {
		t.Fatal(err)
	}
	answeredBy(t, f, two)
}

// A file that vanishes takes no server away, and is told of once.
func TestSystemKeepsServersWithoutTheFile(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "127.0.0.1", honest, nil)
	path := filepath.Join(t.TempDir(), "resolv.conf")
	writeFile(t, path, nameserver(p))
	f, logs := systemForwarder(t, path)
	answeredBy(t, f, p)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for logs.FilterLevelExact(zap.WarnLevel).Len() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("no warning that the file is gone")
		}
		answeredBy(t, f, p)
	}
}

// We do not ask ourselves: what is left is asked, one warning is given, and
// where nothing is left the exchange fails at once.
func TestSystemLeavesOutOurselves(t *testing.T) {
	t.Parallel()
	self, other := startPeer(t, "127.0.0.1", honest, nil), startPeer(t, "127.0.0.1", honest, nil)
	at := func(address string) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(address), self.addr.Port())
	}
	for name, listener := range map[string]netip.AddrPort{
		"that address":        self.addr,
		"mapped":              at("::ffff:127.0.0.1"),
		"the wildcard":        at("0.0.0.0"),
		"the IPv6 wildcard":   at("::"),
		"the mapped wildcard": at("::ffff:0.0.0.0"),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "resolv.conf")
			writeFile(t, path, nameserver(self)+nameserver(other))
			f, logs := systemForwarder(t, path, listener)
			for range 3 {
				if _, reply := exchange(t, f, "www.example.com."); reply.Server != other.addr {
					t.Errorf("got a reply from %s, want %s", reply.Server, other)
				}
			}
			warnings := logs.FilterLevelExact(zap.WarnLevel).All()
			if len(warnings) != 1 || !strings.Contains(warnings[0].ContextMap()["trouble"].(string), self.String()) {
				t.Errorf("got warnings %v, want one that names %s", warnings, self)
			}

			writeFile(t, path+"2", nameserver(self))
			f, _ = systemForwarder(t, path+"2", listener)
			start := time.Now()
			_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
			var failed *upstream.Error
			if !errors.As(err, &failed) || failed.Kind != upstream.NoServer || failed.EDE() != 22 || !strings.Contains(err.Error(), "this resolver itself") {
				t.Errorf("got error %v, want NoServer with the reason", err)
			}
			if took := time.Since(start); took > 200*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
	if n := self.overUDP.Load(); n != 0 {
		t.Errorf("we asked ourselves %d times", n)
	}
}

// Another port at our address is another server.
func TestSystemKeepsAnotherPort(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "127.0.0.1", honest, nil)
	path := filepath.Join(t.TempDir(), "resolv.conf")
	writeFile(t, path, nameserver(p))
	f, _ := systemForwarder(t, path, netip.MustParseAddrPort("0.0.0.0:1"))
	answeredBy(t, f, p)
}

// Servers before and behind "system" keep their places; none is asked twice.
func TestSystemAmongOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	writeFile(t, path, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
	f := forwarder(t, upstream.Options{
		Servers: []string{"192.0.2.3", "system", "192.0.2.2", "system", "192.0.2.4"}, Timeout: time.Second, ResolvConf: path,
	})
	var got []string
	for _, s := range f.Stats() {
		got = append(got, s.Server.(netip.AddrPort).Addr().String())
	}
	if want := "192.0.2.3 192.0.2.1 192.0.2.2 192.0.2.4"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestSystemFileIsNoFile(t *testing.T) {
	f, _ := systemForwarder(t, t.TempDir())
	_, err := f.Exchange(t.Context(), newQuery(t, "www.example.com."))
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got error %v, want one that says what the path is", err)
	}
}
