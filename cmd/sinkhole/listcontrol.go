package main

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"sinkhole/blocklist"
	"sinkhole/blocklist/format"
	"sinkhole/resolver/cache"
)

// listView is a list as the command shows it.
type listView struct {
	blocklist.Status
	Approvals []blocklist.Approval `json:"approvals,omitempty"`
}

// statuses are the lists as they are shown.
func (s *server) statuses() []blocklist.Status {
	all := s.lists.Status()
	for i := range all {
		l := &all[i]
		if source := sourceOf(l); source != nil && source.held != nil && l.HeldReason == "" { // since before the start
			l.HeldReason = source.held.Reason
			if l.State == blocklist.StateOK {
				l.State = blocklist.StateHeld
			}
		}
	}
	return all
}

// answerLists shows the lists: with a name, one and its approvals; with brief,
// only the first of its lines that were left out.
func (s *server) answerLists(r *http.Request) (any, error) {
	query := r.URL.Query()
	all := s.statuses()
	chosen, err := chosenLists(all, query["name"])
	if err != nil {
		return nil, err
	}
	views := make([]listView, 0, len(chosen))
	for _, l := range chosen {
		view := listView{Status: l}
		if query.Has("brief") {
			view.Files = nil
			view.Faults, view.GuardRefused, view.GuardHeld = few(l.Faults), few(l.GuardRefused), few(l.GuardHeld)
		} else if view.Approvals, err = s.lists.Approvals(l.Name); err != nil {
			return nil, err
		}
		views = append(views, view)
	}
	return views, nil
}

// shownFaults is how many left-out lines of each kind the short form shows of a
// list.
const shownFaults = 3

func few(all []blocklist.Fault) []blocklist.Fault { return all[:min(len(all), shownFaults)] }

// refreshAnswer is what came of asking the sources of lists.
type refreshAnswer struct {
	Lists      []refreshedList `json:"lists"`
	Indicators int             `json:"indicators"`
	Error      string          `json:"error,omitempty"`
}

type refreshedList struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Entries int    `json:"entries"`
	Changed bool   `json:"changed"`
	Held    string `json:"held,omitempty"`
	Error   string `json:"error,omitempty"`
}

// answerRefresh asks the sources of lists for as long as the command waits.
func (s *server) answerRefresh(r *http.Request) (any, error) {
	names := r.URL.Query()["name"]
	if _, err := chosenLists(s.lists.Status(), names); err != nil {
		return nil, err
	}
	before := map[string]string{}
	for _, l := range s.lists.Status() {
		before[l.Name] = l.Version
	}
	err := s.lists.Refresh(r.Context(), names...)
	s.auditControl(r, "refresh", strings.Join(names, " "), err)
	after, _ := chosenLists(s.statuses(), names)
	answer := refreshAnswer{Lists: []refreshedList{}, Indicators: s.lists.Policy().Indicators()}
	told := false
	for _, l := range after {
		answer.Lists = append(answer.Lists, refreshedList{
			Name: l.Name, State: l.State, Entries: l.Entries, Changed: l.Version != before[l.Name], Held: l.HeldReason, Error: l.Error,
		})
		told = told || l.Error != ""
	}
	if err != nil && !told {
		answer.Error = err.Error()
	}
	return answer, nil
}

// diffAnswer is what changed in a list, or waits to.
type diffAnswer struct {
	blocklist.Diff
	AddedCount   int          `json:"added_count"`
	RemovedCount int          `json:"removed_count"`
	ChangedCount int          `json:"changed_count"`
	Cached       []cachedName `json:"cached"` // of the added names
}

// cachedName is a name to which the resolver has answers, so that somebody has
// asked for it of late.
type cachedName struct {
	Name  string   `json:"name"`
	Types []string `json:"types"`
}

func (s *server) answerDiff(r *http.Request) (any, error) {
	lists, err := chosenLists(s.statuses(), r.URL.Query()["name"])
	if err != nil {
		return nil, err
	}
	all := []diffAnswer{}
	for _, l := range lists {
		d := s.lists.Diff(l.Name)
		if d == nil {
			continue
		}
		answer := diffAnswer{Diff: *d, AddedCount: d.Added, RemovedCount: d.Removed, ChangedCount: d.Changed, Cached: s.cached(d.AddedEntries)}
		if d.Held == "" { // what the guard kept out of it is known of what is in force
			answer.GuardRefused, answer.GuardHeld = l.GuardRefused, l.GuardHeld
		}
		all = append(all, answer)
	}
	return all, nil
}

// cached finds the names among some entries that the cache has answers to. Names
// below them are not looked for: the cache is asked by whole names.
func (s *server) cached(entries []string) []cachedName {
	found := []cachedName{}
	now := time.Now().UnixNano()
	var name, key []byte
	for _, entry := range entries {
		if _, err := netip.ParsePrefix(entry); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(entry); err == nil {
			continue
		}
		var err error
		if name, err = format.Name(name[:0], entry); err != nil {
			continue
		}
		var types []string
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS} {
			for _, flags := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} { // DO, CD
				if key = cache.AppendKey(key[:0], name, t, dns.ClassINET, flags[0], flags[1]); s.cache.Has(key, now) {
					types = append(types, dns.Type(t).String())
					break
				}
			}
		}
		if types != nil {
			found = append(found, cachedName{Name: entry, Types: types})
		}
	}
	return found
}

// approveAnswer is what an approval did.
type approveAnswer struct {
	User    string `json:"user"`
	Version string `json:"version,omitempty"` // of the content, if it was held as a whole
	reloadAnswer
}

// answerApprove lets in what is held, in the name of the user at the other end.
func (s *server) answerApprove(r *http.Request) (any, error) {
	query := r.URL.Query()
	list, entries := query.Get("name"), query["entry"]
	if list == "" {
		return nil, errors.New("no list is named")
	}
	answer := approveAnswer{User: r.RemoteAddr}
	var u blocklist.Update
	var err error
	if len(entries) > 0 {
		u, err = s.lists.Approve(r.RemoteAddr, list, entries...)
	} else {
		u, answer.Version, err = s.lists.ApproveHeld(r.RemoteAddr, list, query.Get("version"))
	}
	s.auditControl(r, "approve", strings.TrimSpace(list+" "+query.Get("version")+strings.Join(entries, " ")), err)
	if err != nil {
		return nil, err
	}
	s.log.Info("approved", zap.String("user", r.RemoteAddr), zap.String("list", list), zap.Strings("entries", entries), zap.String("version", answer.Version))
	answer.reloadAnswer = answerOf(u)
	return answer, nil
}
