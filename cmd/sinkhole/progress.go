package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
)

// progressEvery is how often a person is told how far long work has come.
const progressEvery = 200 * time.Millisecond

// progress shows on a terminal, in one line that it takes away again, what say
// returns, until the function that it returns is called. Elsewhere it does
// nothing.
func progress(to *os.File, say func(passed time.Duration) string) (done func()) {
	if !term.IsTerminal(int(to.Fd())) {
		return func() {}
	}
	start, end, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				fmt.Fprint(to, "\r\x1b[K")
				return
			case <-ticker.C:
				fmt.Fprintf(to, "\r\x1b[K%s", say(time.Since(start)))
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// bar is a progress bar of a part of something.
func bar(part, all int64) string {
	const width = 30
	full := int64(width)
	if all > 0 && part < all {
		full = part * width / all
	}
	line := make([]byte, width)
	for i := range line {
		if line[i] = '.'; int64(i) < full {
			line[i] = '#'
		}
	}
	return "[" + string(line) + "]"
}
