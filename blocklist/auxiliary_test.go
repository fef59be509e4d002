package blocklist

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// readClients reads prefixes, one a line.
func readClients(path string) (all []netip.Prefix, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		p, err := netip.ParsePrefix(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		all = append(all, p)
	}
	return all, lines.Err()
}

// groupAndVerdict is the group that a client is in by the policy in force.
func groupAndVerdict(l *Lists, client string) string {
	p := l.Policy()
	var v Verdict
	p.JudgeQuestion(netip.MustParseAddr(client), wireName("evil.example"), time.Now().Unix(), &v)
	return strings.TrimSpace(p.GroupName(&v) + " " + verdictText(p, &v))
}

// within waits until something is so.
func within(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}

// errorsOf are the errors that were logged.
func errorsOf(logged *observer.ObservedLogs) (all []string) {
	for _, e := range logged.FilterLevelExact(zap.ErrorLevel).All() {
		all = append(all, fmt.Sprint(e.Message, " ", e.ContextMap()["error"]))
	}
	return all
}

// TestGroupFileChanges while it serves: the clients in it are in force at once,
// and no list is read for it. A file with a fault changes nothing.
func TestGroupFileChanges(t *testing.T) {
	dir := t.TempDir()
	list, out := filepath.Join(dir, "list"), filepath.Join(dir, "[opted] out.txt")
	write(t, list, "evil.example\n")
	write(t, out, "192.0.2.1/32\n")
	core, logged := observer.New(zap.DebugLevel)
	o := Options{Configuration: specsOf(spec("feed", list)), Watch: true, Settle: time.Millisecond, ReadClients: readClients, Logger: zap.New(core)}
	o.Groups = []Group{
		{Name: "out", Clients: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Files: []string{out}, Mode: GroupOff},
		{Name: "north", Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
	}
	l := open(t, o)
	is := func(clients map[string]string) bool {
		for client, want := range clients {
			if groupAndVerdict(l, client) != want {
				return false
			}
		}
		return true
	}
	const block = "enforce sinkhole feed:1"
	if !is(map[string]string{"192.0.2.1": "out none", "198.51.100.1": "out none", "192.0.2.2": "north " + block, "203.0.113.1": block}) {
		t.Fatalf("groups at the start: %q, %q", groupAndVerdict(l, "192.0.2.1"), groupAndVerdict(l, "203.0.113.1"))
	}
	read, serial, segment := status(t, l, "feed").Tried, l.Policy().Serial(), l.Policy().parts[0].segment

	write(t, out, "192.0.2.2/32\n203.0.113.1/32\n")
	within(t, "other clients have opted out", func() bool {
		return is(map[string]string{"192.0.2.1": "north " + block, "198.51.100.1": "out none", "192.0.2.2": "out none", "203.0.113.1": "out none"})
	})
	p := l.Policy()
	if p.Serial() <= serial || p.parts[0].segment != segment || status(t, l, "feed").Tried != read {
		t.Error("the policy has no serial of its own, or the list was read anew")
	}

	write(t, out, "192.0.2.2/32\nnobody\n")
	within(t, "the fault is logged", func() bool { return len(errorsOf(logged)) > 0 })
	if all := errorsOf(logged); len(all) != 1 || !strings.HasPrefix(all[0], "groups of clients stay as they were group out: "+out+":2: ") {
		t.Errorf("logged %q", all)
	}
	if l.Policy() != p {
		t.Error("a file with a fault made a policy")
	}

	write(t, out, "")
	within(t, "nobody of the file has opted out", func() bool {
		return is(map[string]string{"192.0.2.2": "north " + block, "203.0.113.1": block, "198.51.100.1": "out none"})
	})
	write(t, list, "evil.example\nworse.example\n") // the groups hold with another list as well
	eventually(t, l, "worse.example", "enforce sinkhole feed:2")
	if !is(map[string]string{"198.51.100.1": "out none", "192.0.2.2": "north " + block}) {
		t.Error("the groups are lost with an update of a list")
	}
}

// TestGroupFileRetried has a failure that passes by itself: no event tells when.
func TestGroupFileRetried(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	write(t, path, "192.0.2.1/32\n")
	var failing atomic.Bool
	core, logged := observer.New(zap.DebugLevel)
	o := Options{Watch: true, Settle: time.Millisecond, Logger: zap.New(core), ReadClients: func(path string) ([]netip.Prefix, error) {
		if failing.Swap(false) {
			return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
		}
		return readClients(path)
	}}
	o.Groups = []Group{{Name: "out", Files: []string{path}}}
	l := open(t, o)
	failing.Store(true)
	write(t, path, "192.0.2.2/32\n")
	within(t, "it is read again", func() bool { return groupAndVerdict(l, "192.0.2.2") == "out none" })
	if all := errorsOf(logged); len(all) != 1 || !strings.Contains(all[0], "too many open files") {
		t.Errorf("logged %q", all)
	}
}

// TestGuardFileChanges while it serves: the lists are guarded by it anew. A file
// with a fault changes nothing.
func TestGuardFileChanges(t *testing.T) {
	dir := t.TempDir()
	list, hold, own := filepath.Join(dir, "list"), filepath.Join(dir, "popular.csv"), filepath.Join(dir, "own.txt")
	write(t, list, "evil.example\npopular.example\nours.example\n")
	write(t, hold, "1,other.example\n")
	write(t, own, "# none yet\n")
	core, logged := observer.New(zap.DebugLevel)
	o := Options{Configuration: specsOf(spec("feed", list)), Watch: true, Settle: time.Millisecond, Logger: zap.New(core), Store: openStore(t, filepath.Join(dir, "store")), Program: "test"}
	o.Guard.Files, o.Guard.Hold = []string{own}, []string{hold}
	l := open(t, o)
	expect(t, l, "popular.example", "enforce sinkhole feed:2")

	write(t, hold, "1,popular.example\n")
	eventually(t, l, "popular.example", "none")
	within(t, "the status tells of it", func() bool { // a policy is in force a moment before all is told
		s := status(t, l, "feed")
		return s.Held == 1 && s.State == StateOK
	})
	write(t, own, "ours.example\n")
	eventually(t, l, "ours.example", "none")
	expect(t, l, "evil.example", "enforce sinkhole feed:1")

	p := l.Policy()
	write(t, hold, "1,popular.example\nno name\nneither this\n")
	within(t, "each fault is logged", func() bool { return len(errorsOf(logged)) == 2 })
	for i, at := range []string{":2: ", ":3: "} {
		if want := "the guard protects what it did before guard.hold[0]: " + hold + at; !strings.HasPrefix(errorsOf(logged)[i], want) {
			t.Errorf("logged %q, expected %q", errorsOf(logged)[i], want)
		}
	}
	if l.Policy() != p {
		t.Error("a file with a fault made a policy")
	}

	write(t, hold, "1,evil.example\n")
	eventually(t, l, "popular.example", "enforce sinkhole feed:2")
	expect(t, l, "evil.example", "none")
	expect(t, l, "ours.example", "none")
}

// TestConfigureWithBadFiles changes nothing, and goes on watching what it did.
func TestConfigureWithBadFiles(t *testing.T) {
	dir := t.TempDir()
	list, out, bad := filepath.Join(dir, "list"), filepath.Join(dir, "out"), filepath.Join(dir, "bad")
	write(t, list, "evil.example\n")
	write(t, out, "192.0.2.1/32\n")
	write(t, bad, "no name\n")
	o := Options{Configuration: specsOf(spec("feed", list)), Watch: true, Settle: time.Millisecond, ReadClients: readClients}
	o.Groups = []Group{{Name: "out", Files: []string{out}, Mode: GroupOff}}
	l := open(t, o)
	p := l.Policy()
	c := specsOf(spec("other", list))
	c.Groups = []Group{{Name: "bad", Files: []string{bad}}}
	c.Guard.Hold = []string{bad}
	_, err := l.Configure(c)
	if err == nil || !strings.Contains(err.Error(), "group bad: "+bad+":1: ") || !strings.Contains(err.Error(), "guard.hold[0]: "+bad+":1: ") {
		t.Errorf("configured: %v", err)
	}
	if l.Policy() != p {
		t.Error("a configuration with faults made a policy")
	}
	write(t, out, "192.0.2.2/32\n")
	within(t, "the old groups are watched", func() bool { return groupAndVerdict(l, "192.0.2.2") == "out none" })
}

// TestSecretFileChanges has the list fetched with the new key at once.
func TestSecretFileChanges(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "n3w" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, "evil.example")
	}))
	defer server.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	write(t, path, "0ld\n")
	s := spec("feed", server.URL+"/list")
	s.Header, s.SecretFile = "X-Key", path
	l := open(t, Options{Configuration: specsOf(s), Watch: true, Settle: time.Millisecond, Store: openStore(t, filepath.Join(dir, "store"))})
	if err := l.Refresh(t.Context(), "feed"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Fatalf("fetched with another key: %v", err)
	}
	write(t, path, "n3w\n")
	eventually(t, l, "evil.example", "enforce sinkhole feed:1")
	within(t, "it is well", func() bool { s := status(t, l, "feed"); return s.State == StateOK && s.Error == "" })
}

func TestOverlaps(t *testing.T) {
	group := func(name string, clients ...string) Group {
		g := Group{Name: name}
		for _, c := range clients {
			g.Clients = append(g.Clients, netip.MustParsePrefix(c))
		}
		return g
	}
	for _, c := range []struct {
		name   string
		groups []Group
		want   []string
	}{
		{"none", []Group{group("a", "192.0.2.0/24"), group("b", "198.51.100.0/24", "2001:db8::/32")}, nil},
		{"the rest", []Group{group("a", "192.0.2.0/24"), group("all", "0.0.0.0/0", "::/0")}, nil},
		{"one within its own", []Group{group("a", "10.0.0.0/8", "10.1.0.0/16")}, nil},
		{"empty", []Group{group("a"), group("b", "192.0.2.0/24")}, nil},
		{"twice in one", []Group{group("a", "192.0.2.0/24", "192.0.2.0/24")}, []string{"group a: 192.0.2.0/24 stands in it twice"}},
		{"several twice in one", []Group{group("a", "192.0.2.0/24", "10.0.0.0/8", "192.0.2.9/24", "10.0.0.0/8")}, []string{"group a: 192.0.2.0/24 and 1 more stand in it twice"}},
		{"in two", []Group{group("a", "192.0.2.0/24"), group("b", "192.0.2.0/24", "10.0.0.0/8")},
			[]string{"group b: 192.0.2.0/24 stands in group a too, which is before it and holds"}},
		{"several in two", []Group{group("a", "192.0.2.0/24"), group("b", "10.0.0.0/8"), group("c", "192.0.2.0/24", "10.0.0.0/8", "::/0")},
			[]string{"group c: 192.0.2.0/24 and 1 more stand in groups before it too, the first in a; these hold"}},
		{"a part of one before", []Group{group("a", "10.0.0.0/8"), group("b", "10.1.0.0/16", "192.0.2.0/24")},
			[]string{"group b: 10.1.0.0/16 stands in group a too, which is before it and holds"}},
		{"parts of some before", []Group{group("a", "10.0.0.0/8", "192.0.2.0/24"), group("b", "2001:db8::/32"), group("c", "2001:db8::7/128", "192.0.2.7/32", "::/0")},
			[]string{"group c: 2001:db8::7/128 and 1 more stand in groups before it too, the first in b; these hold"}},
		{"never", []Group{group("all", "0.0.0.0/0"), group("b", "10.1.0.0/16", "192.0.2.0/24")},
			[]string{"group b never holds: all of its clients are in groups before it (10.1.0.0/16 in all): put it before them, or leave it out"}},
		{"never, the same", []Group{group("a", "10.0.0.0/8"), group("b", "10.0.0.0/8")},
			[]string{"group b never holds: all of its clients are in groups before it (10.0.0.0/8 in a): put it before them, or leave it out"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			core, logged := observer.New(zap.WarnLevel)
			o := Options{Logger: zap.New(core)}
			o.Groups = c.groups
			l := open(t, o)
			if got := l.GroupWarnings(); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if logged.Len() != len(c.want) {
				t.Errorf("logged %v", logged.All())
			}
		})
	}
}
