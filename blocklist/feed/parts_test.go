package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// mispFeed is a feed of events: a number for each, which is its content and its
// timestamp.
type mispFeed struct {
	mu     sync.Mutex
	events map[int]int
	asked  []string
	wrong  map[string]http.HandlerFunc // by the path, in the place of an event
	now    int                         // answers being given
	most   int
}

func eventID(n int) string { return fmt.Sprintf("5c5c5c5c-0000-4000-8000-%012d", n) }

func eventText(n, version int) string {
	return fmt.Sprintf(`{"Event":{"uuid":%q,"info":"event %d, version %d"}}`, eventID(n), n, version)
}

func (f *mispFeed) manifest() string {
	all := map[string]any{}
	for n, version := range f.events {
		all[eventID(n)] = map[string]any{"info": "an event", "date": "2026-01-02", "timestamp": fmt.Sprint(version), "Orgc": map[string]any{"name": "CERT"}}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (f *mispFeed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	name := strings.TrimPrefix(r.URL.Path, "/feed/")
	wrong := f.wrong[name]
	answer, found := "", false
	if name == "manifest.json" {
		answer, found = f.manifest(), true
	} else {
		f.asked = append(f.asked, strings.TrimLeft(strings.TrimSuffix(name[min(len(name), 24):], ".json"), "0"))
		for n, version := range f.events {
			if name == eventID(n)+".json" {
				answer, found = eventText(n, version), true
			}
		}
	}
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	switch {
	case wrong != nil:
		wrong(w, r)
	case !found:
		http.NotFound(w, r)
	case name == "manifest.json":
		text(answer)(w, r)
	default:
		_, _ = io.WriteString(w, answer)
	}
}

// change changes the feed and forgets what was asked.
func (f *mispFeed) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = nil
	how()
}

// took is which events were asked for since the last change.
func (f *mispFeed) took() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.asked)
	return strings.Join(f.asked, " ")
}

// want is what the copy has to be.
func (f *mispFeed) want() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for n := range 1000 {
		if version, found := f.events[n]; found {
			all = append(all, eventText(n, version))
		}
	}
	if len(all) == 0 {
		return "{\"response\":[]}\n"
	}
	return "{\"response\":[\n" + strings.Join(all, ",\n") + "\n]}\n"
}

func TestPartsOnlyWhatChanged(t *testing.T) {
	f := &mispFeed{events: map[int]int{1: 1, 2: 1, 3: 1}}
	o := newOrigin(t, f.ServeHTTP)
	s := openStore(t, t.TempDir())
	r := newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
	spec := RemoteSpec{Name: "feed", URL: o.URL + "/feed/manifest.json"}
	check := func(asked string) {
		t.Helper()
		must(t, r.refresh())
		if got := f.took(); got != asked {
			t.Errorf("asked for the events %q, expected %q", got, asked)
		}
		if got := r.good(spec); got != f.want() || !json.Valid([]byte(got)) {
			t.Errorf("the copy is %s, expected %s", got, f.want())
		}
		if left := filesOf(t, s, "feed"); len(left) > 3 {
			t.Errorf("files left: %q", left)
		}
	}
	must(t, r.Set([]RemoteSpec{spec}))
	check("1 2 3")

	f.change(func() {})
	check("") // 304
	f.change(func() { f.events[2] = 2 })
	check("2")
	f.change(func() { f.events[4] = 1; delete(f.events, 1) })
	check("4")

	r.Close()
	s = reopen(t, s)
	r = newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
	must(t, r.Set([]RemoteSpec{spec}))
	f.change(func() { f.events[0] = 9 })
	check("")
	f.change(func() { f.events[5] = 1 })
	check("5")

	// What is held is the newest, and what comes next builds on it.
	r.judges(func(Candidate) Judgement { return Hold("odd") })
	f.change(func() { f.events[6] = 1 })
	must(t, r.refresh())
	r.judges(nil)
	f.change(func() { f.events[7] = 1 })
	check("7")

	f.change(func() { clear(f.events) })
	must(t, r.refresh()) // "{}" is no manifest, it is what it is
	if got := r.good(spec); got != "{}" {
		t.Errorf("an empty manifest became %q", got)
	}
}

func TestPartsAtOnce(t *testing.T) {
	f := &mispFeed{events: map[int]int{}}
	for n := range 200 {
		f.events[n] = 1
	}
	s := openStore(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t, func(w http.ResponseWriter, r *http.Request) {
			nap(r, time.Second)
			f.ServeHTTP(w, r)
		})
		r := newRemotes(t, s, RemoteOptions{Dial: c.dial})
		must(t, r.Set([]RemoteSpec{{Name: "feed", URL: "http://127.0.0.1/feed/manifest.json"}}))
		start := time.Now()
		must(t, r.Refresh(t.Context(), "feed"))
		if got, want := time.Since(start), (1+200/partsAtOnce)*time.Second; got != want {
			t.Errorf("200 events of a second each took %s, expected %s", got, want)
		}
		if got := r.take(); got != f.want() {
			t.Error("the copy is another")
		}
		r.Close()
	})
	if f.most > partsAtOnce {
		t.Errorf("%d events at once", f.most)
	}
}

// A slip is made up for, a fault is told, and then nothing of the feed is used.
func TestPartsFaults(t *testing.T) {
	fails := func(times int, with http.HandlerFunc) func() http.HandlerFunc {
		return func() http.HandlerFunc {
			var mu sync.Mutex
			done := 0
			return func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if done++; done <= times {
					with(w, r)
					return
				}
				_, _ = io.WriteString(w, eventText(2, 2))
			}
		}
	}
	for name, test := range map[string]struct {
		wrong func() http.HandlerFunc
		words []string // none: it comes right
		asked int      // how often
	}{
		"a slip":                   {fails(1, status(500)), nil, 2},
		"two slips":                {fails(2, raw("")), nil, 3},
		"the server has a fault":   {fails(99, status(500)), []string{"500"}, 3},
		"cut off":                  {fails(99, raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")), []string{"broke off after 1 B of 100 B"}, 3},
		"asked too often":          {fails(99, status(429, "Retry-After", "600")), []string{"429", "10m0s"}, 1},
		"not there":                {fails(99, status(404)), []string{"404"}, 1},
		"a page":                   {fails(99, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }), []string{"an HTML or XML page"}, 3},
		"no JSON":                  {fails(99, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `a.example`) }), []string{"not whole JSON", "JSON object"}, 1},
		"half of it":               {fails(99, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"Event":{`) }), []string{"not whole JSON", "unexpected EOF"}, 1},
		"more than one":            {fails(99, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"Event":{}},{}`) }), []string{"not whole JSON"}, 1},
		"one that ends the answer": {fails(99, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}]}`) }), []string{"not whole JSON"}, 1},
		"an array":                 {fails(99, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{}]`) }), []string{"not whole JSON"}, 1},
		"larger than the list's": {fails(99, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"a":"`+strings.Repeat("x", 20_000)+`"}`)
		}), []string{"expected at most 9.8 KiB"}, 3},
		"together larger than that": {fails(99, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"a":"`+strings.Repeat("x", 9_950)+`"}`)
		}), []string{"the events before it", "larger than 9.8 KiB"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			synctest.Test(t, func(t *testing.T) {
				f := &mispFeed{events: map[int]int{1: 1, 2: 1, 3: 1}, wrong: map[string]http.HandlerFunc{}}
				c := newCable(t, f.ServeHTTP)
				r := newRemotes(t, s, RemoteOptions{Dial: c.dial})
				spec := RemoteSpec{Name: "feed", URL: "http://127.0.0.1/feed/manifest.json", Limits: Limits{File: 10_000}}
				must(t, r.Set([]RemoteSpec{spec}))
				must(t, r.Refresh(t.Context(), "feed"))
				before := r.good(spec)
				r.take()

				f.change(func() {
					f.events[2], f.events[3] = 2, 2
					f.wrong[eventID(2)+".json"] = test.wrong()
				})
				err := r.Refresh(t.Context(), "feed")
				if n := strings.Count(f.took(), "2"); n != test.asked {
					t.Errorf("the event was asked for %d times, expected %d", n, test.asked)
				}
				if test.words == nil {
					must(t, err)
					if got := r.good(spec); got != f.want() {
						t.Errorf("the copy is %s", got)
					}
				} else {
					checkSays(t, err, append(test.words, eventID(2))...)
					if got := r.good(spec); got != before || r.take() != "" {
						t.Errorf("the copy is %s", got)
					}
					if wait := time.Until(r.state().Next); name == "asked too often" && wait < 9*time.Minute {
						t.Errorf("the server asked for 10 minutes and gets %s", wait)
					}
				}
				r.Close()
				for _, f := range filesOf(t, s, "feed") {
					if strings.HasSuffix(f, tempSuffix) {
						t.Errorf("%s is left", f)
					}
				}
			})
		})
	}
}

// A copy of the same list that was no feed before, and one whose index lies.
func TestPartsOfAnotherBasis(t *testing.T) {
	for name, detail := range map[string]string{
		"none":         ``,
		"of a zone":    `{"serial":7}`,
		"nonsense":     `"x"`,
		"past the end": `{"misp_events":[{"uuid":"` + eventID(1) + `","timestamp":"1","offset":5,"length":9223372036854775807}]}`,
		"negative":     `{"misp_events":[{"uuid":"` + eventID(1) + `","timestamp":"1","offset":-5,"length":6}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := &mispFeed{events: map[int]int{1: 1}}
			o := newOrigin(t, f.ServeHTTP)
			s := openStore(t, t.TempDir())
			spec := RemoteSpec{Name: "feed", URL: o.URL + "/feed/manifest.json"}
			c := offer(t, s, "feed", spec.URL, "a.example\nb.example\n")
			c.Detail = []byte(detail)
			settle(t, s, c, Accept())
			r := newRemotes(t, s, RemoteOptions{RootCAs: o.roots()})
			must(t, r.list(spec))
			if got := r.good(spec); got != f.want() {
				t.Errorf("the copy is %s, expected %s", got, f.want())
			}
		})
	}
}

// Events lie beside the manifest, where that came from in the end, and see the
// key only at home.
func TestPartsAfterARedirect(t *testing.T) {
	f := &mispFeed{events: map[int]int{1: 1}}
	o := newOrigin(t, nil)
	o.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/latest/manifest.json" {
			http.Redirect(w, r, "https://away.example.com/feed/manifest.json", http.StatusFound)
			return
		}
		f.ServeHTTP(w, r)
	})
	r := newRemotes(t, openStore(t, t.TempDir()), RemoteOptions{RootCAs: o.roots(), Dial: byName(map[string]*origin{"home.example.com:443": o, "away.example.com:443": o})})
	must(t, r.list(RemoteSpec{URL: "https://home.example.com/latest/manifest.json", Header: "X-Key", Secret: "s3cret"}))
	var told []string
	for _, h := range o.take() {
		if h.Get("X-Key") != "" {
			told = append(told, h.Get("Path"))
		}
	}
	if !slices.Equal(told, []string{"/latest/manifest.json"}) {
		t.Errorf("the key went to %q", told)
	}
	if got := r.take(); got != f.want() {
		t.Errorf("judged %s", got)
	}
}

func TestParseManifest(t *testing.T) {
	id := eventID(1)
	for name, test := range map[string]struct {
		text string
		want string
		word string
	}{
		"one":                {`{"` + id + `":{"timestamp":"7"}}`, id + "=7", ""},
		"a number":           {`{"` + id + `":{"timestamp":1700000000}}`, id + "=1700000000", ""},
		"no timestamp":       {`{"` + id + `":{}}`, id + "=", ""},
		"blanks":             {" \n{ \"" + id + "\" : {} } \n", id + "=", ""},
		"ordered":            {`{"` + eventID(2) + `":{},"` + id + `":{}}`, id + "= " + eventID(2) + "=", ""},
		"twice":              {`{"` + id + `":{},"` + id + `":{}}`, "", "twice"},
		"cut":                {`{"` + id + `":{}`, "", "unexpected"},
		"more behind it":     {`{"` + id + `":{}} x`, "", "more after the end"},
		"another key":        {`{"` + id + `":{},"../../etc/passwd":{}}`, "", "expected the UUID of an event"},
		"a list":             {`["` + id + `"]`, "", "expected a JSON object"},
		"an event is a text": {`{"` + id + `":"x"}`, "", "string"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := parseManifest(strings.NewReader(test.text))
			if test.word != "" {
				checkSays(t, err, test.word, "manifest")
				return
			}
			must(t, err)
			var got []string
			for _, d := range all {
				got = append(got, d.UUID+"="+d.Timestamp)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("found %q, expected %q", got, test.want)
			}
		})
	}
	t.Run("too many", func(t *testing.T) {
		var b strings.Builder
		for n := range maxDocuments + 1 {
			fmt.Fprintf(&b, "%c%q:{}", "{,"[min(n, 1)], eventID(n))
		}
		_, err := parseManifest(strings.NewReader(b.String() + "}"))
		checkSays(t, err, "more than 20000 events")
	})
	t.Run("too large", func(t *testing.T) {
		endless := io.MultiReader(strings.NewReader(`{"`+id+`":{"info":"`), &repeated{"x"})
		_, err := parseManifest(endless)
		checkSays(t, err, "larger than 16 MiB")
	})
}

// repeated is a text without an end.
type repeated struct{ of string }

func (r *repeated) Read(p []byte) (int, error) { return copy(p, strings.Repeat(r.of, len(p))), nil }

// FuzzManifest: what is taken for a manifest names documents that can stand in a
// URL, each once; what encoding/json does not read is not read here.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"` + eventID(1) + `":{"timestamp":"7"},"` + eventID(2) + `":{"timestamp":7}}`))
	f.Add([]byte("\xef\xbb\xbf{\"" + eventID(1) + "\":{"))
	f.Add([]byte(`{"` + eventID(1) + `":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		isManifest(text)
		all, err := parseManifest(bytes.NewReader(text))
		var oracle map[string]struct {
			Timestamp any `json:"timestamp"`
		}
		oracleErr := json.Unmarshal(text, &oracle)
		if err == nil && (oracleErr != nil || len(oracle) != len(all)) {
			t.Errorf("%d events, encoding/json has %d and %v", len(all), len(oracle), oracleErr)
		}
		for _, d := range all {
			if _, found := oracle[d.UUID]; !found || !isUUID(d.UUID) || strings.Trim(d.UUID, "0123456789abcdefABCDEF-") != "" {
				t.Errorf("an event is named %q", d.UUID)
			}
		}
	})
}

func FuzzCheckJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}],"c":"\u00e9"}`))
	f.Add([]byte(`{}]}`))
	f.Add([]byte(`{"a":1,}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := json.Valid(text) && bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
		if err := checkJSON(bytes.NewReader(text)); (err == nil) != valid {
			t.Errorf("%q: %v, encoding/json says %v", text, err, valid)
		}
	})
}
