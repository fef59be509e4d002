package main

import (
	"cmp"
	"slices"

	"sinkhole/blocklist"
	"sinkhole/blocklist/feed"
	"sinkhole/blocklist/format"
	"sinkhole/blocklist/guard"
	"sinkhole/configs"
)

// listOptions open the lists of a configuration without watching them. store may
// be nil.
func listOptions(c *configs.Config, store *feed.Store) blocklist.Options {
	return blocklist.Options{
		Configuration: listConfiguration(c), ReadClients: configs.ReadClients,
		Store: store, Embedded: embeddedList, Program: programText(),
	}
}

// listConfiguration is what a reload may change of the lists.
func listConfiguration(c *configs.Config) blocklist.Configuration {
	return blocklist.Configuration{
		Specs: specs(c), DefaultAction: action(c.Sinkhole.Action), Groups: groups(c),
		Guard:      guardOptions(c),
		HoldShrunk: c.Guard.ShrinkLimit < 100, ShrinkLimit: int(c.Guard.ShrinkLimit),
	}
}

func guardOptions(c *configs.Config) guard.Options {
	return guard.Options{
		PublicSuffixes: slices.Contains(c.Guard.Protect, configs.ProtectPublicSuffixes),
		Platforms:      slices.Contains(c.Guard.Protect, configs.ProtectPlatforms),
		Files:          c.Guard.Files, Hold: c.Guard.Hold,
	}
}

// specs are the configured lists in the words of package blocklist.
func specs(c *configs.Config) (all []blocklist.Spec) {
	for _, l := range c.Allow {
		all = append(all, spec(l, true))
	}
	if allowFileExists(c.AllowFile) { // the server makes it
		all = append(all, blocklist.Spec{Name: configs.AllowFileList, Source: literalSource(c.AllowFile), Allow: true, Format: format.Kind(configs.FormatDomains), Edited: true})
	}
	for _, l := range c.Lists {
		all = append(all, spec(l, false))
	}
	return all
}

// spec is one list. Its secret is read when it is fetched.
func spec(l configs.List, allow bool) blocklist.Spec {
	return blocklist.Spec{
		Name: l.Name, Source: l.Source, Allow: allow, Format: format.Kind(l.Format), Match: string(l.Match),
		Action: action(l.Action), IPv4: sink(l.IPv4), IPv6: sink(l.IPv6),
		Family: l.Family, Confidence: int8(l.Confidence), MinConfidence: int8(l.MinConfidence), EDE: edeCode(l.EDE),
		Expires: l.Expires, Refresh: l.Refresh, Header: l.Auth.Header, TSIG: transferKey(l.TSIG),
		SecretFile: cmp.Or(l.Auth.SecretFile, l.TSIG.SecretFile),
	}
}

// transferKey is the key of a zone transfer; the zero TSIG where none is named,
// whatever the algorithm is by default.
func transferKey(t configs.TSIG) blocklist.TSIG {
	if t.Name == "" && t.SecretFile == "" {
		return blocklist.TSIG{}
	}
	return blocklist.TSIG{Name: t.Name, Algorithm: string(t.Algorithm)}
}

// groups are the configured groups.
func groups(c *configs.Config) (all []blocklist.Group) {
	for _, g := range c.Groups {
		prefixes, files := g.Split()
		all = append(all, blocklist.Group{Name: g.Name, Clients: prefixes, Files: files, Lists: g.Lists, Mode: groupMode(g.Mode)})
	}
	return all
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
