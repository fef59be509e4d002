package feed

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"

	"go.uber.org/zap"
)

// RemoteOptions is what [NewRemotes] needs. A field that is zero has its
// default, but for Store and Candidate.
type RemoteOptions struct {
	Store *Store // open for writing; the caller closes it after Remotes
	// Candidate judges new content of a list. It is called from the list's own
	// goroutine: never twice at once for one list, but for several lists at once.
	// A list may have been configured anew meanwhile: ask Candidate.IsFrom about
	// the URL of now. It may call Set and Status but neither Refresh nor Close,
	// which wait for it. Its context ends when the list is taken away.
	Candidate func(context.Context, Candidate) Judgement
	// Dial connects to servers (and proxies), default the system's way. It finds
	// the addresses of names itself.
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	RootCAs   *x509.CertPool // nil: the system's
	UserAgent string         // default "sinkhole"
	Bounds    Bounds
	// AtOnce is how many lists are fetched at the same time, default 8.
	AtOnce int
	// Background runs what receives, unpacks and digests a list, and returns when it is done;
	// it may lower the priority of the work. It is called for several lists at
	// once, and for as long as a transfer takes. Nil runs it in place.
	Background func(func())
	Logger     *zap.Logger // nil: silent
}

func (o RemoteOptions) withDefaults() RemoteOptions {
	o.Bounds = o.Bounds.withDefaults()
	if o.UserAgent == "" {
		o.UserAgent = "sinkhole"
	}
	if o.AtOnce <= 0 {
		o.AtOnce = 8
	}
	if o.Background == nil {
		o.Background = func(work func()) { work() }
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// Remotes keep the copies of lists that come over HTTPS current. Methods may be
// called from any goroutine.
type Remotes struct {
	options RemoteOptions
	fetcher *fetcher
	slots   chan struct{} // taken through one fetch

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	workers map[string]*worker
	faulty  map[string]RemoteStatus // lists whose specs are wrong
}

var errClosed = errors.New("the lists are being closed")

// NewRemotes has no lists yet.
func NewRemotes(o RemoteOptions) (*Remotes, error) {
	if o.Store == nil || o.Candidate == nil {
		return nil, errors.New("feed: RemoteOptions.Store or Candidate is nil, expected both")
	}
	if o.Store.readOnly {
		return nil, ErrReadOnly
	}
	o = o.withDefaults()
	r := &Remotes{
		options: o,
		fetcher: &fetcher{client: newClient(o), store: o.Store, bounds: o.Bounds, background: o.Background, log: o.Logger},
		slots:   make(chan struct{}, o.AtOnce),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	o.Store.tellDamage(r.Ask)
	return r, nil
}

// Set replaces the lists. It does not wait for the network, nor for a Candidate
// that runs: a list whose spec is the same goes on as it was, another one is
// given up and begins anew. The error tells of specs that are wrong; the others
// hold.
func (r *Remotes) Set(specs []RemoteSpec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return errClosed
	}
	before := r.workers
	r.workers, r.faulty = map[string]*worker{}, map[string]RemoteStatus{}
	var faults []error
	for _, spec := range specs {
		list, err := spec.check()
		if err == nil && r.workers[spec.Name] != nil {
			err = errors.New("configured twice, expected another name")
		}
		if err != nil {
			err = fmt.Errorf("list %s: %w", spec.Name, err)
			faults = append(faults, err)
			if r.workers[spec.Name] == nil {
				r.faulty[spec.Name] = RemoteStatus{Name: spec.Name, Error: err.Error()}
			}
			continue
		}
		old := before[spec.Name]
		if old != nil && old.list.RemoteSpec == list.RemoteSpec {
			r.workers[spec.Name] = old
			continue
		}
		r.workers[spec.Name] = r.start(list, old)
		delete(r.faulty, spec.Name)
	}
	for name, old := range before {
		if r.workers[name] != old {
			old.cancel()
		}
	}
	return errors.Join(faults...)
}

// start begins to keep a list current, once old has ended.
func (r *Remotes) start(list remote, old *worker) *worker {
	w := newWorker(r, list)
	var ended <-chan struct{}
	if old != nil {
		ended = old.ended
	}
	r.ended.Go(func() { w.run(ended) })
	return w
}

// Ask has a list fetched soon, without waiting for it: something of how it is
// fetched has changed.
func (r *Remotes) Ask(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.workers[name]; w != nil {
		w.ask(false)
	}
}

// Refresh asks for a list now and waits until what came is judged, or joins the
// fetch that is running. Nil means that the server was reached and that what it
// has is in force or held, see Status. A held copy is judged again.
func (r *Remotes) Refresh(ctx context.Context, name string) error {
	r.mu.Lock()
	w, fault := r.workers[name], r.faulty[name].Error
	r.mu.Unlock()
	switch {
	case w != nil:
		return w.refresh(ctx)
	case fault != "":
		return errors.New(fault)
	}
	return fmt.Errorf("no list over HTTPS is named %q", name)
}

// Status shows a list; false: there is none of that name.
func (r *Remotes) Status(name string) (RemoteStatus, bool) {
	r.mu.Lock()
	w := r.workers[name]
	faulty, found := r.faulty[name]
	r.mu.Unlock()
	if w == nil {
		return faulty, found
	}
	return w.status(), true
}

// Close ends all fetches and waits for each running Candidate.
func (r *Remotes) Close() error {
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.ended.Wait()
	r.fetcher.client.close()
	return nil
}
