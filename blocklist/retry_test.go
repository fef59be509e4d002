package blocklist

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestRetries(t *testing.T) {
	start := time.Unix(1000, 0)
	specs := []Spec{{Name: "a"}, {Name: "b"}}
	emfile := fmt.Errorf("list: %w", &os.PathError{Op: "open", Path: "list", Err: syscall.EMFILE})
	failed := func(name string, err error) *Update {
		return &Update{Lists: []string{name}, Failed: map[string]error{name: err}}
	}
	var r retries
	now := start
	for i, want := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		r.note(failed("a", emfile), i > 0, now)
		due := now.Add(time.Duration(want) * time.Second)
		if early := r.due(specs, due.Add(-1)); len(early) != 0 {
			t.Errorf("try %d: due before %d s", i+1, want)
		}
		if got := r.due(specs, due); len(got) != 1 || got[0].Name != "a" {
			t.Errorf("try %d: %v due after %d s, expected a", i+1, got, want)
		}
		now = due
	}
	// A failure after an event starts anew.
	r.note(failed("a", errUnended), false, now)
	r.note(failed("b", errChanging), false, now)
	if got := r.due(specs, now.Add(time.Second)); len(got) != 2 {
		t.Errorf("%v due, expected both", got)
	}
	r.note(failed("a", nil), true, now)
	r.note(failed("b", errors.New("no list")), true, now)
	if len(r.waiting) != 0 {
		t.Errorf("%v wait after a success and a failure that stays", r.waiting)
	}
	r.note(failed("a", emfile), false, now)
	r.keep(specs[1:])
	if len(r.waiting) != 0 {
		t.Errorf("%v wait, which are no longer configured", r.waiting)
	}
}

// TestUnended is a file that ends within a name: it is not used before it was
// left alone for a second.
func TestUnended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	s := spec("feed", path)
	readText := func(text string, modified time.Time) error {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
		return read(&s, &terms{}, func(p *pass) error { return p.readFile(path) }).err
	}
	now := time.Now()
	if err := readText("login.bank.example", time.Now()); !errors.Is(err, errUnended) || !passing(err) {
		t.Errorf("fresh: %v, expected to wait for a line end", err)
	}
	for name, err := range map[string]error{
		"fresh with a line end": readText("login.bank.example\n", time.Now()),
		"old":                   readText("login.bank.example", now.Add(-freshness)),
		"of the future":         readText("login.bank.example", now.Add(time.Hour)),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	// The rest comes while the update waits; the bank was never listed.
	if err := os.WriteFile(path, []byte("login.bank.example"), 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var r *reading
	go func() {
		defer close(done)
		r = readLocal(&s, &terms{})
	}()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(".evil.test"); err != nil {
		t.Fatal(err)
	}
	<-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	p, err := compile(1, []compiled{{List: List{Name: "feed"}, parts: []listPart{{segment: r.segment}}}}, groups{})
	if err != nil {
		t.Fatal(err)
	}
	if name := p.Indicator(everyRule(p)[0]).Name; name != "login.bank.example.evil.test" || p.Rules() != 1 {
		t.Errorf("%d rules, the first on %s, expected login.bank.example.evil.test alone", p.Rules(), name)
	}
}
