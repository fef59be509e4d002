package main

import (
	"cmp"
	"fmt"
	"slices"

	"sinkhole/blocklist/feed"
	"sinkhole/configs"
)

// checkBeside checks what a configuration names beside itself, as far as it can
// be told without the network: its files, and whether the lists can be asked for
// as they are configured. It gives [configs.Faults] at the keys, or nil.
func checkBeside(c *configs.Config) error {
	if err := c.CheckFiles(); err != nil {
		return err
	}
	return checkSources(c)
}

// checkSources asks those that fetch lists whether they can.
func checkSources(c *configs.Config) error {
	var faults configs.Faults
	for section, lists := range map[string][]configs.List{"lists": c.Lists, "allow": c.Allow} {
		for i, l := range lists {
			for _, part := range sourceChecks(l) {
				if part.err != nil {
					key := fmt.Sprintf("%s[%d].%s", section, i, part.key)
					line, column := c.Position(key)
					faults = append(faults, configs.Fault{File: c.File(), Line: line, Column: column, Key: key, Message: part.err.Error()})
				}
			}
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortFunc(faults, func(a, b configs.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	return faults
}

// sourceCheck is what stands against one part of a list that comes over the
// network.
type sourceCheck struct {
	key string
	err error
}

func sourceChecks(l configs.List) []sourceCheck {
	switch l.Kind() {
	case configs.SourceURL:
		secret, err := l.Auth.Secret()
		if err == nil {
			err = feed.CheckSecret(l.Auth.Header, secret)
		}
		return []sourceCheck{{"source", feed.CheckURL(l.Source)}, {"auth.header", err}}
	case configs.SourceZone:
		key := transferKey(l.TSIG)
		var err error
		if key.Secret, err = l.TSIG.Secret(); err == nil {
			err = feed.CheckTSIG(feed.TSIG(key))
		}
		return []sourceCheck{{"source", feed.CheckZone(l.Source)}, {"tsig", err}}
	}
	return nil
}
