package main

import (
	"math"
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"time"

	"go.uber.org/zap"
)

// memory keeps the heap close to what lives in it. Nearly all of that is the
// policy, which stays for hours, while the garbage of queries is small: Go's
// usual rule, to collect when the heap has doubled, would let 200 MiB of lists
// take 400. The garbage of an update (the old policy, what was parsed) is large
// and comes at once, so it is given back to the system soon after.
//
// An operator who sets GOGC decides for himself: then only the latter is done.
type memory struct {
	log   *zap.Logger
	tunes bool

	mu     sync.Mutex
	timer  *time.Timer // nil until there was something to wait for
	closed bool
}

const (
	// leastGrowth is by how much the heap may always grow until it is collected,
	// in octets: with few lists, collecting more often costs more than it saves.
	leastGrowth = 16 << 20
	// growthPart is by which part of what lives a large heap may grow: 1/growthPart.
	growthPart = 4
	// settleAfter is how long no update must have run until memory is given back:
	// several come together, and a collection of all takes the processor.
	settleAfter = time.Second
)

func newMemory(log *zap.Logger) *memory {
	return &memory{log: log, tunes: os.Getenv("GOGC") == ""}
}

// updated has memory settled soon after the last of several updates.
func (m *memory) updated() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
	case m.timer == nil:
		m.timer = time.AfterFunc(settleAfter, func() { background(m.log, m.settle) })
	default:
		m.timer.Reset(settleAfter)
	}
}

// settle gives back what is not used, and says when to collect next.
func (m *memory) settle() {
	debug.FreeOSMemory() // collects first
	if m.tunes {
		debug.SetGCPercent(gcPercent(liveHeap()))
	}
}

func (m *memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.timer != nil {
		m.timer.Stop()
	}
}

// gcPercent is by how much a heap of so many live octets may grow, in percent.
func gcPercent(live uint64) int {
	live = max(live, 1<<20)
	growth := max(leastGrowth, live/growthPart)
	return int(min(growth*100/live, math.MaxInt32))
}

// liveHeap is what the latest collection left, in octets.
func liveHeap() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	if sample[0].Value.Kind() != runtimemetrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
