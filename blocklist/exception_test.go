package blocklist

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"sinkhole/blocklist/format"
)

// An action for the whole list must not turn its exceptions into blocks.
func TestOverrideKeepsExceptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zone.rpz")
	write(t, path, `$ORIGIN policy.example.
@ SOA localhost. hostmaster.localhost. 1 3600 600 86400 60
evil.example CNAME .
*.evil.example CNAME .
bank.evil.example CNAME rpz-passthru.
`)
	s := spec("police", path)
	s.Action = format.Drop
	lists := open(t, Options{Configuration: specsOf(s)})
	for name, want := range map[string]Decision{"evil.example": Enforce, "www.evil.example": Enforce, "bank.evil.example": Allow} {
		var v Verdict
		lists.Policy().JudgeQuestion(netip.Addr{}, wireName(name), 0, &v)
		if v.Decision != want || want == Enforce && v.Action != format.Drop {
			t.Errorf("%s: decision %d action %s, want %d", name, v.Decision, v.Action, want)
		}
	}
}

// A list whose every line is left out is not what was meant: the last good
// content stays.
func TestAllLeftOutIsNoList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	write(t, path, "evil.example\n")
	lists := open(t, Options{Configuration: specsOf(spec("police", path))})
	write(t, path, "/gate/a.php\n/gate/b.php\n")
	u, err := lists.Reload()
	if err != nil {
		t.Fatal(err)
	}
	if text := u.Err(); text == nil || !strings.Contains(text.Error(), "none of its 2 entries can be used") || !strings.Contains(text.Error(), "list.txt:1") {
		t.Errorf("error %v", text)
	}
	if s := lists.Status()[0]; s.State != StateStale {
		t.Errorf("state %s, want stale", s.State)
	}
	var v Verdict
	if lists.Policy().JudgeQuestion(netip.Addr{}, wireName("evil.example"), 0, &v); v.Decision != Enforce {
		t.Error("the last good content is gone")
	}
}
