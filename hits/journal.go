package hits

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Options says where a journal is kept and how. A zero field has the default
// that its comment names.
type Options struct {
	// Dir holds the segments. It is made when missing.
	Dir string
	// RotateSize is the size in octets at which a segment is closed (256 MiB).
	RotateSize int64
	// RotateEvery is the age at which a segment is closed (24 h).
	RotateEvery time.Duration
	// Keep is the age at which a closed segment is removed (never).
	Keep time.Duration
	// KeepSize is the size in octets that all segments may have together
	// (unbounded). The segment being written is never removed.
	KeepSize int64
	// SyncEvery is the longest time that a written line waits for its fsync (1 s).
	SyncEvery time.Duration
	// MergeAbove is the number of hits of one second that get a line each
	// (10,000); the rest of that second is merged.
	MergeAbove int
	// QueueLength is the number of hits that one queue holds (16,384), rounded
	// up to a power of two. A slot takes about 600 octets.
	QueueLength int

	// SigningKeyFile has the Ed25519 key (PEM, PKCS #8) that signs the heads of closed segments
	// (chain.key in Dir); it is made when missing.
	SigningKeyFile string
	// Veil hides who asked from what is written (nothing).
	Veil *Veil
	// OnHead is told of each head that was signed (nobody).
	OnHead func(Head)

	Observer Observer
	Logger   *zap.Logger
	// Background starts long work, such as the compression of a segment, on a
	// thread of low priority and returns at once (a goroutine). At most one
	// piece of work of a journal runs at a time.
	Background func(func())
	// RunWriter starts the writer, which runs until Close, and returns at once
	// (a goroutine).
	RunWriter func(func())
	// Yield is called by the writer between two bits of work of some 50 us, in the thread
	// that RunWriter gave it: whoever waits for the processor and has precedence gets it
	// then, and not only when the kernel looks again.
	Yield func()
}

const (
	defaultRotateSize  = 256 << 20
	defaultRotateEvery = 24 * time.Hour
	defaultSyncEvery   = time.Second
	defaultMergeAbove  = 10_000
	defaultQueueLength = 16_384
	minQueueLength     = 4096
)

func (o *Options) setDefaults() {
	o.RotateSize = cmp.Or(max(o.RotateSize, 0), defaultRotateSize)
	o.RotateEvery = cmp.Or(max(o.RotateEvery, 0), defaultRotateEvery)
	o.SyncEvery = cmp.Or(max(o.SyncEvery, 0), defaultSyncEvery)
	o.MergeAbove = cmp.Or(max(o.MergeAbove, 0), defaultMergeAbove)
	o.QueueLength = cmp.Or(max(o.QueueLength, 0), defaultQueueLength)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	goroutine := func(f func()) { go f() }
	if o.Background == nil {
		o.Background = goroutine
	}
	if o.RunWriter == nil {
		o.RunWriter = goroutine
	}
	if o.Yield == nil {
		o.Yield = func() {}
	}
}

// Journal is the append-only record of hits in one directory. Its methods are
// safe for concurrent use.
type Journal struct {
	opts  Options
	log   *zap.Logger
	lock  *dirLock
	count counters
	bell  *bell
	house *housekeeper

	mu     sync.Mutex // guards additions to queues
	queues atomic.Pointer[[]*Queue]

	landings connectionQueue
	audits   chan auditRequest

	stopOnce sync.Once
	stop     chan struct{} // closed by Close
	done     chan struct{} // closed when the writer has ended
	err      error         // of the end; valid after done
}

// Open takes the journal in opts.Dir for writing, repairs what a crash left,
// writes the start record and starts the writer. It fails when another process
// writes there.
func Open(opts Options) (*Journal, error) {
	opts.setDefaults()
	if opts.Dir == "" {
		return nil, errors.New("the hit journal has no directory: set hits.journal.path")
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the hit journal's directory: %w", err)
	}
	opts.Dir = dir
	opts.SigningKeyFile = cmp.Or(opts.SigningKeyFile, filepath.Join(dir, privateName))
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, writeError("making the hit journal's directory", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		opts: opts, log: opts.Logger, lock: lock,
		bell: newBell(), stop: make(chan struct{}), done: make(chan struct{}), audits: make(chan auditRequest, auditsWaiting),
	}
	j.landings.count = &j.count
	j.queues.Store(new([]*Queue))
	w, err := j.newWriter()
	if err != nil {
		lock.release()
		return nil, err
	}
	opts.RunWriter(w.run)
	return j, nil
}

// NewQueue returns a queue into the journal. Each listener has its own, so that
// listeners share no memory while they record. Where an address has several, of is
// how many: they share what one would hold, down to minQueueLength each.
func (j *Journal) NewQueue(of int) *Queue {
	j.mu.Lock()
	defer j.mu.Unlock()
	length := max(j.opts.QueueLength/max(of, 1), min(minQueueLength, j.opts.QueueLength))
	q := newQueue(length, j.bell)
	select {
	case <-j.stop:
		q.close()
	default:
	}
	old := *j.queues.Load()
	queues := append(old[:len(old):len(old)], q)
	j.queues.Store(&queues)
	return q
}

// Close writes all queued and merged hits and the stop record, syncs, and
// releases the directory. Hits recorded from now on are lost. When ctx ends
// first (a disk that hangs), Close returns with what was left; the journal then
// reads as not cleanly stopped.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	j.stopOnce.Do(func() { close(j.stop) })
	j.mu.Unlock()
	j.bell.ring()
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		return fmt.Errorf("closing the hit journal: %d hits not written in time: %w", j.Stats().Queued, ctx.Err())
	}
}
