package certificate

import (
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

const (
	// remindBefore is how long before its end a certificate is warned of, once a day.
	remindBefore = 14 * 24 * time.Hour
	remindEvery  = 24 * time.Hour
)

// watch watches the directories of the files, not the files: they are replaced,
// and Kubernetes replaces a link in the directory that they are reached through.
func (c *Certificate) watch() {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		c.log.Warn("the system tells no changes of certificate files: they are looked at now and then", zap.Duration("every", poll), zap.Error(err))
		return
	}
	c.events = events
	c.addDirectories()
}

// addDirectories watches what is there now; a directory that was replaced is another.
func (c *Certificate) addDirectories() {
	if c.events == nil {
		return
	}
	for _, file := range []string{c.certFile, c.keyFile} {
		if err := c.events.Add(filepath.Dir(file)); err != nil {
			c.log.Debug("directory of a certificate file not watched", zap.String("file", file), zap.Error(err))
		}
	}
}

func (c *Certificate) unwatch() {
	if c.events != nil {
		_ = c.events.Close()
	}
}

// run looks at the files when they have come to rest after a change, and now and then.
func (c *Certificate) run(t timing, stop <-chan struct{}) {
	var events <-chan fsnotify.Event
	var faults <-chan error
	if c.events != nil {
		events, faults = c.events.Events, c.events.Errors
	}
	look := time.NewTicker(t.poll)
	defer look.Stop()
	rest := time.NewTimer(0)
	rest.Stop()
	var since time.Time // of the first change that was not looked at
	changed := func() {
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		rest.Reset(min(t.settle, max(0, t.maxSettle-now.Sub(since))))
	}
	for {
		select {
		case <-stop:
			return
		case _, open := <-events:
			if !open {
				events = nil
				continue
			}
			changed()
		case _, open := <-faults: // events were lost
			if !open {
				faults = nil
				continue
			}
			changed()
		case <-rest.C:
			since = time.Time{}
			c.addDirectories()
			c.Reload()
		case <-look.C:
			c.addDirectories()
			c.Reload()
			c.remind(time.Now())
		}
	}
}

// remind warns of the end of the certificate in force.
func (c *Certificate) remind(now time.Time) {
	c.reading.Lock()
	defer c.reading.Unlock()
	end := c.inForce.Load().Leaf.NotAfter
	if now.Before(end.Add(-remindBefore)) || now.Sub(c.warned) < remindEvery {
		return
	}
	c.warned = now
	if !now.Before(end) {
		c.log.Error("certificate has expired: clients no longer take it; renew it and put it in the place of the old one",
			zap.String("file", c.certFile), zap.String("expired", moment(end)))
		return
	}
	c.log.Warn("certificate expires soon: renew it and put it in the place of the old one",
		zap.String("file", c.certFile), zap.String("expires", moment(end)), zap.Int("days", int(end.Sub(now)/(24*time.Hour))))
}
