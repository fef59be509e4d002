package feed

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMeasuredZone takes the time from a NOTIFY of a real primary to the
// increment on disk, in a zone of a million records. It runs where
// SINKHOLE_MEASURE is set.
func TestMeasuredZone(t *testing.T) {
	if os.Getenv("SINKHOLE_MEASURE") == "" {
		t.Skip("SINKHOLE_MEASURE is not set")
	}
	const names, updates, each = 1_000_000, 5, 1000
	n := newNotifyPort(t)
	b := newBIND(t, "", openZone(fmt.Sprintf("notify explicit; also-notify { 127.0.0.1 port %d; };", n.port)))
	var text strings.Builder
	text.WriteString("$TTL 300\n@ IN SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n")
	for i := range names {
		fmt.Fprintf(&text, "listed-name-%d.example CNAME .\n", i)
	}
	b.write(t, "rpz.test", text.String())
	b.start(t)

	store, err := OpenStore(t.TempDir(), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	came := make(chan time.Time, 1)
	z, err := NewZones(ZoneOptions{
		Store:     store,
		Candidate: func(context.Context, Candidate) Judgement { return Accept() },
		Increment: func(_ context.Context, i *Increment) error {
			if got := i.Delta.Added.Len(); got != each {
				t.Errorf("%d records added, expected %d", got, each)
			}
			err := i.Commit()
			came <- time.Now()
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	n.tell(z)
	start := time.Now()
	if err := z.Set([]ZoneSpec{{Name: "l", Source: sourceOf(b)}}); err != nil {
		t.Fatal(err)
	}
	if err := z.Refresh(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	s, _ := z.Status("l")
	t.Logf("the whole zone, %d records, %s: %s", names, size(s.Good.Size), time.Since(start).Round(time.Millisecond))
	for u := range updates {
		var changes []string
		for i := range each {
			changes = append(changes, fmt.Sprintf("update add u%d-%d.example.rpz.test 300 CNAME .", u, i))
		}
		n.forget()
		b.update(t, "rpz.test", changes...)
		sent := n.last(t)
		took := (<-came).Sub(sent)
		t.Logf("NOTIFY to the increment on disk: %s", took.Round(100*time.Microsecond))
		if took > time.Second {
			t.Errorf("took %s, expected at most 1 s", took)
		}
	}
}
