package feed

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// pace ends a transfer that does not get on: in each window at least some octets
// must come.
type pace struct {
	body   io.Reader
	bounds Bounds
	cancel context.CancelCauseFunc // of the transfer's context
	tell   func(octets int64)      // called after each window

	mu      sync.Mutex
	read    int64 // in all
	before  int64 // when the window began
	stopped bool
	timer   *time.Timer
}

func newPace(body io.Reader, b Bounds, cancel context.CancelCauseFunc, tell func(int64)) *pace {
	p := &pace{body: body, bounds: b, cancel: cancel, tell: tell}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(b.Window, p.look)
	return p
}

func (p *pace) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read += int64(n)
	return n, err
}

// look judges the window that ended.
func (p *pace) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	came := p.read - p.before
	if came < p.bounds.least() {
		p.cancel(fmt.Errorf("%s came in %s, %s in all, expected at least %s a second: the server is too slow or stands still",
			size(came), p.bounds.Window, size(p.read), size(p.bounds.Rate)))
		return
	}
	p.before = p.read
	p.tell(p.read)
	p.timer.Reset(p.bounds.Window)
}

func (p *pace) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.timer.Stop()
}
