package console

import (
	"context"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"sinkhole/hits"
)

const (
	// alive is how often a stream without events says that it is there: proxies close what is
	// silent for longer.
	alive = 15 * time.Second
	// streamsLast bounds a stream; browsers open another one, and go on where it ended.
	streamsLast = 15 * time.Minute
	// streamsBegin is how many events of before a stream begins with.
	streamsBegin = 20
)

func streamParams() []string {
	return []string{"client", "mac", "family", "list", "unexpected"}
}

// stream sends events as they come (server-sent events; HTML Living Standard, 9.2). One that
// is read too slowly ends, and holds up nobody.
func (s *site) stream(w http.ResponseWriter, r *http.Request, q *query) error {
	f := hits.Filter{Since: q.now.Add(-time.Hour), Limit: streamsBegin, Damaged: func(hits.Damage) {}}
	f.Client, f.MAC, f.Family, f.List, f.Unexpected = q.prefix("client"), q.mac("mac"), q.text("family"), q.text("list"), q.flag("unexpected")
	last := r.Header.Get("Last-Event-ID")
	if id, err := ulid.ParseStrict(last); err == nil {
		// The moment of writing; a merged line has an earlier time.
		f.Since, f.Limit = ulid.Time(id.Time()).Add(-5*time.Second), 0
		if oldest := q.now.Add(-time.Hour); f.Since.Before(oldest) {
			f.Since = oldest
		}
		f.Only = func(r *hits.Record) bool { return r.Event.ID > last }
	}
	if q.err != nil {
		return q.err
	}
	free, err := s.place(r.Context(), s.streams, 0)
	if err != nil {
		return err
	}
	defer free()
	s.count.streams.Add(1)
	defer s.count.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithTimeout(r.Context(), streamsLast)
	defer cancel()
	lines := make(chan string)
	go func() {
		defer cancel()
		_ = hits.Follow(ctx, s.Journal, f, func(r *hits.Record) error {
			select {
			case lines <- "id: " + r.Event.ID + "\ndata: " + string(r.AppendJSON(nil)) + "\n\n":
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	send := func(text string) bool {
		c := http.NewResponseController(w)
		_ = c.SetWriteDeadline(time.Now().Add(writeWithin)) // else the next write fails
		_, err := w.Write([]byte(text))
		return err == nil && c.Flush() == nil
	}
	still := time.NewTicker(alive)
	defer still.Stop()
	for going := send("retry: 2000\n\n"); going; {
		select {
		case text := <-lines:
			going = send(text)
		case <-still.C:
			// Who was let in may be no more.
			if v := s.gate.identify(r); v == nil || v.Name != visitorOf(r).Name {
				return nil
			}
			going = send(":\n\n")
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
