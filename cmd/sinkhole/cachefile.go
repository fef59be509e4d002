package main

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sinkhole/resolver"
	"sinkhole/resolver/cache"
)

const (
	// saveEvery is what a crash can cost of the answers in cache.file.
	saveEvery = 10 * time.Minute
	// savePause comes after each MiB: at most some 20 MiB/s, so that the journal's disk
	// has time for it.
	savePause = 50 * time.Millisecond
	// saveWithin bounds the last time, beside the end of the journal.
	saveWithin = hitsWithin
)

// cacheFile keeps answers over a restart. A nil *cacheFile keeps nothing.
type cacheFile struct {
	file  cache.File
	cache *cache.Cache
	log   *zap.Logger

	end     context.CancelFunc // nil: it was not started
	running sync.WaitGroup
	read    atomic.Bool // else there may be more in the file than in the cache

	restored, readErrors, writeErrors atomic.Uint64
}

func newCacheFile(path string, c *cache.Cache, log *zap.Logger) *cacheFile {
	if path == "" {
		return nil
	}
	return &cacheFile{file: cache.File{Path: path}, cache: c, log: log}
}

// start reads the file, and writes it from time to time, in the background.
func (f *cacheFile) start(r *resolver.Resolver) {
	if f == nil {
		return
	}
	var ctx context.Context
	ctx, f.end = context.WithCancel(context.Background())
	restore := r.Restorer()
	f.running.Go(func() {
		background(f.log, func() { f.load(ctx, restore) })
		every := time.NewTicker(saveEvery)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				background(f.log, func() { f.save(ctx, savePause) })
			case <-ctx.Done():
				return
			}
		}
	})
}

func (f *cacheFile) load(ctx context.Context, restore func(cache.Saved) bool) {
	begin, refused := time.Now(), 0
	err := f.file.Load(func(s cache.Saved) bool {
		if restore(s) {
			f.restored.Add(1)
		} else {
			refused++
		}
		return ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return
	}
	f.read.Store(true)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.log.Info("cache.file does not exist yet: the cache is empty", zap.String("file", f.file.Path))
	case errors.Is(err, cache.ErrForeign):
		f.readErrors.Add(1)
		f.log.Error("cache.file names something else: answers do not outlive a restart; name another file, or remove it", zap.Error(err))
	case err != nil:
		f.readErrors.Add(1)
		f.log.Warn("cache.file is not used, and will be replaced: the cache is empty", zap.Error(err))
	default:
		f.log.Info("answers of before the restart are in the cache", zap.Uint64("answers", f.restored.Load()),
			zap.Int("not_kept", refused), zap.Duration("took", time.Since(begin)))
	}
}

func (f *cacheFile) save(ctx context.Context, pause time.Duration) {
	n, err := f.file.Save(ctx, f.cache, pause)
	switch {
	case err == nil:
		f.log.Debug("cache.file written", zap.Int("answers", n))
	case errors.Is(err, cache.ErrFlushed), pause > 0 && ctx.Err() != nil: // the next one comes
	default:
		f.writeErrors.Add(1)
		f.log.Warn("cache.file cannot be written: answers are lost at a restart", zap.String("file", f.file.Path), zap.Error(err))
	}
}

// stop writes the file for the last time.
func (f *cacheFile) stop() {
	if f == nil || f.end == nil {
		return
	}
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(context.Background(), saveWithin)
	defer cancel()
	go func() {
		defer close(done)
		f.end()
		f.running.Wait()
		if f.read.Load() {
			f.save(ctx, 0)
		}
	}()
	select {
	case <-done:
	case <-ctx.Done(): // a disk that hangs; the file is as it was
	}
}

// forget has what was flushed not come back by a restart.
func (f *cacheFile) forget() error {
	if f == nil {
		return nil
	}
	return f.file.Remove()
}
