package resolver

import (
	"context"
	"testing"

	"go.uber.org/zap"

	"sinkhole/hits"
)

// TestRelief fills a queue whose writer is held up: the reader waits for it once, not
// again while it is behind, and again when it had caught up.
func TestRelief(t *testing.T) {
	held := make(chan struct{}) // each value lets the writer go on by one step
	j, err := hits.Open(hits.Options{
		Dir: t.TempDir(), QueueLength: 4096, MergeAbove: 1, Logger: zap.NewNop(),
		Yield: func() { <-held },
	})
	if err != nil {
		t.Fatal(err)
	}
	r := relief{queue: j.NewQueue(1)}
	record := func(n int) {
		for range n {
			r.queue.Record(&hits.Hit{Action: "sinkhole"})
		}
	}
	if r.due() {
		t.Fatal("due with an empty queue")
	}
	record(2048)
	if r.due() {
		t.Fatal("due with a queue that is half full")
	}
	record(1900) // some are with the writer
	if !r.due() {
		t.Fatal("not due with a queue that is nearly full")
	}
	r.give()
	if r.due() {
		t.Fatal("due again although it helped nothing")
	}

	close(held)
	eventually(t, "the writer catches up", func() bool { return !r.queue.Beyond(1, 2) })
	if r.due() {
		t.Fatal("due with a queue that is empty again")
	}
	if r.given {
		t.Fatal("a writer that has caught up is not waited for again")
	}
	if err := j.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
