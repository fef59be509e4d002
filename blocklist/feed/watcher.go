package feed

import (
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// Options is what a [Watcher] needs. A duration that is zero has its default.
type Options struct {
	// Settle is how long nothing more must happen before a change is told,
	// default 250 ms.
	Settle time.Duration
	// MaxSettle bounds the wait where something keeps happening that leaves the
	// files as they are, counted from the first event, default 2 s.
	MaxSettle time.Duration
	// MaxWrite bounds the wait for files that keep changing: copied in place over
	// a slow line, or replaced again and again; default 30 s. They are then told
	// as they are.
	MaxWrite time.Duration
	// Poll is how often all files are looked at whatever the system tells, for
	// file systems that tell nothing, default 30 s.
	Poll   time.Duration
	Logger *zap.Logger // nil: silent
	// Changed is called with the patterns whose files may have changed, in the
	// order of Set, always from the same goroutine. What changes while it runs
	// is told by the next call. It may call Set but not Close.
	Changed func(patterns []string)
}

func (o Options) withDefaults() Options {
	if o.Settle <= 0 {
		o.Settle = 250 * time.Millisecond
	}
	if o.MaxSettle <= 0 {
		o.MaxSettle = 2 * time.Second
	}
	if o.MaxWrite <= 0 {
		o.MaxWrite = 30 * time.Second
	}
	if o.Poll <= 0 {
		o.Poll = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// Watcher tells which patterns have files that changed. Its methods may be
// called from any goroutine.
type Watcher struct {
	options Options
	sets    chan setting
	notices chan []string

	stop    chan struct{}
	stopped sync.WaitGroup
	close   func() error

	// The rest belongs to the goroutine of run.
	targets []*target
	dirs    *directories
	index   index
	burst   burst
	timer   *time.Timer // runs while there is a burst
	queue   []string    // patterns to be told once Changed is free
}

// setting is one call of Set; done is closed when it holds.
type setting struct {
	patterns []string
	done     chan struct{}
}

// NewWatcher starts a watcher that watches nothing yet. A system that tells no
// events is not an error: the log warns and polling finds the changes.
func NewWatcher(o Options) (*Watcher, error) {
	if o.Changed == nil {
		return nil, errors.New("feed: Options.Changed is nil, expected a function to call")
	}
	o = o.withDefaults()
	w := &Watcher{
		options: o,
		sets:    make(chan setting),
		notices: make(chan []string),
		stop:    make(chan struct{}),
		dirs:    newDirectories(o.Logger),
		burst:   burst{settle: o.Settle, longest: o.MaxSettle},
		timer:   time.NewTimer(0),
	}
	w.timer.Stop()
	w.close = sync.OnceValue(func() error {
		close(w.stop)
		w.stopped.Wait()
		return w.dirs.close()
	})
	w.stopped.Go(w.run)
	w.stopped.Go(w.tell)
	return w, nil
}

// Set replaces the watched patterns (see [Expand]). When it returns, every later
// change is going to be told; so call it before reading the files, not after.
// A pattern that was watched before keeps its state, so that a change around
// the call is told too.
func (w *Watcher) Set(patterns []string) {
	s := setting{append([]string(nil), patterns...), make(chan struct{})}
	select {
	case w.sets <- s:
		<-s.done
	case <-w.stop:
	}
}

// Close ends the watching and waits for a running Changed; none is called after.
func (w *Watcher) Close() error { return w.close() }

// tell calls Changed apart from run, which must go on taking events meanwhile.
func (w *Watcher) tell() {
	for patterns := range w.notices {
		w.options.Changed(patterns)
	}
}

func (w *Watcher) run() {
	defer close(w.notices)
	poll := time.NewTicker(w.options.Poll)
	defer poll.Stop()
	defer w.timer.Stop()
	for {
		var notices chan []string
		if len(w.queue) > 0 {
			notices = w.notices
		}
		select {
		case <-w.stop:
			return
		case s := <-w.sets:
			w.retarget(s.patterns)
			close(s.done)
		case event := <-w.dirs.events():
			w.event(event)
		case err := <-w.dirs.errors():
			w.lost(err)
		case <-w.timer.C:
			w.settled()
		case <-poll.C:
			w.poll()
		case notices <- w.queue:
			w.sent()
		}
	}
}

// retarget makes patterns the watched ones.
func (w *Watcher) retarget(patterns []string) {
	before := make(map[string]*target)
	for _, t := range w.targets {
		before[t.pattern] = t
	}
	w.targets = nil
	var added []*target
	after := make(map[string]bool)
	for _, pattern := range patterns {
		if after[pattern] {
			continue
		}
		after[pattern] = true
		t := before[pattern]
		if t == nil {
			t = &target{pattern: pattern}
			added = append(added, t)
		}
		w.targets = append(w.targets, t)
	}
	w.trace(added)
	for _, t := range added {
		t.told = look(t.pattern)
	}
	w.enqueue()
}

// trace follows the trails of some targets anew.
func (w *Watcher) trace(targets []*target) {
	for _, t := range targets {
		trail, err := follow(t.pattern, w.dirs.watch)
		if err != nil {
			w.options.Logger.Warn("cannot tell where a list stands", zap.String("source", t.pattern), zap.Error(err))
			continue
		}
		t.trail = trail
	}
	wanted := make(map[string]bool)
	for _, t := range w.targets {
		for dir := range t.trail.dirs {
			wanted[dir] = true
		}
	}
	w.dirs.keep(wanted)
	w.index = newIndex(w.targets)
}

// event takes one event of the system. That of a turn on the way to a file is
// acted on at once: the sooner a new directory is watched the better; the files
// are compared when the burst is over.
func (w *Watcher) event(e fsnotify.Event) {
	if e.Name == "" {
		return
	}
	var touched, turned []*target
	// An entry of the root directory comes with two slashes.
	w.index.at(filepath.Clean(e.Name), func(found touch) {
		touched = append(touched, found.target)
		if found.turns {
			turned = append(turned, found.target)
		}
	})
	if len(turned) > 0 {
		w.trace(turned)
	}
	w.touch(touched)
}

// lost takes an error of the system's queue: whatever happened may be unknown.
func (w *Watcher) lost(err error) {
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		w.options.Logger.Info("too many file events at once, looking at all lists")
	} else {
		w.options.Logger.Warn("file events may be lost, looking at all lists", zap.Error(err))
	}
	w.touch(w.targets)
}

// touch marks targets as dirty because of an event.
func (w *Watcher) touch(targets []*target) {
	now := time.Now()
	for _, t := range targets {
		t.touch(now)
	}
	if len(targets) > 0 {
		w.wait()
	}
}

func (w *Watcher) wait() { w.timer.Reset(w.burst.event(time.Now())) }

// poll looks at all targets, whatever events there were.
func (w *Watcher) poll() {
	w.dirs.open()
	w.trace(w.targets)
	found := false
	for _, t := range w.targets {
		if t.dirty {
			continue
		}
		if now := look(t.pattern); !t.told.equal(now) {
			t.dirty, t.since, t.seen = true, now.taken, &now
			found = true
		}
	}
	if found {
		w.wait()
	}
}

// settled compares the dirty targets with what was last told of them. It
// follows their trails first, so that what changes after the look is an event.
// A target of which a file is still being written is looked at again.
func (w *Watcher) settled() {
	var dirty []*target
	for _, t := range w.targets {
		if t.dirty {
			dirty = append(dirty, t)
		}
	}
	w.trace(dirty)
	again := false
	for _, t := range dirty {
		now := look(t.pattern)
		if t.changed(now) {
			if !t.resting(now, w.options.Settle) && now.taken.Sub(t.since) < w.options.MaxWrite {
				t.look(now)
				again = true
				continue
			}
			t.told, t.queued = now, true
		}
		t.clean()
	}
	w.enqueue()
	if again {
		w.burst.again(time.Now())
		w.wait()
	} else {
		w.burst.end()
	}
}

// enqueue makes the queue of the targets that are to be told.
func (w *Watcher) enqueue() {
	w.queue = nil
	for _, t := range w.targets {
		if t.queued {
			w.queue = append(w.queue, t.pattern)
		}
	}
}

// sent notes that the queue was handed to Changed.
func (w *Watcher) sent() {
	for _, t := range w.targets {
		t.queued = false
	}
	w.queue = nil
}
