// Package inventory keeps the infected machines that the hit journal tells of, in a SQLite
// database that is fed from the journal at a position of its own, and makes views of it. It
// has nothing that the journal has not: it can be removed, and is made anew.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"sinkhole/hits"
)

// Options says where an inventory is, and of what.
type Options struct {
	Path    string        // the database
	Journal string        // directory of the hit journal
	Keep    time.Duration // how long hits are kept (for ever)
	// Subscriber tells who had an address; nil: nobody knows.
	Subscriber SubscriberOf
	Logger     *zap.Logger
}

const (
	pollEvery  = 500 * time.Millisecond // the journal is looked at, at its end
	pruneEvery = time.Hour
	retryFirst = time.Second // after a fault, twice as long after each further one
	retryLast  = time.Minute
	// damageLogged bounds the places of damage that are logged in an hour.
	damageLogged = 20
)

// Inventory keeps a database up with the journal. Only Stats is safe for concurrent use.
type Inventory struct {
	opts   Options
	log    *zap.Logger
	feeder *feeder // nil: not open
	pruned time.Time
	logged int    // places of damage since pruned
	before counts // of databases that were open before

	mu    sync.Mutex
	stats Stats
}

// Stats is the state of an inventory. Counts are since the start.
type Stats struct {
	Lines, Hits, Landings   uint64    // that were read; Hits by their counts
	Noise, Expected         uint64    // landings and hits that make no machine
	Damaged                 uint64    // places of the journal that could not be read
	MachinesRefused, Capped uint64    // lines without a machine, or without their indicators, since there are too many
	Machines                int64     // entries, forwarders included
	ReadTo                  time.Time // of the latest record that was read
	Behind                  bool      // the journal has more
	Errors, SetAside        uint64    // failed attempts; databases that were made anew
}

// New returns an Inventory, which opens its database when it is fed.
func New(opts Options) *Inventory {
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	return &Inventory{opts: opts, log: opts.Logger}
}

// Stats returns the state.
func (x *Inventory) Stats() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stats
}

// Run feeds the database until ctx ends. A fault of the disk or of the database is logged and
// tried again; nothing is lost, since what was not written is read again.
func (x *Inventory) Run(ctx context.Context) {
	defer x.Close()
	retry, failed := retryFirst, false
	for ctx.Err() == nil {
		wait := pollEvery
		err := x.CatchUp(ctx)
		if err == nil {
			err = x.retain(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failed:
			x.log.Info("the inventory is up with the journal again")
			retry, failed = retryFirst, false
		case err == nil:
			retry = retryFirst
		case Overtaken(err): // another process fed it
		default:
			if !failed || retry < retryLast {
				x.log.Error("the inventory of machines cannot be written: it stays behind the journal, which has all hits, and is tried again", zap.Duration("after", retry), zap.Error(err))
			}
			failed = true
			wait, retry = retry, min(2*retry, retryLast)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// Close lets go of the database.
func (x *Inventory) Close() {
	if x.feeder != nil {
		x.before = x.feeder.counts
		x.feeder.close()
		for _, s := range x.feeder.statements {
			_ = s.Close()
		}
		x.feeder.db.close()
		x.feeder = nil
	}
}

// CatchUp reads the journal to its end. A database that is damaged, of another version or of
// another journal is set aside and made anew. It does not apply Options.Keep, which Run does.
func (x *Inventory) CatchUp(ctx context.Context) error {
	err := x.feed(ctx)
	if errors.Is(err, errUnusable) || errors.Is(err, hits.ErrOtherJournal) {
		x.Close()
		aside, failure := setAside(x.opts.Path, time.Now())
		if failure != nil {
			return fmt.Errorf("%w; it cannot be set aside: %w", err, failure)
		}
		x.log.Warn("the inventory is made anew from the journal; the old one is kept beside it, remove it when you like", zap.String("old", aside), zap.Error(err))
		x.mu.Lock()
		x.stats.SetAside++
		x.mu.Unlock()
		err = x.feed(ctx)
	}
	if err != nil && !Overtaken(err) && ctx.Err() == nil {
		x.mu.Lock()
		x.stats.Errors++
		x.mu.Unlock()
	}
	return err
}

func (x *Inventory) feed(ctx context.Context) error {
	if x.feeder != nil && x.replaced() {
		x.Close()
	}
	if x.feeder == nil {
		if err := x.open(ctx); err != nil {
			return err
		}
	}
	f := x.feeder
	f.committed = func() { x.publish(true) }
	if err := f.catchUp(ctx); err != nil {
		if !Overtaken(err) {
			x.Close()
		}
		x.mu.Lock()
		x.stats.Behind = true
		x.mu.Unlock()
		return err
	}
	x.publish(false)
	return nil
}

// retain removes what is older than Options.Keep, once an hour.
func (x *Inventory) retain(ctx context.Context) error {
	now := time.Now()
	if x.feeder == nil || now.Sub(x.pruned) < pruneEvery {
		return nil
	}
	x.pruned, x.logged = now, 0
	if x.opts.Keep <= 0 {
		return nil
	}
	if err := x.feeder.prune(ctx, timeOf(now.Add(-x.opts.Keep))); err != nil {
		x.pruned = time.Time{}
		return err
	}
	x.publish(false)
	return nil
}

// replaced tells whether the file is not the one that is open: somebody removed it.
func (x *Inventory) replaced() bool {
	_, err := os.Stat(x.opts.Path)
	return errors.Is(err, fs.ErrNotExist) && x.opts.Path != memoryPath
}

func (x *Inventory) open(ctx context.Context) error {
	db, err := openDatabase(ctx, x.opts.Path)
	if err != nil {
		return err
	}
	if err = db.own(ctx, x.opts.Journal); err == nil {
		x.feeder, err = newFeeder(ctx, db, x.opts.Journal, x.damaged)
	}
	if err != nil {
		db.close()
		x.feeder = nil
		return err
	}
	x.feeder.counts, x.feeder.subscriber = x.before, x.opts.Subscriber
	return nil
}

func (x *Inventory) damaged(d hits.Damage) {
	if x.logged++; x.logged <= damageLogged {
		x.log.Warn("a place of the hit journal cannot be read: the inventory lacks it", zap.Error(d))
	}
}

// publish puts the counts where Stats finds them.
func (x *Inventory) publish(behind bool) {
	c := &x.feeder.counts
	x.mu.Lock()
	defer x.mu.Unlock()
	before := x.stats
	x.stats = Stats{
		Lines: c.lines, Hits: c.hits, Landings: c.landings, Noise: c.noise, Expected: c.expected, Damaged: c.damaged,
		MachinesRefused: c.refused, Capped: c.capped, Machines: c.machines, ReadTo: time.Unix(0, int64(c.readTo)),
		Behind: behind, Errors: before.Errors, SetAside: before.SetAside,
	}
}
