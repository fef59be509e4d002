package hits

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// housekeeper packs closed segments and removes old ones, beside the writer.
type housekeeper struct {
	opts   *Options
	log    *zap.Logger
	count  *counters
	ctx    context.Context // ends with the journal
	cancel context.CancelFunc

	mu      sync.Mutex
	running bool
	again   bool   // asked for while running
	below   uint64 // segments below it are closed
	idle    *sync.Cond

	chain            *chain
	complain, broken seldom
}

func newHousekeeper(o *Options, c *counters) *housekeeper {
	h := &housekeeper{opts: o, log: o.Logger, count: c}
	h.chain = &chain{dir: o.Dir, keyAt: o.SigningKeyFile, onHead: o.OnHead, log: o.Logger}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.idle = sync.NewCond(&h.mu)
	return h
}

// tidy looks after the segments below a sequence, and returns at once.
func (h *housekeeper) tidy(below uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.below, h.again = below, true
	if h.running || h.ctx.Err() != nil {
		return
	}
	h.running = true
	h.opts.Background(h.run)
}

// close interrupts the work and waits for its end.
func (h *housekeeper) close() {
	h.cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.running {
		h.idle.Wait()
	}
}

func (h *housekeeper) run() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.again && h.ctx.Err() == nil {
		h.again = false
		below := h.below
		h.mu.Unlock()
		h.work(below)
		h.mu.Lock()
	}
	h.running = false
	h.idle.Broadcast()
}

func (h *housekeeper) work(below uint64) {
	segments, _, err := listSegments(h.opts.Dir)
	if err != nil {
		return // the writer says so
	}
	h.unchained(h.chain.extend(h.ctx, segments, below))
	for _, s := range segments {
		if s.seq >= below || s.packed {
			continue
		}
		if err := h.pack(&s); err != nil && h.ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
			h.count.compressErrors.Add(1)
			if h.complain.now(time.Now()) {
				h.log.Error("compressing a segment of the hit journal failed: it stays as it is and is tried again",
					zap.String("file", s.path), zap.Error(err))
			}
		}
	}
	if h.ctx.Err() != nil {
		return // perhaps before all were linked: only then they may go
	}
	h.retain(below)
}

// unchained tells of a failure to link segments, which is tried again; they are packed and
// removed all the same, since a full disk must not get fuller for it.
func (h *housekeeper) unchained(err error) {
	if err == nil || h.ctx.Err() != nil {
		return
	}
	h.count.chainErrors.Add(1)
	if h.broken.now(time.Now()) {
		h.log.Error("linking the closed segments of the hit journal failed: hits verify says nothing of them until it works", zap.Error(err))
	}
}

func (h *housekeeper) pack(s *segment) error {
	if s.size == 0 {
		return os.Remove(s.path)
	}
	start := time.Now()
	packed, err := packSegment(h.ctx, h.opts.Dir, s)
	if err != nil {
		return err
	}
	h.log.Info("compressed a segment of the hit journal", zap.String("file", packed.path),
		zap.Int64("octets", packed.size), zap.Int64("before", s.size), zap.Duration("took", time.Since(start)))
	return nil
}

// retain removes the oldest closed segments that are too old or too much.
func (h *housekeeper) retain(below uint64) {
	segments, _, err := listSegments(h.opts.Dir)
	if err != nil {
		return
	}
	var total, closed int64
	var kept int64
	for _, s := range segments {
		total += s.size
	}
	leaving := h.leaving(segments, below, total)
	if len(leaving) > 0 {
		h.unchained(h.chain.anchor(leaving[len(leaving)-1]))
	}
	var removed, freed int64
	for _, s := range segments {
		if s.seq >= below {
			continue
		}
		if slices.Contains(leaving, s.seq) {
			if err := os.Remove(s.path); err == nil {
				removed, freed, total = removed+1, freed+s.size, total-s.size
				continue
			}
		}
		kept, closed = kept+1, closed+s.size
	}
	h.count.closedSegments.Store(kept)
	h.count.closedBytes.Store(closed)
	if removed > 0 {
		h.count.removedSegments.Add(uint64(removed))
		h.count.removedBytes.Add(uint64(freed))
		h.log.Info("removed the oldest segments of the hit journal",
			zap.Int64("segments", removed), zap.Int64("octets", freed),
			zap.Duration("keep", h.opts.Keep), zap.Int64("keep_size", h.opts.KeepSize))
	}
}

// leaving are the sequences of closed segments that are too old or too much.
func (h *housekeeper) leaving(segments []segment, below uint64, total int64) (sequences []uint64) {
	now := time.Now()
	for i := range segments {
		s := &segments[i]
		if s.seq < below && (h.expired(s, now) || h.opts.KeepSize > 0 && total > h.opts.KeepSize) {
			sequences, total = append(sequences, s.seq), total-s.size
		}
	}
	return sequences
}

func (h *housekeeper) expired(s *segment, now time.Time) bool {
	if h.opts.Keep <= 0 {
		return false
	}
	end := s.mtime // of one that could not be packed
	if s.packed {
		end = s.end
	}
	return now.Sub(end) > h.opts.Keep
}
