package sink

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"sinkhole/hits"
)

// natsServer is a real one, with JetStream, at a port; -1: any.
func natsServer(t *testing.T, dir string, port int) *natsserver.Server {
	t.Helper()
	s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// keeping makes the stream that a receiver has.
func keeping(t *testing.T, s *natsserver.Server) (jetstream.Stream, *nats.Conn) {
	t.Helper()
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "SINKHOLE", Subjects: []string{"sinkhole.>"}, Storage: jetstream.FileStorage, Duplicates: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return stream, conn
}

// stored are the messages of a stream.
func stored(t *testing.T, s jetstream.Stream) (subjects, bodies []string) {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		return nil, nil // the server is away
	}
	for i := range info.State.LastSeq {
		m, err := s.GetMsg(t.Context(), i+1)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, nil
		}
		subjects, bodies = append(subjects, m.Subject), append(bodies, string(m.Data))
	}
	return subjects, bodies
}

func startStream(t *testing.T, dir, server string) *Stream {
	t.Helper()
	s := NewStream(StreamOptions{Server: server, Journal: dir, Logger: zaptest.NewLogger(t)})
	s.firstRetry = 20 * time.Millisecond
	go s.Run()
	return s
}

func endStream(t *testing.T, s *Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.Close(ctx)
}

// Every line arrives once and in order: over a server that is away, has no stream yet, restarts
// in between, and over a position that was lost.
func TestStream(t *testing.T) {
	dir, store := t.TempDir(), t.TempDir()
	j := openJournal(t, dir)
	j.record(t, many(600)...)
	s := startStream(t, dir, "nats://127.0.0.1:1")
	eventually(t, "nobody is there", func() bool { return s.Stats().Refused > 1 })
	endStream(t, s)

	server := natsServer(t, store, -1)
	s = startStream(t, dir, server.ClientURL())
	eventually(t, "there is no stream", func() bool { return s.Stats().Broken > 0 })
	stream, _ := keeping(t, server)
	eventually(t, "all are stored", func() bool { _, b := stored(t, stream); return len(b) == len(lines(t, dir)) })
	head := hits.Head{Segment: 1, Head: "00"}
	s.Head(head)
	s.Head(head)
	eventually(t, "the head is stored", func() bool { u, _ := stored(t, stream); return slices.Contains(u, headSubject) })

	port := server.Addr().(*net.TCPAddr).Port
	server.Shutdown()
	server.WaitForShutdown()
	j.record(t, many(10)...)
	server = natsServer(t, store, port)
	stream, _ = keeping(t, server)
	eventually(t, "what came meanwhile is stored", func() bool { _, b := stored(t, stream); return len(b) == len(lines(t, dir))+1 })
	endStream(t, s)

	if err := os.Remove(filepath.Join(dir, "stream.position")); err != nil {
		t.Fatal(err)
	}
	j.record(t, many(1)...)
	s = startStream(t, dir, server.ClientURL())
	want := lines(t, dir)
	eventually(t, "all are published again", func() bool { return s.Stats().Sent == uint64(len(want)) })
	endStream(t, s)
	subjects, bodies := stored(t, stream)
	if i := slices.Index(subjects, headSubject); i < 0 || !strings.Contains(bodies[i], `"head":"00"`) {
		t.Errorf("no head among %q", subjects)
	} else {
		subjects, bodies = slices.Delete(subjects, i, i+1), slices.Delete(bodies, i, i+1)
	}
	if subjects[slices.Index(bodies, want[0])] != hits.DatasetJournal || subjects[slices.Index(bodies, want[1])] != hits.DatasetHit {
		t.Errorf("subjects %q", subjects[:2])
	}
	slices.Sort(bodies) // where a connection breaks, what was sent again comes later
	slices.Sort(want)
	if !slices.Equal(bodies, want) {
		t.Errorf("%d messages, want the %d lines", len(bodies), len(want))
	}
}
