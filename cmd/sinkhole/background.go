package main

import (
	"runtime"

	"go.uber.org/zap"
)

// background runs work on an operating system thread of its own at low
// priority, and returns when it is done: list updates must not take the
// processor from queries. The thread ends with the work, since an unprivileged
// process cannot raise its priority again.
func background(log *zap.Logger, work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := lowerPriority(); err != nil {
			log.Debug("background work runs at normal priority", zap.Error(err))
		}
		work()
	}()
	<-done
}
