package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/guard"
	"sinkhole/configs"
)

// checkBeside checks what a configuration names beside itself, as far as it can
// be told without the network: its files, and whether the lists can be asked for
// as they are configured. It gives [configs.Faults] at the keys, all of them, or
// nil. What stands in the files of the guard is told beside other faults only:
// else the guard, which is opened next, says it.
func checkBeside(c *configs.Config) error {
	faults, _ := errors.AsType[configs.Faults](c.CheckFiles())
	faults = append(faults, sourceFaults(c)...)
	faults = append(faults, certificateFaults(c)...)
	faults = append(faults, consoleFaults(c)...)
	if len(faults) == 0 {
		return nil
	}
	unread := func(f configs.Fault) bool {
		return slices.ContainsFunc(faults, func(known configs.Fault) bool { return known.Key == f.Key })
	}
	if _, err := guard.Open(guardOptions(c)); err != nil {
		within, _ := errors.AsType[configs.Faults](atKeys(c, err))
		faults = append(faults, slices.DeleteFunc(within, unread)...)
	}
	slices.SortStableFunc(faults, func(a, b configs.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	return faults
}

// atKeys gives an error, each line of which begins with a key, as [configs.Faults]
// at these keys; any other as it is.
func atKeys(c *configs.Config, err error) error {
	var faults configs.Faults
	for line := range strings.SplitSeq(err.Error(), "\n") {
		key, message, _ := strings.Cut(line, ": ")
		if !c.Stated(key) {
			return err
		}
		faults = append(faults, faultAt(c, key, message))
	}
	return faults
}

func faultAt(c *configs.Config, key, message string) configs.Fault {
	line, column := c.Position(key)
	return configs.Fault{File: c.File(), Line: line, Column: column, Key: key, Message: message}
}

// sourceFaults asks those that fetch lists whether they can.
func sourceFaults(c *configs.Config) (faults configs.Faults) {
	for section, lists := range map[string][]configs.List{"lists": c.Lists, "allow": c.Allow} {
		for i, l := range lists {
			for _, part := range sourceChecks(l) {
				if part.err != nil {
					faults = append(faults, faultAt(c, fmt.Sprintf("%s[%d].%s", section, i, part.key), part.err.Error()))
				}
			}
		}
	}
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
		var err error
		if secret, unread := l.Auth.Secret(); unread == nil { // else it is told of the file
			err = feed.CheckSecret(l.Auth.Header, secret)
		}
		return []sourceCheck{{"source", feed.CheckURL(l.Source)}, {"auth.header", err}}
	case configs.SourceZone:
		key := transferKey(l.TSIG)
		var err, unread error
		if key.Secret, unread = l.TSIG.Secret(); unread == nil {
			err = feed.CheckTSIG(feed.TSIG(key))
		}
		return []sourceCheck{{"source", feed.CheckZone(l.Source)}, {"tsig", err}}
	}
	return nil
}
