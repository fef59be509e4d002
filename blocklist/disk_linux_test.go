package blocklist

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// inChild tells whether this is the process in which a test is to limit what it
// may do. If not, it runs the test in one: the limits are the process's, and go
// test has the process write a log.
func inChild(t *testing.T) bool {
	t.Helper()
	const name = "SINKHOLE_TEST_CHILD"
	if os.Getenv(name) != "" {
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), name+"=1")
	said, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()) {
		t.Errorf("%v in the child:\n%s", err, said)
	}
	return false
}

// withoutRoom runs f while no file of this process can be written: each write
// fails at its first octet, as on a disk that is full.
func withoutRoom(t *testing.T, f func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Error(err)
		}
	}()
	f()
}

// TestDiskFull has a disk that takes nothing more: what came over the network is
// not used, the last good copy serves on, and the status tells why.
func TestDiskFull(t *testing.T) {
	if !inChild(t) {
		return
	}
	p := newPage(t, names(0, 100))
	l := open(t, Options{Configuration: specsOf(spec("feed", p.url())), Watch: true, Store: openStore(t, t.TempDir())})
	if err := l.Refresh(t.Context(), "feed"); err != nil {
		t.Fatal(err)
	}
	p.set(names(0, 120))
	withoutRoom(t, func() {
		err := l.Refresh(t.Context(), "feed")
		if err == nil || !strings.Contains(err.Error(), "list_store") || !strings.Contains(err.Error(), "room") {
			t.Errorf("%v, expected it to name list_store and its room", err)
		}
	})
	expect(t, l, "n5.example", "enforce sinkhole feed:6")
	expect(t, l, "n110.example", "none")
	if s := status(t, l, "feed"); s.State != StateStale || !strings.Contains(s.Error, "list_store") || s.Rules != 100 {
		t.Errorf("status %+v", s)
	}
	if err := l.Refresh(t.Context(), "feed"); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "n110.example", "enforce sinkhole feed:111")
	if s := status(t, l, "feed"); s.State != StateOK || s.Error != "" {
		t.Errorf("status %+v", s)
	}
}

// referenced is a list whose references are more than are kept in memory.
func referenced(entries int) string {
	var text strings.Builder
	text.WriteString("indicator,family,reference\n")
	for i := range entries {
		fmt.Fprintf(&text, "n%d.example,Lumma,https://reports.example/%0100d\n", i, i)
	}
	return text.String()
}

// TestReferencesWithoutRoom has no room for the references of a list: it blocks
// without them, and says so.
func TestReferencesWithoutRoom(t *testing.T) {
	if !inChild(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, referenced(5000))
	l := open(t, Options{Configuration: specsOf(spec("feed", path)), Watch: true, Store: openStore(t, t.TempDir())})
	reference := func() string {
		t.Helper()
		return l.Policy().Indicator(everyRule(l.Policy())[4999]).Reference
	}
	if reference() == "" {
		t.Error("no reference where there is room")
	}
	l.saving.Wait()
	withoutRoom(t, func() {
		if u, err := l.Reload(); err != nil || u.Err() != nil {
			t.Error(err, u.Err())
		}
		l.saving.Wait()
	})
	expect(t, l, "n4999.example", "enforce sinkhole feed:5001")
	if got := reference(); got != "" {
		t.Errorf("a reference %q that was not kept", got)
	}
	if s := status(t, l, "feed"); s.State != StateOK || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "no reference of its entries is kept") || !strings.Contains(s.Warnings[0], "list_store") {
		t.Errorf("state %s, warnings %q", s.State, s.Warnings)
	}
	if _, err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	if s := status(t, l, "feed"); reference() == "" || len(s.Warnings) != 0 {
		t.Errorf("warnings %q, with room again", s.Warnings)
	}
}

// TestStoreUnwritable has a directory of a list in which nothing can be made, for
// root neither: a file serves as ever, and a page from its last good content.
func TestStoreUnwritable(t *testing.T) {
	p := newPage(t, names(0, 100))
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, referenced(5000))
	store := openStore(t, t.TempDir())
	o := Options{Configuration: specsOf(spec("feed", path), spec("page", p.url())), Watch: true, Store: store}
	l := open(t, o)
	if err := l.Refresh(t.Context(), "page"); err != nil {
		t.Fatal(err)
	}
	l.saving.Wait()
	for _, name := range []string{"feed", "page"} {
		dir, err := store.Dir(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "")
	}
	p.set(names(0, 120))
	err := l.Refresh(t.Context())
	if err == nil || !strings.Contains(err.Error(), "list page: ") || !strings.Contains(err.Error(), "list_store") || strings.Contains(err.Error(), "list feed") {
		t.Errorf("%v, expected it to name the page and list_store", err)
	}
	expect(t, l, "n99.example", "enforce sinkhole feed:101 page:100")
	if s := status(t, l, "feed"); s.State != StateOK || len(s.Warnings) != 0 {
		t.Errorf("state %s, warnings %q", s.State, s.Warnings)
	}
	if s := status(t, l, "page"); s.State != StateStale || s.Error == "" || s.Rules != 100 {
		t.Errorf("status %+v", s)
	}
	fresh := open(t, Options{Configuration: o.Configuration, Watch: true, Store: store}) // as after a restart
	expect(t, fresh, "n4999.example", "enforce sinkhole feed:5001")
	if fresh.Policy().Indicator(everyRule(fresh.Policy())[4999]).Reference == "" {
		t.Error("no reference, though the system's directory has room")
	}
}
