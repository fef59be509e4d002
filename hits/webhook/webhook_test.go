package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"
)

// receiver is a real one, that says what it is told to.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int // of the next answers; then 204
	took     []string
	ids      []string
}

func newReceiver(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		body, _ := io.ReadAll(q.Body)
		r.ids = append(r.ids, q.Header.Get("webhook-id"))
		if want := sign([]byte("secret"), q.Header.Get("webhook-id"), q.Header.Get("webhook-timestamp"), body); q.Header.Get("webhook-signature") != want {
			t.Errorf("signature %q, want %q", q.Header.Get("webhook-signature"), want)
		}
		if len(r.statuses) > 0 {
			status := r.statuses[0]
			r.statuses = r.statuses[1:]
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			return
		}
		var b struct {
			ID, Event, Observer string
			Machine             struct{ Key string }
		}
		if err := json.Unmarshal(body, &b); err != nil || b.ID != q.Header.Get("webhook-id") || b.Observer != "here" || q.Header.Get("Content-Type") != "application/json" || q.URL.Path != "/hook" {
			t.Errorf("%v: %s of %s", err, body, q.URL.Path)
		}
		r.took = append(r.took, b.Event+" "+b.Machine.Key)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.took)
}

// source is an inventory.
type source struct {
	mu    sync.Mutex
	all   map[string]Change
	ready bool
	fault error
}

func (s *source) put(key string, level int, first, last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]Change)
	}
	s.all[key] = Change{Key: key, Level: level, Evidence: fmt.Sprint(level), FirstSeen: first, LastSeen: last}
}

func (s *source) changes(_ context.Context, since time.Time) (all []Change, ready bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		if !c.LastSeen.Before(since) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Change) int { return strings.Compare(a.Key, b.Key) })
	return all, s.ready, s.fault
}

func describe(_ context.Context, of []Change) (all []json.RawMessage, err error) {
	for _, c := range of {
		all = append(all, json.RawMessage(fmt.Sprintf(`{"key":%q}`, c.Key)))
	}
	return all, nil
}

// running is a Webhook at work, until stop.
func running(t *testing.T, dir string, r *receiver, s *source) (w *Webhook, stop func()) {
	t.Helper()
	w = New(Options{
		URL: r.URL + "/hook", Secret: func() ([]byte, error) { return []byte("secret"), nil }, Journal: dir, Keep: time.Hour,
		Changes: s.changes, Describe: describe, Observer: "here", Logger: zaptest.NewLogger(t),
	})
	w.firstRetry, w.lookEvery = time.Millisecond, time.Millisecond
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	stop = sync.OnceFunc(func() { end(); <-done })
	t.Cleanup(stop)
	return w, stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// Each machine and each raise is told once, in order, over failures and restarts, and with an
// inventory that was made anew; those of before the first start are not told.
func TestToldOnce(t *testing.T) {
	dir, r, s := t.TempDir(), newReceiver(t, 500, 302, 503, 404), new(source)
	before := time.Now().Add(-time.Minute)
	s.put("old", 1, before, before)
	w, stop := running(t, dir, r, s)
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	until(t, "a baseline", func() bool { _, err := os.Stat(filepath.Join(dir, "webhook.told")); return err == nil })
	now := time.Now()
	s.put("a", 1, now, now)
	until(t, "a is told", func() bool { return w.Stats().Told == 1 })
	if ids := r.ids; len(ids) != 5 || ids[0] != ids[4] {
		t.Errorf("the id is not the same each time: %q", ids)
	}
	if failed := w.Stats().Failed; failed != 4 {
		t.Errorf("%d failures, want 4", failed)
	}
	s.put("a", 2, now, now.Add(time.Second))
	s.put("old", 3, before, now.Add(time.Second))
	until(t, "raised", func() bool { return w.Stats().Told == 3 })
	stop()
	s.put("b", 1, now, now)
	w, stop = running(t, dir, r, s)
	until(t, "b is told", func() bool { return w.Stats().Told == 1 })
	s.mu.Lock() // made anew, and behind
	all := s.all
	s.all, s.ready = nil, false
	s.mu.Unlock()
	stop()
	w, _ = running(t, dir, r, s)
	for key, c := range all {
		s.put(key, c.Level, c.FirstSeen, c.LastSeen)
	}
	s.put("c", 1, now, now)
	until(t, "c is told", func() bool { return w.Stats().Told >= 1 })
	if got, want := r.taken(), []string{"new a", "raised a", "raised old", "new b", "new c"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "webhook.told")); err != nil || strings.Contains(string(text), "old") {
		t.Errorf("%v: %s", err, text)
	}
}

// What a receiver refuses as such does not hold up the rest for ever.
func TestRefused(t *testing.T) {
	r, s := newReceiver(t, 400, 413, 422, 415, 400), &source{ready: true, fault: errors.New("locked")}
	w, _ := running(t, t.TempDir(), r, s)
	until(t, "a failed look", func() bool { return w.Stats().Unlooked > 0 })
	now := time.Now()
	s.put("a", 1, now, now)
	s.put("b", 1, now, now)
	s.mu.Lock()
	s.fault = nil
	s.mu.Unlock()
	until(t, "b is told", func() bool { return len(r.taken()) == 1 })
	if got, stats := r.taken(), w.Stats(); got[0] != "new b" || stats.Refused != 1 {
		t.Errorf("%q, %+v", got, stats)
	}
}

// What is known of machines goes when neither the inventory nor their time keeps it.
func TestForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "told")
	told, err := openTold(path)
	if err != nil || !told.first {
		t.Fatal(err, told.first)
	}
	now := time.Now()
	kept, gone, active := Change{Key: "kept", Level: 2, LastSeen: now}, Change{Key: "gone", Level: 1, LastSeen: now.Add(-2 * time.Hour)}, Change{Key: "active", Level: 1, LastSeen: now.Add(-2 * time.Hour)}
	for _, c := range []Change{kept, gone, active} {
		if err := told.add(&c); err != nil {
			t.Fatal(err)
		}
	}
	told.close()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("0123 cut of")
	f.Close()
	if told, err = openTold(path); err != nil || told.first || told.level(&gone) != 1 {
		t.Fatal(err, told)
	}
	active.LastSeen = now
	if err := told.refresh([]Change{active}, now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if told, err = openTold(path); err != nil || told.level(&kept) != 2 || told.level(&gone) != 0 || told.level(&active) != 1 {
		t.Error(err, told.by)
	}
}

// The example of Standard Webhooks.
func TestSign(t *testing.T) {
	got := sign([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
