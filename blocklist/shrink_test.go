package blocklist

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sinkhole/blocklist/guard"
)

// TestWeakerListIsHeld replaces a list by others that have as many lines and stop
// next to nothing.
func TestWeakerListIsHeld(t *testing.T) {
	rows := func(row string) string {
		var text strings.Builder
		fmt.Fprintln(&text, "indicator,type,action,expires")
		for i := range 100 {
			fmt.Fprintf(&text, row+"\n", i)
		}
		return text.String()
	}
	var suffixes strings.Builder
	for i := range 100 {
		fmt.Fprintf(&suffixes, "github.com\nn%d.example\n", i%40)
	}
	for _, test := range []struct {
		name, text string
		acting     int // -1: it is let in
	}{
		{"one name again and again", strings.Repeat("n1.example\n", 100), 1},
		{"two names in turn", strings.Repeat("n1.example\nn2.example\n", 50), 2},
		{"names that the guard keeps out", suffixes.String(), 40},
		{"all expired", rows("n%d.example,domain,sinkhole,2001-01-01T00:00:00Z"), 0},
		{"all observed", rows("n%d.example,domain,log,"), 0},
		{"all excepted", rows("n%d.example,domain,passthru,"), 0},
		{"all others", names(200, 300), -1},
		{"all refused otherwise", rows("n%d.example,domain,nxdomain,"), -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list")
			write(t, path, names(0, 100))
			o := Options{Configuration: specsOf(spec("feed", path))}
			o.Guard = guard.Options{Platforms: true}
			o.HoldShrunk, o.ShrinkLimit = true, 50
			l := open(t, o)
			write(t, path, test.text)
			u, err := l.Reload()
			want := ""
			if test.acting >= 0 {
				want = fmt.Sprintf("shrank from 100 to %d names and prefixes that act, guard.shrink_limit is 50%%", test.acting)
			}
			if err != nil || u.Held["feed"] != want {
				t.Errorf("held because %q, %v; expected %q", u.Held["feed"], err, want)
			}
			if test.acting >= 0 {
				expect(t, l, "n99.example", "enforce sinkhole feed:100")
				u, err := approveHeld(l, "feed")
				if s := status(t, l, "feed"); err != nil || len(u.Held) != 0 || s.State != StateOK || s.Files[0].Digest != digestOf(path) {
					t.Errorf("approved: %+v, %v", u, err)
				}
			}
		})
	}
}

// TestListFadesNotAway takes away less than the limit at a time.
func TestListFadesNotAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, names(0, 100))
	o := Options{Configuration: specsOf(spec("feed", path))}
	o.HoldShrunk, o.ShrinkLimit = true, 50
	l := open(t, o)
	for _, step := range []struct {
		left int
		held string
	}{{60, ""}, {50, ""}, {40, "shrank from 100 to 40 names and prefixes that act, guard.shrink_limit is 50%"}} {
		write(t, path, names(0, step.left))
		if u, err := l.Reload(); err != nil || u.Held["feed"] != step.held {
			t.Errorf("%d left: %+v, %v; expected %q", step.left, u, err, step.held)
		}
	}
	// What the operator changes is no loss.
	c := l.Configuration
	c.Specs[0].MinConfidence = 1
	c.Specs[0].Match = "exact"
	if u, err := l.Configure(c); err != nil || u.Held["feed"] != "" {
		t.Errorf("configured: %+v, %v", u, err)
	}
	expect(t, l, "n39.example", "enforce sinkhole feed:40")
	expect(t, l, "n40.example", "none")
}

func TestMostActing(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := mostActing{}
	for _, step := range []struct {
		hours, acting, most int
	}{{0, 100, 100}, {1, 60, 100}, {11, 50, 100}, {13, 50, 100}, {24, 45, 100}, {26, 45, 50}, {27, 70, 70}, {100, 10, 10}} {
		m = m.with(step.acting, day.Add(time.Duration(step.hours)*time.Hour))
		if most := max(m.past, m.present); most != step.most {
			t.Errorf("after %d hours: %d, expected %d", step.hours, most, step.most)
		}
	}
}
