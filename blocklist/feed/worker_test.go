package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const listURL = "http://127.0.0.1/list"

// inBubble runs f with a server that the cable leads to, in a time of its own.
func inBubble(t *testing.T, handle http.HandlerFunc, f func(t *testing.T, c *cable, r *remotes)) {
	t.Helper()
	s := openStore(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t, handle)
		f(t, c, newRemotes(t, s, RemoteOptions{Dial: c.dial}))
	})
}

// nap is a pause of a handler, in the bubble's time.
func nap(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

func TestSlowServers(t *testing.T) {
	trickle := func(octets int, every time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("\n", octets)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				nap(r, every)
			}
		}
	}
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		words  []string
		from   time.Duration // when it is over, and a second more
	}{
		"one octet a second":       {trickle(1, 1100*time.Millisecond), []string{"28 B came in 30s, 28 B in all", "expected at least 1.0 KiB a second", "too slow"}, 30 * time.Second},
		"just too slow":            {trickle(1020, 1100*time.Millisecond), []string{"came in 30s", "too slow"}, 30 * time.Second},
		"a start, then nothing":    {trickle(1<<20, time.Hour), []string{"0 B came in 30s, 1.0 MiB in all"}, time.Minute},
		"2 KiB a second, for ever": {trickle(2<<10, 1100*time.Millisecond), []string{"not finished after 30m0s", "too slow"}, 30 * time.Minute},
		"no answer":                {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []string{"did not answer in time"}, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, test.handle, func(t *testing.T, _ *cable, r *remotes) {
				must(t, r.Set([]RemoteSpec{{Name: "feed", URL: listURL}}))
				start := time.Now()
				checkSays(t, r.Refresh(t.Context(), "feed"), append(test.words, listURL)...)
				if took := time.Since(start); took < test.from || took > test.from+time.Second {
					t.Errorf("it took %s, expected %s", took, test.from)
				}
				r.Close()
			})
		})
	}
}

// A server that cannot be reached, one that does not agree on TLS.
func TestConnectBounds(t *testing.T) {
	s := openStore(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		c := &cable{conns: nil, unplug: make(chan struct{})}
		r := newRemotes(t, s, RemoteOptions{Dial: c.dial})
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: listURL}}))
		start := time.Now()
		checkSays(t, r.Refresh(t.Context(), "feed"), "did not answer in time")
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it took %s, expected 10 s", took)
		}
		r.Close()
	})
}

// A slow transfer that gets on is let go on, and logged.
func TestSlowButSteady(t *testing.T) {
	const line = "lumma.example\n"
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			_, _ = io.WriteString(w, strings.Repeat(line, 200))
			w.(http.Flusher).Flush()
			nap(r, time.Second)
		}
	}, func(t *testing.T, _ *cable, r *remotes) {
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: listURL}}))
		must(t, r.Refresh(t.Context(), "feed"))
		if got := r.take(); got != strings.Repeat(line, 20_000) {
			t.Errorf("judged %d octets", len(got))
		}
		if n := strings.Count(r.logged(), "list is being fetched"); n != 3 {
			t.Errorf("%d log lines in 100 s, expected 3", n)
		}
		r.Close()
	})
}

func TestRefreshInterval(t *testing.T) {
	inBubble(t, text("a.example\n"), func(t *testing.T, c *cable, r *remotes) {
		start := time.Now()
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: listURL, Refresh: 30 * time.Minute}}))
		time.Sleep(10 * time.Hour)
		at := c.dialled(start) // idle connections are long closed
		if len(at) < 18 || len(at) > 22 || at[0] != 0 {
			t.Fatalf("asked at %v s", at)
		}
		var different bool
		for i := 1; i < len(at); i++ {
			gap := at[i] - at[i-1]
			if gap < 27*60 || gap > 33*60 {
				t.Errorf("asked after %v s, expected 30 min, 10 %% more or less", gap)
			}
			different = different || gap != at[1]-at[0]
		}
		if !different {
			t.Error("the intervals have nothing of chance")
		}
		if got := r.take(); got != "a.example\n" {
			t.Errorf("judged %q", got)
		}
		r.Close()
	})
}

func TestRefreshHasAFloor(t *testing.T) {
	inBubble(t, text("a.example\n"), func(t *testing.T, c *cable, r *remotes) {
		start := time.Now()
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: listURL, Refresh: time.Second}}))
		time.Sleep(time.Hour)
		if n := len(c.dialled(start)); n > 67 {
			t.Errorf("asked %d times in an hour, expected once a minute", n)
		}
		r.Close()
	})
}

func TestServerAwayAndBack(t *testing.T) {
	var content atomic.Pointer[string]
	set := func(s string) { content.Store(&s) }
	set("a.example\n")
	inBubble(t, func(w http.ResponseWriter, r *http.Request) { text(*content.Load())(w, r) }, func(t *testing.T, c *cable, r *remotes) {
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: listURL, Refresh: 10 * time.Minute}}))
		must(t, r.Refresh(t.Context(), "feed"))
		c.refuse(true)
		set("b.example\n")
		c.dialled(time.Time{})
		start := time.Now()
		time.Sleep(3 * time.Hour)
		at := c.dialled(start)
		if s := r.state(); s.Failures != len(at) || s.Error == "" || s.Good == nil || s.Next.Before(time.Now()) {
			t.Errorf("after %d tries the status is %+v", len(at), s)
		}
		want := 10.0
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < want || gap > want*1.25 {
				t.Errorf("try %d came %v s after the one before, expected %v and up to a quarter more", i, gap, want)
			}
			want = min(2*want, 600)
		}
		c.refuse(false)
		time.Sleep(13 * time.Minute)
		if s := r.state(); s.Error != "" || s.Failures != 0 {
			t.Errorf("the server is back, the status %+v", s)
		}
		if got := r.take(); got != "a.example\n|b.example\n" {
			t.Errorf("judged %q", got)
		}
		r.Close()
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for name, test := range map[string]struct {
		value    string
		from, to time.Duration
	}{
		"seconds":           {"300", 5 * time.Minute, 7 * time.Minute},
		"longer than ever":  {"7200", 2 * time.Hour, 3 * time.Hour},
		"shorter than ours": {"1", 10 * time.Second, 13 * time.Second},
		"for years":         {"999999999", 24 * time.Hour, 31 * time.Hour},
		"past any number":   {"99999999999999999999", 24 * time.Hour, 31 * time.Hour},
		"negative":          {"-1", 10 * time.Second, 13 * time.Second},
		"nonsense":          {"soon", 10 * time.Second, 13 * time.Second},
		"a date":            {"Sat, 01 Jan 2000 00:10:00 GMT", 9 * time.Minute, 13 * time.Minute}, // the bubble begins at midnight
		"a date gone by":    {"Sat, 01 Jan 1999 00:00:00 GMT", 10 * time.Second, 13 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, status(http.StatusServiceUnavailable, "Retry-After", test.value), func(t *testing.T, c *cable, r *remotes) {
				must(t, r.Set([]RemoteSpec{{Name: "feed", URL: listURL, Refresh: 30 * time.Minute}}))
				synctest.Wait()
				if wait := time.Until(r.state().Next); wait < test.from || wait > test.to {
					t.Errorf("asked again in %s, expected %s to %s", wait, test.from, test.to)
				}
				r.Close()
			})
		})
	}
}

// Content that was not accepted comes again, but not ten seconds later.
func TestRejectedContentIsFetchedLater(t *testing.T) {
	inBubble(t, text("a.example\n"), func(t *testing.T, c *cable, r *remotes) {
		r.judges(func(Candidate) Judgement { return Reject(errors.New("no list of ours")) })
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: listURL}}))
		synctest.Wait()
		s := r.state()
		if wait := time.Until(s.Next); wait < 10*time.Minute || s.Error != "what came is not used: no list of ours" || s.Good != nil {
			t.Errorf("status is %+v, next in %s", s, wait)
		}
		r.judges(nil)
		time.Sleep(15 * time.Minute)
		if s := r.state(); s.Error != "" || s.Good == nil {
			t.Errorf("accepted, the status is %+v", s)
		}
		r.Close()
	})
}

func TestStartFromTheCopy(t *testing.T) {
	s := openStore(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t, text("a.example\n"))
		c.refuse(true)
		settle(t, s, offer(t, s, "feed", listURL, "a.example\n"), Accept())
		spec := []RemoteSpec{{Name: "feed", URL: listURL}}
		run := func(check func(r *remotes)) {
			r := newRemotes(t, s, RemoteOptions{Dial: c.dial})
			must(t, r.Set(spec))
			check(r)
			r.Close()
		}
		run(func(r *remotes) { // fresh: nobody is asked
			time.Sleep(50 * time.Minute)
			if at := c.dialled(time.Time{}); len(at) != 0 {
				t.Errorf("asked at %v, though the copy is fresh", at)
			}
			if st := r.state(); st.Good == nil || st.Error != "" {
				t.Errorf("status %+v", st)
			}
		})
		time.Sleep(24 * time.Hour)
		run(func(r *remotes) { // overdue: asked within a minute, and the copy stays whatever comes
			time.Sleep(time.Minute)
			if at := c.dialled(time.Time{}); len(at) == 0 {
				t.Errorf("not asked, though the copy is a day old: %+v", r.state())
			}
			if st := r.state(); st.Good == nil || st.Error == "" || r.take() != "" {
				t.Errorf("status %+v", st)
			}
		})
	})
}

func TestRefreshErrors(t *testing.T) {
	o := newOrigin(t, text("a.example\n"))
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	checkSays(t, r.Refresh(t.Context(), "feed"), `no list over HTTPS is named "feed"`)

	checkSays(t, r.Set([]RemoteSpec{{Name: "feed", URL: "ftp://a/"}, {Name: "other", URL: o.URL}, {Name: "other", URL: o.URL + "/2"}}), "list feed: ftp://a/", "list other: configured twice")
	checkSays(t, r.Refresh(t.Context(), "feed"), "list feed: ftp://a/")
	must(t, r.Refresh(t.Context(), "other"))
	if s := r.state(); !strings.Contains(s.Error, "expected https") {
		t.Errorf("status %+v", s)
	}
	if s, _ := r.Status("other"); s.Error != "" || s.URL != o.URL {
		t.Errorf("status %+v", s)
	}
	if _, found := r.Status("third"); found {
		t.Error("a third list has a status")
	}
}

// gate lets a handler or a judgement wait.
type gate struct{ entered, leave chan struct{} }

func newGate() gate { return gate{make(chan struct{}), make(chan struct{})} }

func (g gate) pass() {
	g.entered <- struct{}{}
	<-g.leave
}

func TestRefreshJoinsTheRunningFetch(t *testing.T) {
	g := newGate()
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		g.pass()
		text("a.example\n")(w, r)
	})
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	must(t, r.Set([]RemoteSpec{{Name: "feed", URL: o.URL}}))
	<-g.entered
	if !r.state().Fetching {
		t.Error("status does not tell of the fetch")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Refresh(cancelled, "feed"); !errors.Is(err, context.Canceled) {
		t.Errorf("given up, %v", err)
	}
	results := make(chan error)
	for range 3 {
		go func() { results <- r.Refresh(t.Context(), "feed") }()
	}
	close(g.leave)
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if s := r.state(); s.Fetching || s.Good == nil {
		t.Errorf("status %+v", s)
	}
}

func TestSetAnew(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) { text(r.URL.Path+"\n")(w, r) })
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
	must(t, r.list(RemoteSpec{URL: o.URL + "/a"}))
	o.take()

	t.Run("as it was: it goes on as it was", func(t *testing.T) {
		before := r.workers["feed"]
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: o.URL + "/a"}}))
		if r.workers["feed"] != before {
			t.Error("the list was begun anew")
		}
	})
	t.Run("another URL: another list", func(t *testing.T) {
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: o.URL + "/b"}}))
		must(t, r.refresh())
		asked := o.take()
		if h := asked[0]; h.Get("Path") != "/b" || h.Get("If-None-Match") != "" {
			t.Errorf("asked with %v", h)
		}
		if got := r.take(); got != "/a\n|/b\n" {
			t.Errorf("judged %q", got)
		}
	})
	t.Run("none", func(t *testing.T) {
		w := r.workers["feed"]
		must(t, r.Set(nil))
		<-w.ended
		if err := w.refresh(t.Context()); !errors.Is(err, errTakenAway) {
			t.Errorf("a list that was taken away is refreshed with %v", err)
		}
		if err := w.refresh(t.Context()); !errors.Is(err, errTakenAway) {
			t.Errorf("and again with %v", err)
		}
	})
}

// A list that is configured anew in the middle of a fetch gives the fetch up;
// in the middle of a judgement, it waits for it. It never has two of them.
func TestSetMeanwhile(t *testing.T) {
	t.Run("fetch", func(t *testing.T) {
		g := newGate()
		o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/a" {
				g.pass()
			}
			text(r.URL.Path+"\n")(w, r)
		})
		defer close(g.leave)
		r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots()})
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: o.URL + "/a"}}))
		<-g.entered
		w := r.workers["feed"]
		waiting := make(chan error)
		go func() { waiting <- w.refresh(t.Context()) }()
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: o.URL + "/b"}}))
		must(t, r.refresh())
		<-w.ended
		if err := <-waiting; !errors.Is(err, errTakenAway) {
			t.Errorf("who waited for the old list was told %v", err)
		}
		if got := r.take(); got != "/b\n" {
			t.Errorf("judged %q", got)
		}
	})
	t.Run("judgement", func(t *testing.T) {
		o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) { text(r.URL.Path+"\n")(w, r) })
		s := openStore(t, t.TempDir())
		var r *remotes
		var running atomic.Int32
		var order []string
		r = newRemotes(t, s, RemoteOptions{RootCAs: o.roots(), Candidate: func(ctx context.Context, c Candidate) Judgement {
			if running.Add(1) != 1 {
				t.Error("two judgements at once")
			}
			defer running.Add(-1)
			order = append(order, c.Source)
			if c.Source == o.URL+"/a" {
				must(t, r.Set([]RemoteSpec{{Name: "feed", URL: o.URL + "/b"}})) // from within
				<-ctx.Done()
			}
			return Accept()
		}})
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: o.URL + "/a"}}))
		for {
			err := r.refresh()
			if err == nil && r.state().Good != nil && r.state().URL == o.URL+"/b" {
				break
			}
			if err != nil && !errors.Is(err, errTakenAway) {
				t.Fatal(err)
			}
		}
		if !slices.Equal(order, []string{o.URL + "/a", o.URL + "/b"}) {
			t.Errorf("judged %q", order)
		}
		if good := s.Entry("feed", o.URL+"/b").Good; good == nil {
			t.Error("the new list has no good copy")
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	g := newGate()
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			g.entered <- struct{}{}
			<-r.Context().Done()
		}
		text("a.example\n")(w, r)
	})
	judging := newGate()
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots(), Candidate: func(context.Context, Candidate) Judgement {
		judging.pass()
		return Accept()
	}})
	must(t, r.Set([]RemoteSpec{{Name: "feed", URL: o.URL}, {Name: "slow", URL: o.URL + "/slow"}, {Name: "idle", URL: "https://127.0.0.1:1/"}}))
	<-g.entered
	<-judging.entered
	waiting := make(chan error)
	go func() { waiting <- r.Refresh(t.Context(), "slow") }()
	closed := make(chan struct{})
	go func() { r.Close(); close(closed) }()
	if err := <-waiting; err == nil {
		t.Error("the fetch that was given up has no error")
	}
	select {
	case <-closed:
		t.Error("Close does not wait for the judgement")
	default:
	}
	close(judging.leave)
	<-closed
	if good := r.store.Entry("feed", o.URL).Good; good == nil {
		t.Error("what was accepted meanwhile is not kept")
	}
	if err := r.Set([]RemoteSpec{{Name: "feed", URL: o.URL}}); !errors.Is(err, errClosed) {
		t.Errorf("Set after Close: %v", err)
	}
	r.Close()
	o.Close()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// An update that is held waits over restarts and is not fetched again; it is
// approved, replaced, or taken back by its maker.
func TestHeldUpdate(t *testing.T) {
	o := newOrigin(t, text("a\n"))
	s := openStore(t, t.TempDir())
	spec := RemoteSpec{Name: "feed", URL: o.URL}
	start := func() *remotes {
		r := newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
		must(t, r.Set([]RemoteSpec{spec}))
		return r
	}
	hold := func(Candidate) Judgement { return Hold("it shrank") }
	check := func(want string) {
		t.Helper()
		e := s.Entry("feed", o.URL)
		var waiting *Copy
		if e.Held != nil {
			waiting = &e.Held.Copy
		}
		if got := textOf(t, s, "feed", e.Good) + textOf(t, s, "feed", waiting); got != want {
			t.Errorf("good and held are %q, expected %q", got, want)
		}
	}

	r := start()
	must(t, r.refresh())
	r.judges(hold)
	o.answer(text("b\n"))
	must(t, r.refresh())
	check("a\nb\n")
	if h := r.state().Held; h == nil || h.Reason != "it shrank" || r.state().Error != "" {
		t.Errorf("status %+v", r.state())
	}
	if !strings.Contains(r.logged(), "it shrank") {
		t.Error("the log does not tell that it is held")
	}

	r.Close()
	s = reopen(t, s)
	r = start()
	r.judges(hold)
	o.take()
	must(t, r.refresh())
	if h := o.take()[0]; h.Get("If-None-Match") == "" {
		t.Errorf("the held copy is fetched again: %v", h)
	}
	if got := r.take(); got != "b\n" {
		t.Errorf("a person asked, and judged again was %q", got)
	}
	check("a\nb\n")

	o.answer(text("c\n"))
	must(t, r.refresh())
	check("a\nc\n")
	_, err := s.Approve("feed", o.URL, s.Entry("feed", o.URL).Held.Digest)
	must(t, err)
	check("c\n-")
	o.take()
	must(t, r.refresh())
	if h := o.take()[0]; h.Get("If-None-Match") == "" {
		t.Errorf("the approved copy is fetched again: %v", h)
	}

	o.answer(text("d\n"))
	must(t, r.refresh())
	check("c\nd\n")
	o.answer(text("c\n"))
	must(t, r.refresh())
	check("c\n-")

	o.answer(text("e\n"))
	must(t, r.refresh())
	r.judges(nil) // the limit was raised
	must(t, r.refresh())
	check("e\n-")
}

// A copy that was damaged while the server was stopped is not asked about: a 304
// would leave us without the list.
func TestDamagedCopyIsFetchedAgain(t *testing.T) {
	o := newOrigin(t, text("a\n"))
	s := openStore(t, t.TempDir())
	r := newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
	must(t, r.list(RemoteSpec{URL: o.URL}))
	r.Close()
	disturb(t, s, "feed", r.state().Good, flipLast)
	s = reopen(t, s)
	o.take()

	r = newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
	must(t, r.list(RemoteSpec{URL: o.URL}))
	if h := o.take()[0]; h.Get("If-None-Match") != "" {
		t.Errorf("asked with %v", h)
	}
	if got := r.take(); got != "a\n" {
		t.Errorf("judged %q", got)
	}
	if !strings.Contains(r.logged(), "updated") {
		t.Error(r.logged())
	}
}

// Whoever finds the damage, the list is fetched at once.
func TestDamageFoundByAReader(t *testing.T) {
	o := newOrigin(t, text("a\n"))
	s := openStore(t, t.TempDir())
	r := newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
	must(t, r.list(RemoteSpec{URL: o.URL}))
	good := r.state().Good
	disturb(t, s, "feed", good, flipLast)
	c, err := s.Open("feed", *good, Limits{})
	must(t, err)
	if err := c.Close(); !errors.Is(err, ErrDamaged) {
		t.Fatalf("closed with %v", err)
	}
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		if e := s.Entry("feed", o.URL); e.Good != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the list was not fetched again")
		}
	}
	if got := textOf(t, s, "feed", s.Entry("feed", o.URL).Good); got != "a\n" {
		t.Errorf("good is %q", got)
	}
}

// At most AtOnce lists are fetched at the same time.
func TestFetchesAtOnce(t *testing.T) {
	var running, most atomic.Int32
	s := openStore(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t, func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), running.Add(1)))
			nap(r, time.Second)
			running.Add(-1)
			text("a\n")(w, r)
		})
		r := newRemotes(t, s, RemoteOptions{Dial: c.dial, AtOnce: 3})
		var specs []RemoteSpec
		for i := range 10 {
			specs = append(specs, RemoteSpec{Name: fmt.Sprint(i), URL: listURL})
		}
		must(t, r.Set(specs))
		time.Sleep(10 * time.Second)
		for _, spec := range specs {
			if st, _ := r.Status(spec.Name); st.Good == nil {
				t.Errorf("list %s: %+v", spec.Name, st)
			}
		}
		r.Close()
	})
	if n := most.Load(); n != 3 {
		t.Errorf("%d at once, expected 3", n)
	}
}

func TestNewRemotesNeeds(t *testing.T) {
	judge := func(context.Context, Candidate) Judgement { return Accept() }
	if _, err := NewRemotes(RemoteOptions{Candidate: judge}); err == nil {
		t.Error("made without a store")
	}
	if _, err := NewRemotes(RemoteOptions{Store: openStore(t, t.TempDir())}); err == nil {
		t.Error("made without a judge")
	}
	if _, err := NewRemotes(RemoteOptions{Candidate: judge, Store: readOnly(t, t.TempDir())}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("made with a store that cannot be written: %v", err)
	}
}

func TestSchedule(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, chance := range []float64{0, 0.5, 0.999} {
		s := schedule{refresh: time.Hour, chance: func() float64 { return chance }}
		about := time.Hour + time.Duration((chance-0.5)*float64(12*time.Minute))
		for name, test := range map[string]struct{ confirmed, want time.Duration }{
			"just now":       {0, about},
			"half an hour":   {30 * time.Minute, about - 30*time.Minute},
			"two hours":      {2 * time.Hour, time.Duration(chance * float64(time.Minute))},
			"a time to come": {-time.Minute, time.Duration(chance * float64(time.Minute))},
		} {
			if got := s.start(now.Add(-test.confirmed), now); (got - test.want).Abs() > time.Millisecond {
				t.Errorf("chance %v, confirmed %s: first asked after %s, expected %s", chance, name, got, test.want)
			}
		}
		if got := s.start(time.Time{}, now); got != 0 {
			t.Errorf("without a copy: first asked after %s, expected at once", got)
		}
		for range 100 {
			if got := s.failed(firstRetry, 0); got < firstRetry || got > 75*time.Minute {
				t.Errorf("after %d failures %s", s.failures, got)
			}
		}
		if got := s.failed(firstRetry, 0); got < time.Hour {
			t.Errorf("after 100 failures %s, expected an hour", got)
		}
		if got := s.succeeded(); (got-about).Abs() > time.Millisecond || s.failures != 0 {
			t.Errorf("after an answer %s, expected %s", got, about)
		}
	}
	long := schedule{refresh: 7 * 24 * time.Hour, failures: 50, chance: func() float64 { return 0 }}
	if got := long.failed(firstRetry, 0); got != time.Hour {
		t.Errorf("a weekly list that fails is tried again in %s, expected an hour", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sat, 01 Jan 2000 00:10:00 GMT")
	f.Add("99999999999999999999")
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(value, time.Unix(1e9, 0)); d < 0 || d > maxRetryAfter {
			t.Errorf("%q is %s", value, d)
		}
	})
}
