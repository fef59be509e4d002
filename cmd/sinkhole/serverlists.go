package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/blocklist/feed"
	"sinkhole/configs"
)

// openLists puts in force what there is: files, and the last good copies of the
// lists that come over the network, which are fetched from then on.
func (s *server) openLists(c *configs.Config) (err error) {
	if c.ListStore != "" {
		if s.store, err = feed.OpenStore(c.ListStore, feed.StoreOptions{Logger: s.log.Named("lists")}); err != nil {
			return fmt.Errorf("list_store: %w", err)
		}
	}
	if err := makeAllowFile(c.AllowFile); err != nil {
		return err
	}
	s.adopt(c)
	o := listOptions(c, s.store)
	o.Watch, o.Logger = true, s.log.Named("lists")
	o.Background = s.update
	dialer := newListDialer(s.forwarder.Exchange)
	o.Network.Dial, o.Network.Lookup = dialer.dial, dialer.lookup
	o.Network.UserAgent = "sinkhole/" + versionText()
	if s.lists, err = blocklist.Open(o); err != nil {
		return atKeys(c, err)
	}
	s.prune(c)
	if len(c.Lists) == 0 {
		s.log.Warn("no list is configured: nothing is blocked")
	}
	if c.Guard.OnEmpty == configs.OnEmptyRefuse {
		return s.awaitLists()
	}
	return nil
}

// keepUnused is how long what is kept of a list stays when it is configured no
// more: it may come back, and its approvals with it.
const keepUnused = 90 * 24 * time.Hour

func (s *server) prune(c *configs.Config) {
	if s.store == nil {
		return
	}
	if err := s.store.Prune(listNames(c), keepUnused); err != nil {
		s.log.Warn("what is kept of lists that are configured no more could not be removed", zap.Error(err))
	}
}

// adopt lets a list from the network that has another name now find what is kept
// of it.
func (s *server) adopt(c *configs.Config) {
	if s.store == nil {
		return
	}
	for _, l := range slices.Concat(c.Allow, c.Lists) {
		if !l.Remote() {
			continue
		}
		if _, err := s.store.Adopt(l.Name, l.Source, listNames(c)); err != nil {
			s.log.Warn("list has another name, and is fetched anew", zap.String("list", l.Name), zap.Error(err))
		}
	}
}

func listNames(c *configs.Config) (names []string) {
	for _, l := range slices.Concat(c.Allow, c.Lists) {
		names = append(names, l.Name)
	}
	return names
}

// update runs the work on lists: out of the way of queries once there are any.
func (s *server) update(work func()) {
	defer s.memory.updated()
	if s.serving.Load() {
		background(s.log, work)
		return
	}
	work()
}

// closeLists waits for a running update.
func (s *server) closeLists() {
	if s.lists != nil {
		_ = s.lists.Close()
	}
	if s.store != nil {
		_ = s.store.Close()
	}
}

func usable(lists []blocklist.Status) bool {
	return slices.ContainsFunc(lists, func(l blocklist.Status) bool { return !l.Allow && !l.Loaded.IsZero() })
}

// firstFetch is how long a start waits for the first copy of a list.
const firstFetch = 60 * time.Second

var (
	errNoLists     = errors.New("guard.on_empty is refuse, and no list could be used: see the messages above")
	errInterrupted = errors.New("interrupted while waiting for the first list")
)

// awaitLists returns when a list can be used. Those that come over the network
// and never did are waited for.
func (s *server) awaitLists() error {
	if usable(s.lists.Status()) {
		return nil
	}
	var names []string
	for _, l := range s.lists.Status() {
		if !l.Allow && strings.Contains(l.Source, "://") {
			names = append(names, l.Name)
		}
	}
	if len(names) == 0 {
		return errNoLists
	}
	s.log.Info("no list can be used yet: waiting for the first to be fetched", zap.Strings("lists", names), zap.Duration("at_most", firstFetch))
	done := progress(os.Stderr, func(passed time.Duration) string {
		return fmt.Sprintf("waiting for the first list %s %s", bar(int64(passed), int64(firstFetch)), passed.Round(time.Second))
	})
	defer done()
	return s.awaitFetch(names)
}

// awaitFetch asks for lists until one can be used or all have failed.
func (s *server) awaitFetch(names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), firstFetch)
	defer cancel()
	ended := make(chan struct{}, len(names))
	for _, name := range names {
		go func() {
			_ = s.lists.Refresh(ctx, name) // logged, and in the list's state
			ended <- struct{}{}
		}()
	}
	for range names {
		for waiting := true; waiting; {
			select {
			case <-ended:
				waiting = false
			case sig := <-s.signals:
				if sig != syscall.SIGHUP {
					return errInterrupted
				}
			}
		}
		if usable(s.lists.Status()) {
			return nil
		}
	}
	return errNoLists
}
