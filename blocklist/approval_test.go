package blocklist

import (
	"path/filepath"
	"strings"
	"testing"
)

// approveHeld lets in what of a list is held now.
func approveHeld(l *Lists, list string) (Update, error) {
	u, _, err := l.ApproveHeld("ann", list, HeldVersion(l.Diff(list).Version))
	return u, err
}

// TestApprovalIsOfOneContent has a source give other content between the look at
// what is held and its approval.
func TestApprovalIsOfOneContent(t *testing.T) {
	first, second := names(0, 20)+"n20.example\n", names(90, 100)+"evil.example\n"
	for name, source := range map[string]func(*testing.T) (l *Lists, give func(text string)){
		"file": func(t *testing.T) (*Lists, func(string)) {
			path := filepath.Join(t.TempDir(), "list")
			write(t, path, names(0, 100))
			o := Options{Configuration: specsOf(spec("feed", path)), Store: openStore(t, t.TempDir())}
			o.HoldShrunk, o.ShrinkLimit = true, 50
			l := open(t, o)
			return l, func(text string) {
				write(t, path, text)
				if _, err := l.Reload(); err != nil {
					t.Fatal(err)
				}
			}
		},
		"page": func(t *testing.T) (*Lists, func(string)) {
			p := newPage(t, names(0, 100))
			o := Options{Configuration: specsOf(spec("feed", p.url())), Watch: true, Store: openStore(t, t.TempDir())}
			o.HoldShrunk, o.ShrinkLimit = true, 50
			l := open(t, o)
			if err := l.Refresh(t.Context(), "feed"); err != nil {
				t.Fatal(err)
			}
			return l, func(text string) {
				p.set(text)
				if err := l.Refresh(t.Context(), "feed"); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, give := source(t)
			give(first)
			looked := l.Diff("feed").Version
			give(second)
			if d := l.Diff("feed"); d.Held == "" || d.Version == looked {
				t.Fatalf("diff %+v", d)
			}
			for version, word := range map[string]string{
				looked:                               "look again",
				HeldVersion(looked):                  "look again",
				"":                                   "sinkhole lists diff feed",
				l.Diff("feed").Version[:20]:          "at least 32 digits",
				"serial:1":                           "expected sha256:",
				l.Diff("feed").Version[7:]:           "expected sha256:",
				HeldVersion(looked) + "x":            "look again",
				l.Diff("feed").Version + "0":         "look again",
				"sha256:" + strings.Repeat("0", 200): "look again",
			} {
				if _, _, err := l.ApproveHeld("ann", "feed", version); err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("approved as %q: %v, expected %q", version, err, word)
				}
			}
			expect(t, l, "evil.example", "none")
			if all, err := l.Approvals("feed"); err != nil || len(all) != 0 {
				t.Errorf("approvals %+v, %v", all, err)
			}

			now := l.Diff("feed").Version
			_, approved, err := l.ApproveHeld("ann", "feed", HeldVersion(now))
			if err != nil || approved != now {
				t.Fatalf("approved %s, %v", approved, err)
			}
			expect(t, l, "evil.example", "enforce sinkhole feed:11")
			if all, err := l.Approvals("feed"); err != nil || len(all) != 1 || all[0].Version != now {
				t.Errorf("approvals %+v, %v", all, err)
			}
		})
	}
}

// TestApprovedFileChanges has a file change between the look and the approval,
// without the lists having noticed.
func TestApprovedFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, names(0, 100))
	o := Options{Configuration: specsOf(spec("feed", path))}
	o.HoldShrunk, o.ShrinkLimit = true, 50
	l := open(t, o)
	write(t, path, names(0, 20))
	if _, err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	version := HeldVersion(l.Diff("feed").Version)
	write(t, path, names(90, 100)+"evil.example\n")
	u, _, err := l.ApproveHeld("ann", "feed", version)
	if err != nil || u.Held["feed"] == "" {
		t.Errorf("update %+v, %v", u, err)
	}
	expect(t, l, "evil.example", "none")
	expect(t, l, "n50.example", "enforce sinkhole feed:51")
}
