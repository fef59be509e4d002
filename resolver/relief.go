package resolver

import (
	"time"

	"sinkhole/hits"
)

// relief lets the journal's writer catch up with a reader that takes all of a processor
// which both share: the kernel divides time by priority, not by who is behind. Meanwhile
// datagrams wait in the kernel. A writer that is slow for another reason, such as
// the disk, is not waited for again before it has caught up: hits are lost then,
// and counted, and no answer is late.
type relief struct {
	queue *hits.Queue
	given bool // and it was not enough yet
}

const (
	// reliefStep is how long a reader sleeps at once, and reliefSteps how often in a row:
	// no longer than the socket's buffer (some 2,700 queries in 1 MiB) holds what comes.
	reliefStep  = 200 * time.Microsecond
	reliefSteps = 10
)

// due reports whether the writer is to be let in.
func (r *relief) due() bool {
	if !r.queue.Beyond(1, 2) {
		r.given = false
		return false
	}
	return !r.given && r.queue.Beyond(3, 4)
}

// give sleeps until the queue is half empty again.
func (r *relief) give() {
	r.given = true
	for range reliefSteps {
		time.Sleep(reliefStep)
		if !r.queue.Beyond(1, 2) {
			return
		}
	}
}
