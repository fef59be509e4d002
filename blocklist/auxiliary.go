package blocklist

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/guard"
)

// watch has the files of some configurations watched, and no others.
func (l *Lists) watch(all ...*Configuration) {
	if l.watcher == nil {
		return
	}
	var patterns []string
	for _, c := range all {
		for i := range c.Specs {
			patterns = append(patterns, c.Specs[i].files()...)
		}
		patterns = append(patterns, c.groupFiles()...)
		patterns = append(patterns, c.guardFiles()...)
	}
	l.watcher.Set(patterns)
}

// files are the patterns of what a list is read from, and of its secret.
func (s *Spec) files() (all []string) {
	if isLocal(s.Source) && !isEmbedded(s.Source) {
		all = append(all, s.Source)
	}
	return append(all, quoted(s.secretFiles())...)
}

func (s *Spec) secretFiles() []string {
	if s.SecretFile == "" {
		return nil
	}
	return []string{s.SecretFile}
}

func (c *Configuration) groupFiles() (all []string) {
	for _, g := range c.Groups {
		all = append(all, quoted(g.Files)...)
	}
	return all
}

func (c *Configuration) guardFiles() []string {
	return quoted(slices.Concat(c.Guard.Files, c.Guard.Hold))
}

// quoted are the patterns of single files.
func quoted(paths []string) (all []string) {
	for _, path := range paths {
		all = append(all, feed.Quote(path))
	}
	return all
}

// filesChanged reads again what depends on the files of some patterns.
func (l *Lists) filesChanged(changed []string) {
	l.updating.Lock()
	defer l.updating.Unlock()
	isChanged := func(pattern string) bool { return slices.Contains(changed, pattern) }
	var specs []Spec
	for _, s := range l.Specs {
		if isLocal(s.Source) && isChanged(s.Source) {
			specs = append(specs, s)
		}
		if slices.ContainsFunc(quoted(s.secretFiles()), isChanged) {
			l.network.askAgain(&s)
		}
	}
	if slices.ContainsFunc(l.groupFiles(), isChanged) {
		l.regroup(false)
	}
	cause := causeChanged
	if slices.ContainsFunc(l.guardFiles(), isChanged) && l.reguard(false) {
		specs, cause = l.Specs, causeGuard
	}
	if len(specs) > 0 {
		l.update(specs, cause)
	}
}

// readGroups gives some groups with the clients of their files.
func (l *Lists) readGroups(all []Group) (read []Group, failed error) {
	for _, g := range all {
		g.Clients = slices.Clone(g.Clients)
		for _, path := range g.Files {
			clients, err := l.options.ReadClients(path)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("group %s: %w", g.Name, err))
			}
			g.Clients = append(g.Clients, clients...)
		}
		read = append(read, g)
	}
	return read, failed
}

// regroup reads the files of the groups again and puts them in force, in a
// policy of the same lists. Groups that cannot be read stay as they are.
func (l *Lists) regroup(again bool) {
	var clients []Group
	var err error
	l.options.Background(func() {
		if clients, err = l.readGroups(l.Groups); err == nil {
			l.groups = newGroups(clients)
		}
	})
	l.noteAuxiliary(retryGroups, err, again)
	if err != nil {
		l.logFaults("groups of clients stay as they were", err)
		return
	}
	l.warnOfGroups()
	l.serial++
	l.policy.Store(l.Policy().regrouped(l.serial, l.groups))
	l.options.Logger.Info("groups in force", zap.Int("groups", len(l.Groups)), zap.Int("clients", l.groups.clients()), zap.Uint64("serial", l.serial))
}

// reguard reads the files of the guard again. It tells whether the lists are to
// be read anew. With a file that cannot be used the guard stays as it is.
func (l *Lists) reguard(again bool) bool {
	var keeper *guard.Guard
	var err error
	l.options.Background(func() { keeper, err = guard.Open(l.Guard) })
	l.noteAuxiliary(retryGuard, err, again)
	if err != nil {
		l.logFaults("the guard protects what it did before", err)
		return false
	}
	if keeper.Digest() == l.guard.Digest() {
		return false
	}
	l.guard = keeper
	l.options.Logger.Info("the guard's files changed: all lists are read again")
	return true
}

func (l *Lists) noteAuxiliary(name string, err error, again bool) {
	now := time.Now()
	l.retries.noteOne(name, err, again, now)
	l.retries.arm(now, l.retry)
}

// logFaults logs each line of an error: one for each fault in a file.
func (l *Lists) logFaults(message string, err error) {
	for fault := range strings.SplitSeq(err.Error(), "\n") {
		l.options.Logger.Error(message, zap.String("error", fault))
	}
}

// warnOfGroups logs what of the groups is surely not meant.
func (l *Lists) warnOfGroups() {
	for _, warning := range l.groups.warnings {
		l.options.Logger.Warn("groups of clients", zap.String("warning", warning))
	}
}

// GroupWarnings say what of the groups is surely not meant: clients that stand
// twice, groups that never hold.
func (l *Lists) GroupWarnings() []string {
	l.updating.Lock()
	defer l.updating.Unlock()
	return slices.Clone(l.groups.warnings)
}
