package sink

import (
	"context"
	"sync/atomic"
	"time"
)

// lifetime ends what sends: at first in order, then at once.
type lifetime struct {
	stop  chan struct{} // closed: end once all is sent
	abort context.Context
	kill  context.CancelFunc
	done  chan struct{}
}

func newLifetime() lifetime {
	l := lifetime{stop: make(chan struct{}), done: make(chan struct{})}
	l.abort, l.kill = context.WithCancel(context.Background())
	return l
}

// Close sends what the journal still holds, until ctx ends.
func (l *lifetime) Close(ctx context.Context) {
	close(l.stop)
	select {
	case <-l.done:
	case <-ctx.Done():
		l.kill()
		<-l.done
	}
	l.kill()
}

func (l *lifetime) closing() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// tally is what Stats tells.
type tally struct {
	sent, tooLong, unusable, connects, refused, broken, unsaved atomic.Uint64
	connected                                                   atomic.Bool
	caughtUp                                                    atomic.Int64 // Unix nanoseconds
}

// Stats can be called at any time.
func (t *tally) Stats() Stats {
	return Stats{
		Sent: t.sent.Load(), TooLong: t.tooLong.Load(), Unusable: t.unusable.Load(), Connects: t.connects.Load(), Refused: t.refused.Load(),
		Broken: t.broken.Load(), Unsaved: t.unsaved.Load(), Connected: t.connected.Load(), CaughtUp: time.Unix(0, t.caughtUp.Load()),
	}
}
