package main

import (
	"io"

	"sinkhole/configs"
	"sinkhole/hits"
	"sinkhole/hits/export"
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
	who := commandNames(c, log).whoIs()
	if who == nil {
		return nil
	}
	return func(r *hits.Record) (d export.Details) {
		d.Who = who(r.Asker())
		return d
	}
}

// warnNames says why no names are shown.
func warnNames(c *configs.Config, messages io.Writer) {
	if w := c.Hits.NamesWarning(); w != "" {
		line, column := c.Position("hits.names")
		say(messages, "%s:%d:%d: %s (warning)\n", c.File(), line, column, w)
	}
}

// checkNames reads the files of names, and counts what stands against them.
func checkNames(c *configs.Config, messages io.Writer) (faults int) {
	warnNames(c, messages)
	told, more := names.Check(c.Hits.NameFiles())
	for _, err := range told {
		say(messages, "%s\n", err)
	}
	if more > 0 {
		say(messages, "hits.names: %s more\n", plural(more, "line that cannot be used", "lines that cannot be used"))
	}
	return len(told) + more
}
