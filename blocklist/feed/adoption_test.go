package feed

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStoreAdopt(t *testing.T) {
	s := openStore(t, t.TempDir())
	const other = "https://other.example/list"
	for _, text := range []string{"older", "old"} {
		settle(t, s, offer(t, s, "before", source, text), Accept())
	}
	settle(t, s, offer(t, s, "before", source, "waiting"), Hold("it shrank"))
	settle(t, s, offer(t, s, "other", other, "other"), Accept())
	settle(t, s, offer(t, s, "full", source, "own"), Accept())
	dir, err := s.Dir("before")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "approvals.jsonl"), []byte("approved"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "draft.tmp"), []byte("half"), 0o600))

	for _, c := range []struct {
		what, name, source string
		names              []string
		from               string
	}{
		{"the old name is in use", "after", source, []string{"after", "before", "other", "full"}, ""},
		{"another source", "after", source + "?", []string{"after"}, ""},
		{"there is a copy", "full", source, []string{"full"}, ""},
		{"a copy of another source", "other", source, []string{"other"}, ""},
		{"renamed", "after", source, []string{"after", "other", "full"}, dir},
		{"again", "after", source, []string{"after", "other", "full"}, ""},
	} {
		if from, err := s.Adopt(c.name, c.source, c.names); from != c.from || err != nil {
			t.Errorf("%s: from %q, %v, want %q", c.what, from, err, c.from)
		}
	}
	s = reopen(t, s)
	checkHolds(t, s, "after", "old - -")
	checkHolds(t, s, "before", "old older waiting")
	checkHolds(t, s, "full", "own - -")
	after, err := s.Dir("after")
	must(t, err)
	if text, err := os.ReadFile(filepath.Join(after, "approvals.jsonl")); string(text) != "approved" {
		t.Errorf("approvals: %q, %v", text, err)
	}
	if files, err := os.ReadDir(after); len(files) != 3 { // and the state
		t.Errorf("%v, %v", files, err)
	}
	if _, err := readOnly(t, s.dir).Adopt("third", source, nil); err == nil {
		t.Error("a store that is only read adopted a list")
	}
}

// A copy that is not whole is not taken over.
func TestStoreAdoptDamaged(t *testing.T) {
	s := openStore(t, t.TempDir())
	settle(t, s, offer(t, s, "before", source, "a long list"), Accept())
	must(t, os.Truncate(s.Path("before", *s.Entry("before", source).Good), 3))
	if from, err := s.Adopt("after", source, []string{"after"}); from != "" || err != nil {
		t.Errorf("from %q, %v", from, err)
	}
}
