package sink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"sinkhole/hits"
)

// StreamOptions are what a Stream needs.
type StreamOptions struct {
	Server      string                      // nats://host:port
	TLS         func() (*tls.Config, error) // nil: none, unless the server asks for it
	Credentials string                      // file of a user's credentials; "": none
	Journal     string                      // directory of the journal, where the position's file is too
	Logger      *zap.Logger
}

const (
	publishBatch = 256 // lines that wait for the server's word at once
	streamWithin = 10 * time.Second
	headSubject  = "sinkhole.head"
	maxHeads     = 64 // that wait; each stands for all before it
)

// Stream publishes a journal to JetStream: each line under its event.dataset, with its event.id
// as the id of the message, so that the server takes it once. The position follows what the
// server has acknowledged.
type Stream struct {
	o      StreamOptions
	log    *zap.Logger
	saved  checkpoint
	taken  hits.Position // up to there the server has it
	onDisk hits.Position
	heads  chan hits.Head

	firstRetry time.Duration

	lifetime
	tally
}

// NewStream returns a Stream that goes on where the last one stopped.
func NewStream(o StreamOptions) *Stream {
	s := &Stream{o: o, log: o.Logger, firstRetry: firstRetry, heads: make(chan hits.Head, maxHeads), lifetime: newLifetime()}
	s.saved = checkpoint{dir: o.Journal, name: "stream.position"}
	at, err := s.saved.load()
	if err != nil {
		s.log.Warn("where the hits were published up to cannot be read: all that the journal keeps is published again", zap.Error(err))
	}
	s.taken, s.onDisk = at, at
	s.caughtUp.Store(time.Now().UnixNano())
	return s
}

// Head has a head of the journal's chain published. It does not wait: one that finds no room is
// left out, and the next one stands for it too.
func (s *Stream) Head(h hits.Head) {
	select {
	case s.heads <- h:
	default:
	}
}

// Run publishes until Close.
func (s *Stream) Run() {
	defer close(s.done)
	retry, told := s.firstRetry, false
	for {
		before := s.taken
		err := s.session()
		s.save()
		if err == nil || s.closing() {
			return
		}
		if s.taken != before {
			retry, told = s.firstRetry, false
		}
		if !told {
			s.log.Warn("hits are not published at the moment, and wait in the journal", zap.String("server", s.o.Server), zap.Error(err))
			told = true
		}
		select {
		case <-s.stop:
			return
		case <-time.After(retry/2 + rand.N(retry/2+1)):
		}
		retry = min(2*retry, lastRetry)
	}
}

func (s *Stream) connect() (*nats.Conn, error) {
	options := []nats.Option{nats.Name("sinkhole"), nats.NoReconnect(), nats.Timeout(streamWithin), nats.SetCustomDialer(dialer{s.abort})}
	if s.o.TLS != nil {
		c, err := s.o.TLS()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Secure(c))
	}
	if s.o.Credentials != "" {
		options = append(options, nats.UserCredentials(s.o.Credentials))
	}
	return nats.Connect(s.o.Server, options...)
}

// session is the life of one connection; nil where Close ended it.
func (s *Stream) session() error {
	conn, err := s.connect()
	if err != nil {
		s.refused.Add(1)
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(s.abort, conn.Close)()
	s.connects.Add(1)
	defer s.connected.Store(false)
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(publishBatch+maxHeads))
	if err != nil {
		return err
	}
	cursor := hits.NewCursor(s.o.Journal, s.taken, func(d hits.Damage) {
		s.unusable.Add(1)
		s.log.Warn("not published, since it cannot be read", zap.Error(d))
	})
	defer cursor.Close()
	lastSaved := time.Now()
	for {
		end, err := s.publish(js, cursor, int(conn.MaxPayload()))
		if errors.Is(err, hits.ErrOtherJournal) {
			s.log.Warn("another journal stands in the place of the one that was published so far: it is published from its beginning")
			s.taken = hits.Position{}
		}
		if err != nil {
			s.broken.Add(1)
			return err
		}
		if !s.connected.Swap(true) {
			s.log.Info("the stream takes hits", zap.String("server", s.o.Server))
		}
		if time.Since(lastSaved) >= saveEvery {
			s.save()
			lastSaved = time.Now()
		}
		if !end {
			continue
		}
		s.caughtUp.Store(time.Now().UnixNano())
		if s.closing() {
			return nil
		}
		select {
		case <-s.stop:
		case <-time.After(pollEvery):
		}
		if conn.IsClosed() {
			s.broken.Add(1)
			return errors.New("the connection has ended")
		}
	}
}

// publish publishes a batch, and waits until the server has all of it; end: there is no more at
// the moment.
func (s *Stream) publish(js jetstream.JetStream, cursor *hits.Cursor, most int) (end bool, err error) {
	var waiting []jetstream.PubAckFuture
	for len(waiting) < publishBatch {
		line, err := cursor.Next()
		if errors.Is(err, io.EOF) {
			end = true
			break
		}
		if err != nil {
			return false, err
		}
		subject, id, err := subjectOf(line)
		switch {
		case err != nil:
			s.unusable.Add(1)
			continue
		case len(line) > most:
			s.tooLong.Add(1)
			continue
		}
		f, err := js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: append([]byte(nil), line...)}, jetstream.WithMsgID(id))
		if err != nil {
			return false, err
		}
		waiting = append(waiting, f)
	}
	lines := len(waiting)
	for more := true; more; {
		select {
		case h := <-s.heads:
			text, err := json.Marshal(h)
			if err != nil {
				return false, err
			}
			f, err := js.PublishMsgAsync(&nats.Msg{Subject: headSubject, Data: text}, jetstream.WithMsgID(h.Head))
			if err != nil {
				return false, err
			}
			waiting = append(waiting, f)
		default:
			more = false
		}
	}
	if err := s.acknowledged(waiting); err != nil {
		return false, err
	}
	s.sent.Add(uint64(lines))
	s.taken = cursor.Position()
	return end, nil
}

func (s *Stream) acknowledged(waiting []jetstream.PubAckFuture) error {
	timer := time.NewTimer(streamWithin)
	defer timer.Stop()
	for _, f := range waiting {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
				return fmt.Errorf("%w: no stream has the subject %s, expected one with the subjects sinkhole.>", err, f.Msg().Subject)
			}
			return err
		case <-timer.C:
			return fmt.Errorf("the server did not acknowledge within %s", streamWithin)
		case <-s.abort.Done():
			return s.abort.Err()
		}
	}
	return nil
}

// subjectOf is the subject and the id of a line.
func subjectOf(line []byte) (subject, id string, err error) {
	var r struct {
		Event struct{ ID, Dataset string }
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return "", "", err
	}
	switch r.Event.Dataset {
	case hits.DatasetHit, hits.DatasetLanding, hits.DatasetJournal:
		return r.Event.Dataset, r.Event.ID, nil
	}
	return "", "", fmt.Errorf("found the dataset %q", r.Event.Dataset)
}

// save writes the position where it is another than on disk.
func (s *Stream) save() {
	if s.taken == s.onDisk {
		return
	}
	if err := s.saved.store(s.taken); err != nil {
		if s.unsaved.Add(1) == 1 {
			s.log.Warn("where the hits were published up to cannot be written: a restart publishes them again", zap.Error(err))
		}
		return
	}
	s.onDisk = s.taken
}

// dialer connects until ctx ends.
type dialer struct{ ctx context.Context }

// Dial implements [nats.CustomDialer].
func (d dialer) Dial(network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: streamWithin}
	return dialer.DialContext(d.ctx, network, address)
}
