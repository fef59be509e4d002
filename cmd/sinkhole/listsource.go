package main

import (
	"time"

	"sinkhole/blocklist"
	"sinkhole/blocklist/feed"
)

// sourceState is how a list fares that comes over the network, whichever way.
type sourceState struct {
	fetched, confirmed, tried, next, expired time.Time
	running                                  bool
	failures                                 int
	failed                                   bool
	held                                     *feed.Held
	zone                                     *feed.ZoneStatus // nil for a URL
}

// sourceOf is the state of a list's source; nil for files.
func sourceOf(l *blocklist.Status) *sourceState {
	var good *feed.Copy
	s := &sourceState{}
	switch r, z := l.Remote, l.Zone; {
	case r != nil:
		good = r.Good
		s.tried, s.next, s.running, s.failures, s.failed, s.held = r.Tried, r.Next, r.Fetching, r.Failures, r.Error != "", r.Held
	case z != nil:
		good = z.Good
		s.tried, s.next, s.running, s.failures, s.failed, s.held = z.Tried, z.Next, z.Transferring, z.Failures, z.Error != "", z.Held
		s.expired, s.zone = z.Expired, z
	default:
		return nil
	}
	if good != nil {
		s.fetched, s.confirmed = good.Fetched, good.Confirmed
	}
	if s.zone != nil && s.zone.Confirmed.After(s.confirmed) {
		s.confirmed = s.zone.Confirmed
	}
	if s.zone != nil && s.zone.Fetched.After(s.fetched) {
		s.fetched = s.zone.Fetched
	}
	return s
}
