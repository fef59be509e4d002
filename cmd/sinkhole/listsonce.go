package main

import (
	"fmt"
	"io"
	"time"

	"sinkhole/blocklist"
	"sinkhole/blocklist/feed"
	"sinkhole/configs"
)

// listsOnce are the lists of a configuration, read once beside a server that may
// be running: nothing is fetched and nothing is written.
type listsOnce struct {
	*blocklist.Lists
	// copies are the last good copies of lists that come over the network; nil for
	// one that was never fetched.
	copies map[string]*feed.Copy
}

// readLists reads the lists of a configuration, those that come over the network
// from the copies of the server that owns the list store.
func readLists(c *configs.Config) (*listsOnce, error) {
	var store *feed.Store
	if c.ListStore != "" {
		var err error
		if store, err = feed.OpenStore(c.ListStore, feed.StoreOptions{ReadOnly: true}); err != nil {
			return nil, fmt.Errorf("list_store: %w", err)
		}
	}
	lists, err := blocklist.Open(listOptions(c, store))
	if err != nil {
		return nil, atKeys(c, err)
	}
	once := &listsOnce{Lists: lists, copies: map[string]*feed.Copy{}}
	for _, all := range [][]configs.List{c.Allow, c.Lists} {
		for _, l := range all {
			if l.Remote() && store != nil {
				once.copies[l.Name] = store.Entry(l.Name, l.Source).Good
			}
		}
	}
	return once, lists.Close() // the policy stays usable
}

// unfetched tells whether a list comes over the network and never did.
func (l *listsOnce) unfetched(name string) bool {
	good, remote := l.copies[name]
	return remote && good == nil
}

// copyText says how old the copy of a list is that was read; "" for files.
func (l *listsOnce) copyText(name string) string {
	good := l.copies[name]
	if good == nil {
		return ""
	}
	return fmt.Sprintf("the last good copy, fetched %s ago, confirmed %s ago", span(time.Since(good.Fetched)), span(time.Since(good.Confirmed)))
}

// tell says which lists are not what their source has now.
func (l *listsOnce) tell(messages io.Writer) {
	for _, s := range l.Status() {
		switch text := l.copyText(s.Name); {
		case l.unfetched(s.Name):
			say(messages, "sinkhole: list %s was never fetched and is left out: sinkhole serve fetches it\n", s.Name)
		case s.Error != "":
			say(messages, "sinkhole: list %s could not be read and is left out: %s\n", s.Name, oneLine(s.Error))
		case text != "":
			say(messages, "sinkhole: list %s: %s\n", s.Name, text)
		}
	}
}
