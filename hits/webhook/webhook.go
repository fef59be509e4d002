// Package webhook tells a receiver of each new infected machine, and of each whose evidence was
// raised, once: a POST of JSON for each, in order, until it is taken.
package webhook

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Options are what a Webhook needs.
type Options struct {
	URL     string
	Secret  func() ([]byte, error) // that bodies are signed with, read for each; none: they are not
	Journal string                 // directory of the journal, where what was told is kept
	Keep    time.Duration          // how long it is kept of a machine that is not seen any more
	// Changes are the machines that were seen since a time; ready says that the inventory has
	// all that the journal has.
	Changes func(ctx context.Context, since time.Time) (all []Change, ready bool, err error)
	// Describe is the machines of changes, for the body.
	Describe func(ctx context.Context, of []Change) ([]json.RawMessage, error)
	Observer string // who tells
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Logger   *zap.Logger
}

// Change is how far a machine is.
type Change struct {
	Key                 string
	Level               int    // of evidence, rising
	Evidence            string // its name
	FirstSeen, LastSeen time.Time
	Of                  any // for Describe
}

// Stats counts since the start.
type Stats struct {
	Told     uint64 // machines and raises that the receiver took
	Refused  uint64 // and those that it will not take, whatever is tried
	Failed   uint64 // attempts that came to nothing
	Unsaved  uint64 // failed writes of what was told
	Waiting  int64  // known to be told
	Unlooked uint64 // failed looks into the inventory
}

const (
	lookEvery = 2 * time.Second
	lookShare = 10        // a look takes no more than a tenth of the time
	lookBack  = time.Hour // lines of the journal may come so late
	allEvery  = time.Hour // all machines are looked at, however long they were not seen
	batch     = 64        // machines that are described at once

	postWithin = 10 * time.Second
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// refusals is how often a receiver has to refuse a body as such until it is left out.
	refusals = 5
)

// Webhook tells one receiver.
type Webhook struct {
	o      Options
	log    *zap.Logger
	told   *told
	client *http.Client
	began  time.Time

	firstRetry, lookEvery time.Duration

	accepted, refused, failed, unsaved, unlooked atomic.Uint64
	waiting                                      atomic.Int64
}

// New returns a Webhook that goes on where the last one stopped. The first one of a journal
// takes as told which machines there were before.
func New(o Options) *Webhook {
	w := &Webhook{o: o, log: o.Logger, began: time.Now(), firstRetry: firstRetry, lookEvery: lookEvery}
	var err error
	if w.told, err = openTold(filepath.Join(o.Journal, "webhook.told")); err != nil {
		w.log.Warn("what was told before cannot be read: it may be told again", zap.Error(err))
	}
	w.client = &http.Client{
		Timeout:       postWithin,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: o.Dial, MaxIdleConns: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w
}

// Stats can be called at any time.
func (w *Webhook) Stats() Stats {
	return Stats{Told: w.accepted.Load(), Refused: w.refused.Load(), Failed: w.failed.Load(), Unsaved: w.unsaved.Load(), Waiting: w.waiting.Load(), Unlooked: w.unlooked.Load()}
}

// Run tells until ctx ends. What is not told by then is told by the next one.
func (w *Webhook) Run(ctx context.Context) {
	defer w.client.CloseIdleConnections()
	defer w.told.close()
	var since, all time.Time
	failing := false
	for wait := w.lookEvery; ; {
		if !pause(ctx, wait) {
			return
		}
		began := time.Now()
		if began.Sub(all) >= allEvery {
			since = time.Time{}
		}
		latest, complete, err := w.look(ctx, since)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.unlooked.Add(1)
			if !failing {
				w.log.Warn("which machines are new cannot be told from the inventory; it is tried again", zap.Error(err))
			}
		case complete:
			if since.IsZero() {
				all = began
			}
			since = latest.Add(-lookBack)
		}
		failing = err != nil
		wait = max(w.lookEvery, lookShare*time.Since(began))
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// look tells what is new among the machines seen since a time; complete if that is all.
func (w *Webhook) look(ctx context.Context, since time.Time) (latest time.Time, complete bool, err error) {
	changes, ready, err := w.o.Changes(ctx, since)
	if err != nil {
		return latest, false, err
	}
	if w.told.first {
		if !ready {
			return latest, false, nil // machines of before may be missing yet
		}
		w.save(w.told.begin(changes, w.began))
	}
	if since.IsZero() && ready {
		w.save(w.told.refresh(changes, time.Now().Add(-w.o.Keep)))
	}
	latest = since
	var news []Change
	for _, c := range changes {
		if c.LastSeen.After(latest) {
			latest = c.LastSeen
		}
		if w.told.level(&c) < c.Level {
			news = append(news, c)
		}
	}
	for len(news) > 0 {
		w.waiting.Store(int64(len(news)))
		n := min(batch, len(news))
		if err := w.tell(ctx, news[:n]); err != nil {
			return latest, false, err
		}
		news = news[n:]
	}
	w.waiting.Store(0)
	return latest, true, nil
}

func (w *Webhook) save(err error) {
	if err != nil && w.unsaved.Add(1) == 1 {
		w.log.Warn("what was told cannot be kept: after a restart it is told again", zap.Error(err))
	}
}

// Body is what is sent.
type Body struct {
	ID       string          `json:"id"`    // the same whenever this is sent
	Event    string          `json:"event"` // new or raised
	Observer string          `json:"observer"`
	Machine  json.RawMessage `json:"machine"`
}

func (w *Webhook) tell(ctx context.Context, news []Change) error {
	machines, err := w.o.Describe(ctx, news)
	if err != nil {
		return err
	}
	for i := range news {
		b := Body{ID: idOf(&news[i]), Event: "new", Observer: w.o.Observer, Machine: machines[i]}
		if w.told.level(&news[i]) > 0 {
			b.Event = "raised"
		}
		body, err := json.Marshal(b)
		if err != nil {
			return err
		}
		if err := w.deliver(ctx, b.ID, body); err != nil {
			return err
		}
		w.waiting.Add(-1)
		w.save(w.told.add(&news[i]))
	}
	return nil
}

// idOf stands for a machine at a level of evidence.
func idOf(c *Change) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", c.Key, c.Evidence, c.FirstSeen.UnixNano()))
	return hex.EncodeToString(sum[:16])
}

// deliver sends until it is taken, or refused for good. The error is that of ctx.
func (w *Webhook) deliver(ctx context.Context, id string, body []byte) error {
	retry, refused := w.firstRetry, 0
	for {
		err := w.post(ctx, id, body)
		if err == nil {
			w.accepted.Add(1)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.failed.Add(1)
		if retry == w.firstRetry {
			w.log.Warn("the webhook does not take what it is told; it is tried again", zap.String("id", id), zap.Error(err))
		}
		if e, ok := errors.AsType[*statusError](err); ok && e.final() {
			if refused++; refused == refusals {
				w.refused.Add(1)
				w.log.Error("the webhook refuses a machine, which is left out", zap.String("id", id), zap.Error(err))
				return nil
			}
		}
		if !pause(ctx, retry/2+random(retry/2)) {
			return ctx.Err()
		}
		retry = min(2*retry, lastRetry)
	}
}

func random(most time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(most)+1))
	if err != nil {
		return most
	}
	return time.Duration(n.Int64())
}

// withoutURL is the error of a request without its URL, which may have a secret in it.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
