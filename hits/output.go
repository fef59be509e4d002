package hits

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// flushSize is the buffered size at which lines go to the file at once.
	flushSize = 64 << 10
	// maxBuffered bounds the lines that wait while the disk refuses them.
	maxBuffered = 1 << 20
	// retryEvery is the pace of attempts after a failed write.
	retryEvery = 250 * time.Millisecond
)

// output puts lines into the active segment. It belongs to the writer.
type output struct {
	opts   *Options
	log    *zap.Logger
	lock   *dirLock
	count  *counters
	syncer *syncer

	file   *os.File // nil: none open
	seq    uint64   // of the active segment; of the last one when none is open
	opened time.Time
	size   int64 // of the active segment, whole lines

	opening []byte // the start record, kept until it is written
	buf     []byte // whole lines
	held    tally  // what buf stands for

	flushed  time.Time // last attempt
	synced   time.Time // last asked for
	dirty    bool      // written since
	broken   bool      // the last attempt failed
	complain seldom
}

// tally is what buffered lines stand for.
type tally struct {
	hits, lines, mergedLines, mergedHits uint64
	lost                                 uint64 // told by lost records
	connections, lostConnections         uint64 // likewise of the landing
}

// losses are what a lost record tells of.
type losses struct{ hits, connections uint64 }

// note accounts for a line that was appended to buf.
func (o *output) note(count uint64, merged bool) {
	o.held.hits += count
	o.held.lines++
	if merged {
		o.held.mergedLines++
		o.held.mergedHits += count
	}
}

// full reports whether there is no room for another line; only while writing
// fails.
func (o *output) full() bool { return len(o.buf) >= maxBuffered }

// ready reports whether the buffer should go to the file now.
func (o *output) ready(now time.Time) bool {
	if len(o.buf) == 0 && len(o.opening) == 0 {
		return false
	}
	since := now.Sub(o.flushed)
	if o.broken {
		return since >= retryEvery
	}
	return len(o.buf) >= flushSize || since >= pace
}

// flush writes the buffer, and counts what it holds as journaled or lost. It returns
// what was told by it of earlier losses.
func (o *output) flush(now time.Time) (told losses, err error) {
	o.flushed = now
	held := o.held
	err = o.write(now)
	o.buf, o.held = o.buf[:0], tally{}
	c := o.count
	if err != nil {
		c.lostWrite.Add(held.hits)
		c.landingsLost.Add(held.connections)
		c.writeErrors.Add(1)
		o.broken = true
		if o.complain.now(now) {
			o.log.Error("writing the hit journal failed: hits are being lost until it works again",
				zap.String("directory", o.opts.Dir), zap.Error(err))
		}
		return losses{}, err
	}
	c.journaled.Add(held.hits)
	c.landed.Add(held.connections)
	c.lines.Add(held.lines)
	c.mergedLines.Add(held.mergedLines)
	c.mergedHits.Add(held.mergedHits)
	o.dirty = true
	if o.broken {
		o.broken = false
		o.log.Info("the hit journal is being written again", zap.String("directory", o.opts.Dir))
	}
	return losses{held.lost, held.lostConnections}, nil
}

func (o *output) write(now time.Time) error {
	if o.file != nil && o.due(now, int64(len(o.buf))) {
		o.retire()
	}
	if o.file != nil && !linked(o.file) {
		o.retire() // removed under our hands: what is written there is gone
	}
	fresh := o.file == nil
	err := o.append(now)
	if err != nil && o.file == nil && !fresh {
		err = o.append(now) // the fault may be of that file alone
	}
	return err
}

func (o *output) append(now time.Time) error {
	if o.file == nil {
		if err := o.open(now); err != nil {
			return err
		}
	}
	if err := o.put(o.opening); err != nil {
		return err
	}
	o.opening = nil
	return o.put(o.buf)
}

// put writes whole lines or nothing.
func (o *output) put(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	_, err := o.file.Write(lines)
	if err == nil {
		o.size += int64(len(lines))
		o.count.activeBytes.Store(o.size)
		return nil
	}
	terr := o.file.Truncate(o.size)
	if full := errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT); !full || terr != nil {
		// Something is wrong with this file: go on in another one.
		o.retire()
	}
	return err
}

// due reports whether the segment is to be closed before another n octets.
func (o *output) due(now time.Time, n int64) bool {
	if o.size == 0 {
		return false
	}
	age := now.Sub(o.opened)
	return o.size+n > o.opts.RotateSize || age >= o.opts.RotateEvery
}

// linked reports whether f still has a name.
func linked(f *os.File) bool {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return err == nil && st.Nlink > 0
}

// resume goes on in a segment of an earlier run.
func (o *output) resume(s *segment) error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return writeError("opening the hit journal's last segment", err)
	}
	o.use(f, s.seq, s.first, s.size)
	return nil
}

// open makes the next segment.
func (o *output) open(now time.Time) error {
	if err := o.lock.renew(); err != nil {
		return err
	}
	for {
		path := plainPath(o.opts.Dir, o.seq+1, now)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, fileMode)
		if errors.Is(err, fs.ErrExist) {
			o.seq++
			continue
		}
		if err != nil {
			return err
		}
		o.use(f, o.seq+1, now, 0)
		o.syncer.created()
		return nil
	}
}

func (o *output) use(f *os.File, seq uint64, opened time.Time, size int64) {
	o.file, o.seq, o.opened, o.size = f, seq, opened, size
	o.count.activeSegments.Store(1)
	o.count.activeBytes.Store(size)
}

// check gives up a segment that is no longer where it was made.
func (o *output) check() {
	if o.file == nil {
		return
	}
	ours, err1 := o.file.Stat()
	there, err2 := os.Stat(o.file.Name())
	if err1 != nil || err2 != nil || !os.SameFile(ours, there) {
		o.retire()
	}
}

// retire closes the active segment; the housekeeper will pack it.
func (o *output) retire() {
	if o.size == 0 {
		os.Remove(o.file.Name())
	}
	o.syncer.retire(o.file)
	o.file, o.dirty = nil, false
	o.count.closedSegments.Add(1)
	o.count.closedBytes.Add(o.size)
	o.count.activeSegments.Store(0)
	o.count.activeBytes.Store(0)
}

// closedBelow is the sequence below which every segment is closed.
func (o *output) closedBelow() uint64 {
	if o.file == nil {
		return o.seq + 1
	}
	return o.seq
}

// syncIfDue asks for an fsync of what was written since the last.
func (o *output) syncIfDue(now time.Time) {
	if o.dirty && o.file != nil && now.Sub(o.synced) >= o.opts.SyncEvery {
		o.syncer.sync(o.file)
		o.synced, o.dirty = now, false
	}
}
