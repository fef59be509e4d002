// Package certificate is the certificate of the encrypted listeners, with its
// key, read again whenever one of its files changes.
package certificate

import (
	"crypto/tls"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

const (
	// settle is how long nothing more must happen to the files before they are
	// read: certificate and key are two files, and are replaced one after the other.
	settle = 250 * time.Millisecond
	// maxSettle bounds that wait in a directory where something always happens.
	maxSettle = 2 * time.Second
	// poll is how often they are read whatever the system tells, for file systems
	// that tell nothing, and links to files elsewhere.
	poll = 30 * time.Second
)

// Certificate is the pair in force. Its methods may be called from any goroutine.
type Certificate struct {
	certFile, keyFile string
	log               *zap.Logger
	inForce           atomic.Pointer[pair]
	reloads, refused  atomic.Uint64

	reading sync.Mutex // one look at the files at a time; guards the rest
	seen    string     // what the last look found, so that each fault is told once
	warned  time.Time  // of the end that comes

	events *fsnotify.Watcher // nil: the system tells none
	close  func()
}

// Stats are the counts since start.
type Stats struct {
	NotAfter time.Time // when the certificate in force expires
	Reloads  uint64    // changes of the files that were put in force
	Refused  uint64    // changes that were not: the pair before stays
}

// Open reads a chain, the server's own certificate first, and its key, both PEM,
// and watches them until Close. A nil log is silent.
func Open(certFile, keyFile string, log *zap.Logger) (*Certificate, error) {
	return open(certFile, keyFile, log, timing{settle, maxSettle, poll})
}

// Check reads a pair as Open does, and says what is wrong with it.
func Check(certFile, keyFile string) error {
	_, _, err := read(certFile, keyFile)
	return err
}

// timing is that of the watch.
type timing struct{ settle, maxSettle, poll time.Duration }

func open(certFile, keyFile string, log *zap.Logger, t timing) (*Certificate, error) {
	if log == nil {
		log = zap.NewNop()
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.watch() // before the first look, so that no change falls between
	p, seen, err := read(certFile, keyFile)
	if err != nil {
		c.unwatch()
		return nil, err
	}
	c.seen = seen
	c.inForce.Store(p)
	p.tell(log, "certificate read")
	c.remind(time.Now())
	stop := make(chan struct{})
	var stopped sync.WaitGroup
	stopped.Go(func() { c.run(t, stop) })
	c.close = sync.OnceFunc(func() {
		close(stop)
		stopped.Wait()
		c.unwatch()
	})
	return c, nil
}

// Get is for [tls.Config.GetCertificate]. There is one certificate whatever name a
// client sends, and for clients that send none: whether it is the right one is for
// the client to judge.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &c.inForce.Load().Certificate, nil
}

// Names are the DNS names of the certificate in force, in its order.
func (c *Certificate) Names() []string { return slices.Clone(c.inForce.Load().Leaf.DNSNames) }

// Stats reads the counts.
func (c *Certificate) Stats() Stats {
	return Stats{NotAfter: c.inForce.Load().Leaf.NotAfter, Reloads: c.reloads.Load(), Refused: c.refused.Load()}
}

// Close ends the watching. The last pair stays in force.
func (c *Certificate) Close() { c.close() }

// Reload looks at the files now. What cannot be used changes nothing, and is
// logged. It reports whether the files hold what is in force.
func (c *Certificate) Reload() bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	next, seen, err := read(c.certFile, c.keyFile)
	current := c.inForce.Load()
	if err == nil && seen == current.digest {
		if c.seen != seen {
			c.log.Info("certificate files hold again what is in force")
		}
		c.seen = seen
		return true
	}
	if err == nil {
		err = next.worse(current, time.Now())
	}
	if seen == c.seen {
		return err == nil
	}
	c.seen = seen
	if err != nil {
		c.refused.Add(1)
		c.log.Error("certificate not reloaded: the one in force stays", zap.String("expires", moment(current.Leaf.NotAfter)), zap.Error(err))
		return false
	}
	c.inForce.Store(next)
	c.reloads.Add(1)
	c.warned = time.Time{}
	next.tell(c.log, "certificate reloaded")
	return true
}
