package blocklist

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sinkhole/blocklist/feed"
)

// page is a list on an HTTP server of the test's own.
type page struct {
	server *httptest.Server
	text   atomic.Pointer[string]
	status atomic.Int32
}

func newPage(t *testing.T, text string) *page {
	p := &page{}
	p.set(text)
	p.status.Store(http.StatusOK)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := *p.text.Load()
		tag := fmt.Sprintf("%q", fmt.Sprint(len(text)))
		w.Header().Set("ETag", tag)
		switch {
		case p.status.Load() != http.StatusOK:
			w.WriteHeader(int(p.status.Load()))
		case r.Header.Get("If-None-Match") == tag:
			w.WriteHeader(http.StatusNotModified)
		default:
			fmt.Fprint(w, text)
		}
	}))
	t.Cleanup(p.server.Close)
	return p
}

func (p *page) set(text string) { p.text.Store(&text) }

func (p *page) url() string { return p.server.URL + "/list" }

// TestListOverHTTP fetches a list, keeps it through errors and restarts, holds
// what has shrunk, and never serves an error page.
func TestListOverHTTP(t *testing.T) {
	p := newPage(t, names(0, 100))
	store := filepath.Join(t.TempDir(), "store")
	o := Options{Configuration: specsOf(spec("feed", p.url())), Watch: true, Program: "test"}
	o.HoldShrunk, o.ShrinkLimit = true, 50
	run := func(fn func(l *Lists)) {
		t.Helper()
		s := openStore(t, store)
		o.Store = s
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		fn(l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refresh := func(l *Lists, says string) {
		t.Helper()
		err := l.Refresh(t.Context(), "feed")
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Fatalf("refresh: %v, expected %q", err, says)
		}
	}
	run(func(l *Lists) {
		refresh(l, "")
		expect(t, l, "n5.example", "enforce sinkhole feed:6")
		if s := status(t, l, "feed"); s.State != StateOK || s.Remote == nil || s.Remote.Good == nil || s.Files[0].Name != p.url() {
			t.Errorf("status %+v", s)
		}
		serial := l.Policy().Serial()
		refresh(l, "") // 304
		if l.Policy().Serial() != serial {
			t.Error("a page that did not change made a policy")
		}

		p.set("<!DOCTYPE html><html><body>Please log in</body></html>")
		refresh(l, "page")
		expect(t, l, "n5.example", "enforce sinkhole feed:6")
		if s := status(t, l, "feed"); s.State != StateStale || s.Error == "" || s.Entries != 100 {
			t.Errorf("status %+v", s)
		}
		p.status.Store(http.StatusNotFound)
		refresh(l, "404")
		p.status.Store(http.StatusOK)

		p.set(names(90, 120))
		refresh(l, "")
		expect(t, l, "n5.example", "enforce sinkhole feed:6")
		if s := status(t, l, "feed"); s.State != StateHeld || s.Remote.Held == nil {
			t.Errorf("status %+v", s)
		}
	})
	p.server.Close()
	run(func(l *Lists) { // the server is away, and what was held still is
		expect(t, l, "n5.example", "enforce sinkhole feed:6")
		if u := l.LastUpdate(); len(u.Compiled) != 1 || u.Held["feed"] == "" {
			t.Errorf("update %+v", u)
		}
		if s := status(t, l, "feed"); s.State != StateHeld || s.HeldReason == "" || s.Entries != 100 {
			t.Errorf("status %+v", s)
		}
		if d := l.Diff("feed"); d == nil || d.Held == "" || d.Added != 20 || d.Removed != 90 {
			t.Errorf("diff %+v", d)
		}
		if _, err := approveHeld(l, "feed"); err != nil {
			t.Fatal(err)
		}
		expect(t, l, "n5.example", "none")
		expect(t, l, "n119.example", "enforce sinkhole feed:30")
	})
	run(func(l *Lists) { expect(t, l, "n119.example", "enforce sinkhole feed:30") })
}

// TestSecretsOfURLs are shown nowhere.
func TestSecretsOfURLs(t *testing.T) {
	p := newPage(t, "evil.example\n/path\n")
	secret := strings.Replace(p.url(), "//", "//user:geheim@", 1) + "?key=geheim"
	core, logged := observer.New(zap.DebugLevel)
	l := open(t, Options{Configuration: specsOf(spec("feed", secret)), Watch: true, Store: openStore(t, t.TempDir()), Logger: zap.New(core)})
	if err := l.Refresh(t.Context(), "feed"); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "evil.example", "enforce sinkhole feed:1")
	p.status.Store(http.StatusForbidden)
	err := l.Refresh(t.Context(), "feed")
	s := status(t, l, "feed")
	said := fmt.Sprint(err, logged.All(), everything(l.Policy()), l.Diff("feed"))
	shown, failed := json.Marshal(s)
	if failed != nil || strings.Contains(said+string(shown), "geheim") {
		t.Errorf("%v\n%s\n%s", failed, said, shown)
	}
	if s.Source != p.url() {
		t.Errorf("source %s", s.Source)
	}
}

// TestApproveOverHTTP lets in what was held of a page.
func TestApproveOverHTTP(t *testing.T) {
	p := newPage(t, names(0, 100))
	o := Options{Configuration: specsOf(spec("feed", p.url())), Watch: true, Store: openStore(t, t.TempDir())}
	o.HoldShrunk, o.ShrinkLimit = true, 50
	l := open(t, o)
	for _, text := range []string{names(0, 100), names(90, 120)} {
		p.set(text)
		if err := l.Refresh(t.Context(), "feed"); err != nil {
			t.Fatal(err)
		}
	}
	if d := l.Diff("feed"); d == nil || d.Held == "" || d.Added != 20 || d.Removed != 90 {
		t.Fatalf("diff %+v", d)
	}
	if _, err := approveHeld(l, "feed"); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "n5.example", "none")
	expect(t, l, "n119.example", "enforce sinkhole feed:30")
	if s := status(t, l, "feed"); s.State != StateOK || s.HeldReason != "" {
		t.Errorf("status %+v", s)
	}
	// The same page once more is the one in force.
	if err := l.Refresh(t.Context(), "feed"); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "n119.example", "enforce sinkhole feed:30")
}

// TestExpiresFollowsConfirmation has a list whose entries say nothing of their
// age: they live for as long as the source is heard of.
func TestExpiresFollowsConfirmation(t *testing.T) {
	p := newPage(t, "evil.example\n")
	s := spec("feed", p.url())
	s.Expires = time.Hour
	l := open(t, Options{Configuration: specsOf(s), Watch: true, Store: openStore(t, t.TempDir())})
	if err := l.Refresh(t.Context(), "feed"); err != nil {
		t.Fatal(err)
	}
	policy := l.Policy()
	var v Verdict
	now := time.Now()
	if policy.JudgeQuestion(noClient, wireName("evil.example"), now.Unix(), &v); v.Decision != Enforce {
		t.Error("not in force")
	}
	if i := policy.Indicator(v.Rule()); i.Expires.Before(now.Add(time.Hour-time.Minute)) || i.Expires.After(now.Add(time.Hour+time.Minute)) {
		t.Errorf("expires %v", i.Expires)
	}
	v = Verdict{}
	if policy.JudgeQuestion(noClient, wireName("evil.example"), now.Add(61*time.Minute).Unix(), &v); v.Decision != None {
		t.Error("in force although the source was not heard of for longer")
	}
	if err := l.Refresh(t.Context(), "feed"); err != nil { // 304
		t.Fatal(err)
	}
	l.confirm()
	if next := l.Policy(); next.Serial() == policy.Serial() || next.lists[0].Ends <= policy.lists[0].Ends && next.lists[0].Ends < now.Add(time.Hour).Unix() {
		t.Errorf("confirmed: serial %d, ends %d, before %d and %d", next.Serial(), next.lists[0].Ends, policy.Serial(), policy.lists[0].Ends)
	}
}

// TestFetchingIsNoFailure has a list that is fetched for the first time: that is
// a state of its own, and an error only when the try has ended in one.
func TestFetchingIsNoFailure(t *testing.T) {
	answer, asked := make(chan int), make(chan struct{}, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case code := <-answer:
			w.WriteHeader(code)
			fmt.Fprintln(w, "evil.example")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	core, logged := observer.New(zap.DebugLevel)
	o := Options{Configuration: specsOf(spec("feed", server.URL+"/list")), Watch: true, Store: openStore(t, t.TempDir()), Logger: zap.New(core)}
	l := open(t, o)
	fetching := func(u Update, err error) {
		t.Helper()
		if err != nil || u.Err() != nil || len(u.Failed) != 0 || len(u.Fetching) != 1 || u.Fetching[0] != "feed" {
			t.Errorf("update %+v, %v", u, err)
		}
		if s := status(t, l, "feed"); s.State != StateFetching || s.Error != "" || !s.Loaded.IsZero() {
			t.Errorf("status %+v", s)
		}
	}
	fetching(l.LastUpdate(), nil)
	<-asked
	fetching(l.Reload())
	fetching(l.Configure(o.Configuration))
	if n := logged.FilterLevelExact(zap.ErrorLevel).Len(); n != 0 {
		t.Errorf("logged %v", errorsOf(logged))
	}
	if n := logged.FilterMessage("list is being fetched").Len(); n != 3 {
		t.Errorf("%d lines that it is being fetched, expected 3", n)
	}

	answer <- http.StatusNotFound
	within(t, "it has failed", func() bool { return status(t, l, "feed").State == StateFailed })
	if s := status(t, l, "feed"); !strings.Contains(s.Error, "404") {
		t.Errorf("status %+v", s)
	}
	if all := errorsOf(logged); len(all) != 1 || !strings.Contains(all[0], "404") {
		t.Errorf("logged %q, expected one error", all)
	}
	u, err := l.Reload()
	if err != nil || u.Err() == nil || !strings.Contains(u.Err().Error(), "404") || len(u.Fetching) != 0 {
		t.Errorf("update %+v, %v", u, err)
	}
	if s := status(t, l, "feed"); s.State != StateFailed {
		t.Errorf("status %+v", s)
	}

	// Another URL is another list, and the one before has nothing to do with it.
	c := specsOf(spec("feed", server.URL+"/other"))
	fetching(l.Configure(c))
	<-asked
	answer <- http.StatusOK
	eventually(t, l, "evil.example", "enforce sinkhole feed:1")
	within(t, "it is well", func() bool { s := status(t, l, "feed"); return s.State == StateOK && s.Error == "" })
	// Yet another: what came from the last one serves on meanwhile.
	u, err = l.Configure(o.Configuration)
	if err != nil || len(u.Fetching) != 1 || len(u.Failed) != 0 {
		t.Errorf("update %+v, %v", u, err)
	}
	expect(t, l, "evil.example", "enforce sinkhole feed:1")
	<-asked
	answer <- http.StatusNotFound
	within(t, "it is stale", func() bool { return status(t, l, "feed").State == StateStale })
	expect(t, l, "evil.example", "enforce sinkhole feed:1")
}

// TestFetchedNamesTheURL, not where it happens to lie, when it cannot be used.
func TestFetchedNamesTheURL(t *testing.T) {
	p := newPage(t, "PK\x03\x04 and so on\n")
	store := filepath.Join(t.TempDir(), "store")
	l := open(t, Options{Configuration: specsOf(spec("feed", p.url())), Watch: true, Store: openStore(t, store)})
	err := l.Refresh(t.Context(), "feed")
	if err == nil || !strings.Contains(err.Error(), p.url()+": is zip compressed") || strings.Contains(err.Error(), store) {
		t.Errorf("refreshed: %v", err)
	}
}

func TestNetworkListWithoutStore(t *testing.T) {
	l := open(t, Options{Configuration: specsOf(spec("feed", "https://lists.example/x"), spec("zone", "rpz://127.0.0.1:53/rpz.test")), Watch: true})
	for _, name := range []string{"feed", "zone"} {
		if s := status(t, l, name); s.State != StateFailed || !strings.Contains(s.Error, "list_store") {
			t.Errorf("status %+v", s)
		}
	}
	if reply := l.Notify(nil, feedAddr); reply != nil {
		t.Errorf("answered a NOTIFY: %x", reply)
	}
	if n := l.Notifies(); n != (feed.NotifyStats{}) {
		t.Errorf("%+v", n)
	}
}

var (
	noClient netip.Addr
	feedAddr = netip.MustParseAddrPort("127.0.0.1:53")
)
