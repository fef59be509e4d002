package main

import (
	"errors"
	"fmt"
	"slices"

	"sinkhole/blocklist"
	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
	"sinkhole/configs"
)

// listOptions open the lists of a configuration without watching them. store may
// be nil.
func listOptions(c *configs.Config, store *feed.Store) (blocklist.Options, error) {
	conf, err := listConfiguration(c)
	return blocklist.Options{Configuration: conf, Store: store, Embedded: embeddedList, Program: programText()}, err
}

// listConfiguration is what a reload may change of the lists.
func listConfiguration(c *configs.Config) (blocklist.Configuration, error) {
	specs, err := specs(c)
	groups, failure := groups(c)
	return blocklist.Configuration{
		Specs: specs, DefaultAction: action(c.Sinkhole.Action), Groups: groups,
		Guard: guard.Options{
			PublicSuffixes: slices.Contains(c.Guard.Protect, configs.ProtectPublicSuffixes),
			Platforms:      slices.Contains(c.Guard.Protect, configs.ProtectPlatforms),
			Files:          c.Guard.Files, Hold: c.Guard.Hold,
		},
		HoldShrunk: c.Guard.ShrinkLimit < 100, ShrinkLimit: int(c.Guard.ShrinkLimit),
	}, errors.Join(err, failure)
}

// specs are the configured lists in the words of package blocklist.
func specs(c *configs.Config) (all []blocklist.Spec, failed error) {
	add := func(lists []configs.List, allow bool) {
		for _, l := range lists {
			s, err := spec(l, allow)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("list %s: %w", l.Name, err))
			}
			all = append(all, s)
		}
	}
	add(c.Allow, true)
	add(c.Lists, false)
	return all, failed
}

func spec(l configs.List, allow bool) (blocklist.Spec, error) {
	secret, err := l.Auth.Secret()
	key, failure := l.TSIG.Secret()
	return blocklist.Spec{
		Name: l.Name, Source: l.Source, Allow: allow, Format: format.Kind(l.Format), Match: string(l.Match),
		Action: action(l.Action), IPv4: sink(l.IPv4), IPv6: sink(l.IPv6),
		Family: l.Family, Confidence: int8(l.Confidence), MinConfidence: int8(l.MinConfidence), EDE: edeCode(l.EDE),
		Expires: l.Expires, Refresh: l.Refresh, Header: l.Auth.Header, Secret: secret,
		TSIG: blocklist.TSIG{Name: l.TSIG.Name, Algorithm: string(l.TSIG.Algorithm), Secret: key},
	}, errors.Join(err, failure)
}

// groups are the configured groups with the prefixes of their files.
func groups(c *configs.Config) (all []blocklist.Group, failed error) {
	for _, g := range c.Groups {
		clients, err := g.ReadClients()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("group %s: %w", g.Name, err))
		}
		all = append(all, blocklist.Group{Name: g.Name, Clients: clients, Lists: g.Lists, Mode: groupMode(g.Mode)})
	}
	return all, failed
}

func groupMode(m configs.Mode) blocklist.GroupMode {
	switch m {
	case configs.ModeObserve:
		return blocklist.GroupObserve
	case configs.ModeOff:
		return blocklist.GroupOff
	}
	return blocklist.GroupEnforce
}
