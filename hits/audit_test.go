package hits

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

// When Audit returns, the record is in the file, whatever is written beside it.
func TestAuditIsInTheFile(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	from := netip.MustParseAddrPort("192.0.2.9:40000")
	for _, a := range []Audit{
		{User: "alice", Role: "responder", Client: from, Action: "allow", Object: "good.example", Reason: "ours\n\u202e<b>"},
		{User: "root", Action: "approve", Object: strings.Repeat("x", 3*longestAudit), Failed: true},
		{User: "bob", Role: "viewer", Client: from, Action: "export", Read: true},
	} {
		if err := j.Audit(a); err != nil {
			t.Fatal(err)
		}
		r := last(t, dir)
		if r.User.Name != a.User || r.Event.Action != a.Action || r.Event.Dataset != DatasetAudit || r.Sinkhole.Object != cutAudit(a.Object) || r.Event.Reason != a.Reason ||
			r.Client.IP != a.Client.Addr() || (r.Event.Outcome == "failure") != a.Failed || slices.Contains(r.Event.Type, "access") != a.Read || (a.Role == "") != (r.User.Roles == nil) {
			t.Errorf("%+v came back as %s", a, r.Raw)
		}
		if strings.ContainsRune(string(r.Raw), '\u202e') {
			t.Errorf("a mark of direction stands in %s", r.Raw)
		}
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := j.Audit(Audit{User: "many", Action: "refresh"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	n := 0
	noError(t, Read(t.Context(), dir, Filter{Audit: true, Only: func(r *Record) bool { return r.User.Name == "many" }}, func(*Record) error { n++; return nil }))
	if n != 50 {
		t.Errorf("%d of 50 records", n)
	}
	noError(t, j.Close(t.Context()))
	if err := j.Audit(Audit{User: "late", Action: "allow"}); !errors.Is(err, errNotAudited) {
		t.Errorf("after the end: %v", err)
	}
	noError(t, Read(t.Context(), dir, Filter{}, func(r *Record) error {
		t.Errorf("read without being asked for: %s", r.Raw)
		return nil
	}))
}

func last(t *testing.T, dir string) (found *Record) {
	t.Helper()
	noError(t, Read(t.Context(), dir, Filter{Audit: true, Limit: 1}, func(r *Record) error { found = r; return nil }))
	if found == nil {
		t.Fatal("no record")
	}
	return found
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
