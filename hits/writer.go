package hits

import (
	"fmt"
	"runtime"
	"time"

	"go.uber.org/zap"
)

const (
	// pace is how often the writer looks into the queues and writes while hits
	// come in. It bounds both the writer's system calls and the age of what a
	// follower sees.
	pace = 10 * time.Millisecond
	// awakeFor is how long after the last hit the writer keeps that pace before
	// it sleeps until a producer rings.
	awakeFor = time.Second
	// tick is the pace of what is done without hits: fsync, rotation by age,
	// records of lost hits.
	tick = time.Second
	// tidyEvery is the pace of retention by age, and of another attempt at what
	// could not be compressed.
	tidyEvery = time.Minute
	// drainBatch bounds the hits taken between two looks at the clock.
	drainBatch = 4096
	// flushBatch bounds the merged lines made between two looks into the
	// queues, so that the end of a crowded second does not fill them.
	flushBatch = 128
	// yieldEvery is the work between two calls of Options.Yield, in hits that were merged;
	// a line takes as long as lineWork of them.
	yieldEvery = 512
	lineWork   = 16
)

// Actions of the journal's own records (event.action).
const (
	actionStart = "start"
	actionStop  = "stop"
	actionLost  = "lost"
)

// writer takes hits from the queues to the journal's file: one goroutine, which
// owns all that is reached from here.
type writer struct {
	j       *Journal
	enc     *encoder
	merge   *merger
	out     *output
	told    losses    // that a written record tells of
	hitAt   time.Time // when a hit came last
	tidied  time.Time
	ticked  time.Time
	segment uint64 // the last one that the housekeeper was told of
	worked  int    // since Options.Yield was called
}

func (j *Journal) newWriter() (*writer, error) {
	old, err := repair(j.opts.Dir, j.log)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	j.house = newHousekeeper(&j.opts, &j.count)
	w := &writer{
		j:     j,
		enc:   newEncoder(j.opts.Observer, old.sequence, j.opts.Veil),
		merge: newMerger(j.opts.MergeAbove, max(j.opts.SyncEvery-2*pace, pace)),
		out:   &output{opts: &j.opts, log: j.log, lock: j.lock, count: &j.count, seq: old.newest.seq},
	}
	if old.continues(&j.opts, now) {
		if err := w.out.resume(&old.newest); err != nil {
			return nil, err
		}
	}
	w.out.syncer = newSyncer(j.opts.Dir, j.log, &j.count.syncErrors)
	w.out.opening = w.enc.appendOwn(nil, ownRecord{
		action: actionStart, kind: "start", outcome: outcome(old.stop != stopUnclean),
		previousStop: old.stop, tornBytes: old.torn,
	}, now)
	if old.stop == stopUnclean {
		j.log.Warn("the hit journal was not closed cleanly last time: up to sync_every of hits may be missing",
			zap.String("directory", j.opts.Dir), zap.Int64("torn_octets", old.torn))
	}
	// A disk that is full now must not keep the resolver from serving: the
	// record waits, and the failure is counted and logged.
	w.write(now)
	w.tidy(now)
	return w, nil
}

func outcome(ok bool) string {
	if ok {
		return "success"
	}
	return "failure"
}

// run is the writer's life.
func (w *writer) run() {
	defer close(w.j.done)
	for {
		busy := w.cycle(time.Now())
		select {
		case <-w.j.stop:
			w.finish()
			return
		default:
		}
		if busy {
			continue
		}
		d, sleep := w.rest(time.Now())
		if sleep {
			w.j.bell.asleep.Store(true)
			if w.waiting() { // came in before the bell could know
				w.j.bell.asleep.Store(false)
				continue
			}
		}
		w.j.bell.wait(d)
		w.j.bell.asleep.Store(false)
	}
}

// cycle does what is due, and reports whether there is more at once.
func (w *writer) cycle(now time.Time) (busy bool) {
	drained, landed := w.drain(now, drainBatch), w.land(now)
	if drained+landed > 0 {
		w.hitAt = now
	}
	emitted := w.merge.flush(now, false, flushBatch, func(g *group) { w.emitGroup(g, now) })
	w.audit(now)
	w.write(now)
	w.out.syncIfDue(now)
	if now.Sub(w.ticked) >= tick {
		w.ticked = now
		w.onTick(now)
	}
	return drained >= drainBatch || emitted >= flushBatch || landed >= landBatch
}

// onTick does what needs no haste.
func (w *writer) onTick(now time.Time) {
	w.reportLost(now)
	w.write(now)
	w.out.check()
	if w.out.file != nil && w.out.due(now, 0) {
		w.out.retire()
	}
	if w.out.closedBelow() != w.segment || now.Sub(w.tidied) >= tidyEvery {
		w.tidy(now)
	}
}

func (w *writer) tidy(now time.Time) {
	w.tidied, w.segment = now, w.out.closedBelow()
	w.j.house.tidy(w.segment)
}

// rest is how long there is nothing to do, and whether a producer has to wake
// the writer earlier.
func (w *writer) rest(now time.Time) (d time.Duration, sleep bool) {
	next := w.ticked.Add(tick)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if at, ok := w.merge.due(); ok {
		sooner(at)
	}
	if w.out.dirty {
		sooner(w.out.synced.Add(w.j.opts.SyncEvery))
	}
	unwritten := len(w.out.buf) > 0 || len(w.out.opening) > 0
	if w.out.broken && unwritten {
		sooner(w.out.flushed.Add(retryEvery))
	}
	awake := now.Sub(w.hitAt) < awakeFor
	if awake || unwritten && !w.out.broken {
		sooner(now.Add(pace))
	}
	return max(next.Sub(now), time.Millisecond), !awake
}

// waiting reports whether a queue holds a hit.
func (w *writer) waiting() bool {
	for _, q := range *w.j.queues.Load() {
		if q.peek() != nil {
			return true
		}
	}
	return w.j.landings.waiting()
}

// drain takes up to limit hits, some from each queue in turn.
func (w *writer) drain(now time.Time, limit int) int {
	total := 0
	for {
		before := total
		for _, q := range *w.j.queues.Load() {
			crowded := q.crowded()
			for range 64 {
				h := q.peek()
				if h == nil {
					break
				}
				w.take(h, now, crowded)
				q.release()
				total++
				w.work(1)
			}
			if len(w.out.buf) >= flushSize {
				w.write(now)
			}
		}
		if total == before || total >= limit {
			return total
		}
	}
}

// work notes what was done, and yields after a while.
func (w *writer) work(n int) {
	if w.worked += n; w.worked >= yieldEvery {
		w.worked = 0
		w.j.opts.Yield()
	}
}

// take makes a line of a hit, or merges it. From a crowded queue it is merged: that
// takes a tenth of the time, and what does not fit into the queue is lost.
func (w *writer) take(h *Hit, now time.Time, crowded bool) {
	if h.Time.IsZero() {
		h.Time = now
	}
	admission := admitLost
	if crowded {
		admission = w.merge.admitCrowded(h, now)
	}
	if admission == admitLost {
		admission = w.merge.admit(h, now)
	}
	switch admission {
	case admitSingle:
		if w.out.full() {
			w.j.count.lostWrite.Add(1)
			return
		}
		w.out.buf = w.enc.appendHit(w.out.buf, h, now)
		w.out.note(1, false)
		w.work(lineWork)
	case admitLost:
		w.j.count.lostClients.Add(1)
	}
}

func (w *writer) emitGroup(g *group, now time.Time) {
	if w.out.full() {
		w.j.count.lostWrite.Add(g.count)
		return
	}
	w.out.buf = w.enc.appendGroup(w.out.buf, g, now)
	w.out.note(g.count, g.count > 1)
	w.work(2 * lineWork)
	if len(w.out.buf) >= flushSize {
		w.write(now)
	}
}

// write writes the buffer when it is due. After a failure the attempt brings
// the record of what was lost.
func (w *writer) write(now time.Time) {
	if !w.out.ready(now) {
		return
	}
	if w.out.broken {
		w.reportLost(now)
	}
	_ = w.flush(now) // counted and logged there
}

func (w *writer) flush(now time.Time) error {
	told, err := w.out.flush(now)
	w.told.hits += told.hits
	w.told.connections += told.connections
	return err
}

// reportLost appends a record of the hits and connections lost since the last such
// record was written.
func (w *writer) reportLost(now time.Time) {
	s := w.j.Stats()
	lost := losses{s.Lost - w.told.hits - w.out.held.lost, s.ConnectionsLost - w.told.connections - w.out.held.lostConnections}
	if lost == (losses{}) {
		return
	}
	w.out.buf = w.enc.appendOwn(w.out.buf, ownRecord{
		action: actionLost, kind: "error", outcome: outcome(false), lost: lost, accounting: s.accounting(),
	}, now)
	w.out.held.lost += lost.hits
	w.out.held.lostConnections += lost.connections
}

func (s *Stats) accounting() *Accounting {
	return &Accounting{
		Verdicts: s.Verdicts, Journaled: s.Journaled, Queued: s.Queued, Lost: s.Lost,
		LostQueueFull: s.LostQueueFull, LostClosed: s.LostClosed, LostClients: s.LostClients, LostWrite: s.LostWrite,
		Connections: s.Connections, ConnectionsJournaled: s.ConnectionsJournaled, ConnectionsQueued: s.ConnectionsQueued, ConnectionsLost: s.ConnectionsLost,
	}
}

// finish writes all there is and the stop record, and lets go of the directory.
func (w *writer) finish() {
	now := time.Now()
	w.drainClosed(now)
	for w.merge.pending > 0 {
		w.merge.flush(now, true, flushBatch, func(g *group) { w.emitGroup(g, now) })
	}
	w.audit(now)
	_ = w.flush(now) // the record that follows tells of what failed
	w.reportLost(now)
	s := w.j.Stats()
	w.out.buf = w.enc.appendOwn(w.out.buf, ownRecord{
		action: actionStop, kind: "end", outcome: outcome(s.Lost == 0 && s.ConnectionsLost == 0), accounting: s.accounting(),
	}, now)
	if err := w.flush(now); err != nil {
		w.j.err = fmt.Errorf("writing the hit journal's stop record: %w", err)
	}
	if w.out.file != nil {
		w.out.syncer.retire(w.out.file)
	}
	w.out.syncer.close()
	w.j.house.close()
	w.j.lock.release()
}

// drainClosed closes the queues and takes every hit that got in before.
func (w *writer) drainClosed(now time.Time) {
	w.j.mu.Lock()
	queues := *w.j.queues.Load()
	w.j.mu.Unlock()
	for _, q := range queues {
		q.close()
	}
	for _, q := range queues {
		for !q.drained() {
			if w.drain(now, drainBatch) == 0 {
				runtime.Gosched() // a producer is between its claim and its copy
			}
		}
	}
	w.j.landings.close()
	for w.land(now) > 0 {
	}
}
