package main

import (
	"io"

	"go.uber.org/zap"

	"sinkhole/configs"
	"sinkhole/hits"
	"sinkhole/hits/export"
	"sinkhole/hits/geo"
	"sinkhole/hits/names"
)

// details tells a command more of who asked, as the configuration has it; nil: nothing more is
// known. A configuration with faults tells nothing, which has been said.
func details(file string) func(*hits.Record) export.Details {
	c, err := load(file)
	if err != nil {
		return nil
	}
	log, _ := newLogger(configs.Log{Level: configs.LogWarn, Format: configs.LogConsole})
	return detailsOf(commandNames(c, log).whoIs(), places(c, log))
}

// detailsOf is what names and places tell of a record's client; nil: nothing.
func detailsOf(who func(hits.Client) hits.Who, where *geo.Geo) func(*hits.Record) export.Details {
	if who == nil && where == nil {
		return nil
	}
	return func(r *hits.Record) (d export.Details) {
		if who != nil {
			d.Who = who(r.Asker())
		}
		if where != nil {
			d.Place = where.Find(r.Client.IP)
		}
		return d
	}
}

// places are the databases of hits.geo; nil: there are none.
func places(c *configs.Config, log *zap.Logger) *geo.Geo {
	if len(c.Hits.Geo) == 0 {
		return nil
	}
	g, err := geo.Open(c.Hits.Geo, log)
	if err != nil {
		log.Warn("hits.geo: addresses are not located by it", zap.Error(err))
	}
	return g
}

// warnNames says why no names are shown.
func warnNames(c *configs.Config, messages io.Writer) {
	if w := c.Hits.NamesWarning(); w != "" {
		line, column := c.Position("hits.names")
		say(messages, "%s:%d:%d: %s (warning)\n", c.File(), line, column, w)
	}
}

// checkNames reads the files of names and places, and counts what stands against them.
func checkNames(c *configs.Config, messages io.Writer) (faults int) {
	warnNames(c, messages)
	if len(c.Hits.Geo) > 0 {
		if _, err := geo.Open(c.Hits.Geo, zap.NewNop()); err != nil {
			say(messages, "hits.geo: %s\n", oneLine(err.Error()))
			faults++
		}
	}
	told, more := names.Check(c.Hits.NameFiles())
	for _, err := range told {
		say(messages, "%s\n", err)
	}
	if more > 0 {
		say(messages, "hits.names: %s more\n", plural(more, "line that cannot be used", "lines that cannot be used"))
	}
	return faults + len(told) + more
}
