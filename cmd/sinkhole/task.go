package main

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// taskWithin is how long a stop waits for a task: each of them goes on at the next start from
// what it has kept.
const taskWithin = 300 * time.Millisecond

// task is work in the background from the server's start to its stop.
type task struct {
	end  context.CancelFunc // nil: it was not started
	done chan struct{}
}

func (t *task) start(log *zap.Logger, run func(context.Context)) {
	ctx, end := context.WithCancel(context.Background())
	t.end, t.done = end, make(chan struct{})
	go func() {
		defer close(t.done)
		background(log, func() { run(ctx) })
	}()
}

func (t *task) stop() {
	if t.end == nil {
		return
	}
	t.end()
	select {
	case <-t.done:
	case <-time.After(taskWithin): // a disk that hangs
	}
}
