package console

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sinkhole/hits/inventory"
)

// everyPage is each page with something on it.
func everyPage() []string {
	return []string{
		"/", "/?since=7d", "/machines", "/machines?q=" + url.QueryEscape(markup), "/machines?sort=hits&order=asc&limit=2", "/machines/192.0.2.3", "/machines/192.0.2.2",
		"/machines/00-00-5E-00-53-23", "/machines/forwarder%20192.0.2.20", "/indicators", "/indicators?name=c0.example", "/indicators?name=" + url.QueryEscape("http://"+markup),
		"/indicators/c2.example", "/indicators/" + url.PathEscape(markup), "/lists", "/live", "/live?family=" + url.QueryEscape(markup), "/login?to=" + url.QueryEscape("/"+markup),
	}
}

// Names, families, user agents and whatever else others choose are text on every page, and
// every page is of files of ours alone.
func TestNothingIsMarkup(t *testing.T) {
	r := newRig(t, nil)
	r.allowed = []Allowed{{Entry: "c2.example", By: markup, Comment: markup}}
	foreign := regexp.MustCompile(`(?i)(src|href|action)\s*=\s*"?(https?:|//|javascript:|data:)|\son[a-z]+\s*=\s*"|\sstyle\s*=`)
	seen := 0
	for _, path := range everyPage() {
		status, body := r.answer("GET", path, "")
		if status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if strings.Contains(body, "<script>") || strings.Contains(body, "<img") || strings.Contains(body, "<b>.") {
			t.Errorf("%s renders what others wrote", path)
		}
		if strings.ContainsAny(body, "\u202e\u2066") {
			t.Errorf("%s has a mark of direction", path)
		}
		if found := foreign.FindString(body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		seen += strings.Count(body, "&lt;script&gt;alert(1)&lt;/script&gt;")
	}
	if seen < 15 {
		t.Errorf("what others wrote is shown %d times only: this test sees too little", seen)
	}
}

// What is not there or cannot be read is a page too, with its status.
func TestFaultPages(t *testing.T) {
	r := newRig(t, nil)
	for path, want := range map[string]int{"/nothing": 404, "/machines/192.0.2.200": 404, "/machines?limit=x": 400, "/machines?x=" + url.QueryEscape(markup): 400, "/live?client=x": 400} {
		status, body := r.answer("GET", path, "")
		if status != want || !strings.Contains(body, `role="alert"`) || strings.Contains(body, "<script>") {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
}

// The forms of a page do what they say, for whom they are shown to.
func TestForms(t *testing.T) {
	path, token := withTokens(t)
	r := newRig(t, func(o *Options) { o.TokensFile = path })
	const form = "application/x-www-form-urlencoded"
	field := regexp.MustCompile(`name="form_token" value="([^"]+)"`)
	for role, may := range map[string]int{"viewer": 0, "responder": 2, "admin": 4} {
		cookie := "sinkhole=" + token[role]
		_, body := r.answer("GET", "/lists", "", "Cookie", cookie)
		found := field.FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("%s: no form in %s", role, body)
		}
		var done []string
		for _, f := range []struct{ path, fields string }{
			{"/allow", "entry=good.example&comment=ours"}, {"/lists/police/refresh", ""}, {"/lists/feed/approve", "version=sha256:0123456789abcdef0123456789abcdef"}, {"/lists/police/approve", "entry=big.example"},
		} {
			before := len(r.done)
			a := r.request("POST", f.path, f.fields+"&back=/lists?x=1&form_token="+url.QueryEscape(found[1]), "Cookie", cookie, "Content-Type", form)
			if a.StatusCode == http.StatusSeeOther {
				if !strings.HasPrefix(a.Header.Get("Location"), "/lists?") {
					t.Errorf("%s %s leads to %s", role, f.path, a.Header.Get("Location"))
				}
				done = append(done, r.done[before:]...)
			} else if a.StatusCode != http.StatusForbidden || len(r.done) > before {
				t.Errorf("%s %s: %d", role, f.path, a.StatusCode)
			}
		}
		if len(done) != may {
			t.Errorf("%s did %q, expected %d things", role, done, may)
		}
	}
	// The token of one visitor is none of another.
	_, body := r.answer("GET", "/lists", "", "Cookie", "sinkhole="+token["viewer"])
	of := field.FindStringSubmatch(body)[1]
	if status, _ := r.answer("POST", "/allow", "entry=x.example&form_token="+url.QueryEscape(of), "Cookie", "sinkhole="+token["admin"], "Content-Type", form); status != 403 {
		t.Errorf("with the form of another: %d", status)
	}
	if got := r.audited(); !slices.Contains(got, "admin approve police big.example success") || !slices.Contains(got, "responder allow good.example success") {
		t.Errorf("%q", got)
	}
}

// However long the time is, a plot has few columns, and all hits are in it.
func TestPlot(t *testing.T) {
	until := time.Date(2026, 2, 1, 3, 4, 5, 0, time.UTC)
	hour := func(back int) inventory.Time {
		return inventory.Time(until.Add(-time.Duration(back) * time.Hour).Truncate(time.Hour).UnixNano())
	}
	for _, hours := range []int{1, 24, 99, 100, 101, 24 * 30, 24 * 365, 24 * 365 * 20} {
		var trends []*inventory.Trend
		want := uint64(0)
		for f := range 8 {
			x := &inventory.Trend{Family: fmt.Sprint(f)}
			for back := hours; back >= 0; back -= 1 + hours/50 {
				x.Hours = append(x.Hours, inventory.HourCount{Hour: hour(back), Hits: uint64(1 + f)})
				x.Hits += uint64(1 + f)
			}
			want += x.Hits
			trends = append(trends, x)
		}
		for name, since := range map[string]time.Time{"bounded": until.Add(-time.Duration(hours) * time.Hour), "all": {}} {
			p := newPlot(trends, since, until)
			columns := map[string]bool{}
			for _, b := range p.Bars {
				columns[b.X] = true
			}
			shown := uint64(0)
			for _, s := range p.Series {
				shown += s.Hits
			}
			if p.Total != want || shown != want || len(columns) > 2*plotColumns || len(p.Series) != plotSeries+1 {
				t.Errorf("%s, %d hours: %d hits, %d in the legend, want %d; %d columns, %d series", name, hours, p.Total, shown, want, len(columns), len(p.Series))
			}
		}
	}
	if p := newPlot(nil, until, until); p.Total != 0 || len(p.Bars) != 0 {
		t.Errorf("of nothing: %+v", p)
	}
}
