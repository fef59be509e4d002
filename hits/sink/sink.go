// Package sink sends the lines of the hit journal on, by syslog or dnstap. A Sink reads the
// journal from a position of its own, so a receiver that is slow or away loses nothing that
// is kept, and slows nobody.
package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"sinkhole/hits"
)

// Options are what a Sink needs.
type Options struct {
	Name     string // syslog or dnstap: in the log, in the name of the position's file
	Journal  string // directory of the journal, where the position's file is too
	Receiver Receiver
	Logger   *zap.Logger
}

// Stats counts what a Sink has done since the start.
type Stats struct {
	Sent      uint64    // lines handed over, those sent again included
	TooLong   uint64    // lines that no datagram holds, left out
	Unusable  uint64    // lines that could not be read or rendered, left out
	Connects  uint64    // connections set up
	Refused   uint64    // connections not set up
	Broken    uint64    // connections that ended while in use
	Unsaved   uint64    // failed writes of the position's file
	Connected bool      // now
	CaughtUp  time.Time // when all that the journal held had been sent
}

// What a Sink does when.
const (
	pollEvery = 200 * time.Millisecond
	saveEvery = time.Second

	// margin is how long a line must have been with the receiver's system, on a connection
	// that lasted, before it counts as taken: neither syslog nor dnstap confirm a line.
	margin = 5 * time.Second

	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Sink sends one journal to one receiver.
type Sink struct {
	o      Options
	log    *zap.Logger
	saved  checkpoint
	taken  hits.Position // up to there the receiver has it: where a new connection begins
	onDisk hits.Position // what the position's file says
	heads

	margin, firstRetry time.Duration

	lifetime
	tally
}

// New returns a Sink that goes on where the last one of its name stopped.
func New(o Options) *Sink {
	s := &Sink{o: o, log: o.Logger, margin: margin, firstRetry: firstRetry, heads: newHeads(), lifetime: newLifetime()}
	s.saved = checkpoint{dir: o.Journal, name: o.Name + ".position"}
	at, err := s.saved.load()
	if err != nil {
		s.log.Warn("where the hits were sent up to cannot be read: all that the journal keeps is sent again", zap.Error(err))
	}
	s.taken, s.onDisk = at, at
	s.caughtUp.Store(time.Now().UnixNano())
	return s
}

// Run sends until Close.
func (s *Sink) Run() {
	defer close(s.done)
	retry, told := s.firstRetry, false
	for {
		began := time.Now()
		lasted, err := s.session()
		s.save()
		if err == nil || s.closing() {
			return
		}
		if lasted {
			retry = s.firstRetry
		}
		if lasted || !told {
			s.log.Warn("hits are not sent at the moment, and wait in the journal", zap.Stringer("receiver", s.o.Receiver), zap.Error(err))
			told = true
		}
		select {
		case <-s.stop:
			return
		case <-time.After(retry/2 + rand.N(retry/2+1) - min(time.Since(began), retry/2)):
		}
		retry = min(2*retry, lastRetry)
	}
}

// session is the life of one connection; nil where Close ended it. It has lasted if lines
// were taken.
func (s *Sink) session() (lasted bool, err error) {
	conn, err := s.o.Receiver.connect(s.abort)
	if err != nil {
		s.refused.Add(1)
		return false, err
	}
	defer conn.close()
	defer context.AfterFunc(s.abort, conn.close)()
	s.connects.Add(1)
	d := &delivery{Sink: s, conn: conn, cursor: s.cursor()}
	defer d.cursor.Close()
	defer s.connected.Store(false)
	before := s.taken
	if err = d.run(); err != nil {
		s.broken.Add(1)
	}
	return s.taken != before, err
}

// cursor reads on from what the receiver has.
func (s *Sink) cursor() *hits.Cursor {
	return hits.NewCursor(s.o.Journal, s.taken, func(d hits.Damage) {
		s.unusable.Add(1)
		s.log.Warn("not sent, since it cannot be read", zap.Error(d))
	})
}

// save writes the position where it is another than on disk.
func (s *Sink) save() {
	if s.taken == s.onDisk {
		return
	}
	if err := s.saved.store(s.taken); err != nil {
		if s.unsaved.Add(1) == 1 {
			s.log.Warn("where the hits were sent up to cannot be written: a restart sends them again", zap.Error(err))
		}
		return
	}
	s.onDisk = s.taken
}

// delivery is one connection at work.
type delivery struct {
	*Sink
	conn   *connection
	cursor *hits.Cursor

	marks     []mark // what is on its way, oldest first
	lastSaved time.Time
	welcomed  bool // the connection has lasted and is logged
}

// mark is a position behind what was written.
type mark struct {
	behind hits.Position
	octets uint64 // written to the connection until then
	at     time.Time
}

// maxMarks bounds the marks: a newer one replaces the last instead.
const maxMarks = 1024

func (d *delivery) run() error {
	if err := d.again(d.conn); err != nil {
		return err
	}
	for first := true; ; first = false {
		// Whether anybody is there shows a datagram's sender only after it.
		lines := d.conn.batch
		if first && d.conn.datagrams {
			lines = 1
		}
		closing := d.closing() // what was there before that is sent
		end, err := d.send(lines)
		if err != nil {
			return err
		}
		d.confirm(d.margin)
		if end && closing {
			return d.finish()
		}
		pause := d.conn.pause
		switch {
		case first && d.conn.datagrams:
			pause = d.conn.settle
		case end:
			d.connected.Store(true)
			d.caughtUp.Store(time.Now().UnixNano())
			pause = pollEvery
		}
		if err := d.wait(pause, end); err != nil {
			return err
		}
		d.connected.Store(true)
	}
}

// wait lets time pass; Close cuts it short at the end of the journal.
func (d *delivery) wait(pause time.Duration, end bool) error {
	stop := d.stop
	if !end {
		stop = nil
	}
	if pause == 0 {
		select {
		case <-d.conn.ended:
			return d.conn.cause()
		default:
			return nil
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-d.conn.ended:
		return d.conn.cause()
	case <-stop:
	case <-timer.C:
	}
	return nil
}

// send writes up to so many lines; end: there are no more at the moment.
func (d *delivery) send(lines int) (end bool, err error) {
	sent := uint64(0)
	for range lines {
		line, err := d.cursor.Next()
		if errors.Is(err, hits.ErrOtherJournal) {
			d.log.Warn("another journal stands in the place of the one that was sent so far: it is sent from its beginning")
			d.cursor.Close()
			d.marks, d.taken = nil, hits.Position{}
			d.cursor = d.Sink.cursor()
			break
		}
		if errors.Is(err, io.EOF) {
			end = true
			break
		}
		if err != nil {
			return false, fmt.Errorf("reading the journal: %w", err)
		}
		switch err := d.conn.put(line); {
		case err == nil:
			sent++
		case errors.Is(err, errTooLong):
			d.tooLong.Add(1)
		case errors.Is(err, errUnusable):
			d.unusable.Add(1)
		case errors.Is(err, errNotForReceiver):
		default:
			return false, err
		}
	}
	if err := d.heads.send(d.conn); err != nil {
		return false, err
	}
	if err := d.conn.flush(); err != nil {
		return false, err
	}
	d.sent.Add(sent)
	d.mark()
	return end, nil
}

func (d *delivery) mark() {
	m := mark{behind: d.cursor.Position(), octets: d.conn.written(), at: time.Now()}
	n := len(d.marks)
	switch {
	case n > 0 && d.marks[n-1].behind == m.behind || n == 0 && d.taken == m.behind:
	case n > 1 && (n == maxMarks || m.at.Sub(d.marks[n-2].at) < d.margin/100):
		d.marks[n-1] = m
	default:
		d.marks = append(d.marks, m)
	}
}

// confirm takes as arrived what the receiver's system has had for the time of age.
func (d *delivery) confirm(age time.Duration) {
	arrived, now := d.conn.arrived(), time.Now()
	n := 0
	for n < len(d.marks) && d.marks[n].octets <= arrived && now.Sub(d.marks[n].at) >= age {
		n++
	}
	if n > 0 {
		d.taken = d.marks[n-1].behind
		d.marks = d.marks[:copy(d.marks, d.marks[n:])]
		if !d.welcomed {
			d.welcomed = true
			d.log.Info("the receiver takes hits", zap.Stringer("receiver", d.o.Receiver))
		}
	}
	if now.Sub(d.lastSaved) >= saveEvery {
		d.lastSaved = now
		d.save()
	}
}

// finish ends a connection in order: all is with the receiver, or its system, then.
func (d *delivery) finish() error {
	if d.conn.end != nil {
		err := d.conn.end()
		if err == nil {
			d.taken = d.cursor.Position()
		}
		return err
	}
	if d.conn.datagrams { // what tells that nobody is there has to come first
		if err := d.wait(d.conn.settle/2, false); err != nil {
			return err
		}
	}
	for {
		d.confirm(0)
		if len(d.marks) == 0 {
			return nil
		}
		select {
		case <-d.conn.ended:
			return d.conn.cause()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
