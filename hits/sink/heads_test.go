package sink

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"sinkhole/hits"
)

// headsIn are the heads among what a receiver got, by their segments.
func headsIn(t *testing.T, got []string) (segments []uint64) {
	t.Helper()
	for _, text := range got {
		var h hits.Head
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			t.Fatal(err)
		}
		if h.Head != "" {
			segments = append(segments, h.Segment)
		}
	}
	return segments
}

func TestSyslogHead(t *testing.T) {
	at := time.Date(2026, 2, 1, 3, 4, 5, 123456789, time.FixedZone("", 3600))
	got := string(appendHead(nil, (&Syslog{Host: "res1.example", Version: "1.0"}).head(), []byte(`{"segment":1}`), at))
	m := message.FindStringSubmatch(got)
	if m == nil || m[1] != "133" || m[2] != "2026-02-01T02:04:05.123456Z" || m[5] != "head" || m[6] != `{"segment":1}` {
		t.Errorf("%q: %q", got, m)
	}
}

// Heads reach the receiver beside the lines, those of before it came and of a stop too; a new
// connection has the latest again.
func TestSyslogGetsHeads(t *testing.T) {
	j := openJournal(t, t.TempDir())
	j.record(t, many(3)...)
	server := listenSyslog(t, "127.0.0.1:0", 0, nil)
	s := New(Options{Name: "syslog", Journal: j.dir, Receiver: syslog("tcp", server.addr), Logger: zaptest.NewLogger(t)})
	s.margin, s.firstRetry = 100*time.Millisecond, 20*time.Millisecond
	head := func(n uint64) hits.Head {
		return hits.Head{Segment: n, Head: strings.Repeat("0", int(n)), Time: time.Now()}
	}
	for n := range uint64(maxHeads + 1) { // the last finds no room
		s.Head(head(n + 1))
	}
	go s.Run()
	eventually(t, "those that had room come", func() bool { return len(headsIn(t, server.lines())) == maxHeads })
	s.Head(head(100))
	eventually(t, "one while connected comes", func() bool { return slices.Contains(headsIn(t, server.lines()), 100) })
	if all := headsIn(t, server.lines()); slices.Contains(all, maxHeads+1) || !slices.IsSorted(all) {
		t.Errorf("%d", all)
	}
	server.close()
	again := listenSyslog(t, server.addr, 0, nil)
	eventually(t, "the latest comes again", func() bool { return slices.Equal(headsIn(t, again.lines()), []uint64{100}) })
	s.Head(head(101))
	end(t, s)
	eventually(t, "the one before the stop comes", func() bool { return slices.Equal(headsIn(t, again.lines()), []uint64{100, 101}) })
	want := lines(t, j.dir)
	if gone := missing(want, append(server.lines(), again.lines()...)); len(gone) > 0 {
		t.Errorf("missing %q", gone)
	}
}

// Dnstap has no form for a head.
func TestDnstapGetsNoHead(t *testing.T) {
	h := newHeads()
	h.Head(hits.Head{Head: "00"})
	if err := h.send(new(connection)); err != nil || len(h.waiting) != 1 {
		t.Errorf("%v, %d wait", err, len(h.waiting))
	}
}
