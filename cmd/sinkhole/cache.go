package main

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newCache(file *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Show or drop what the running server keeps of upstream answers",
		Args:  noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			return &exitError{code: exitUsage}
		},
	}
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(newCacheShow(file, &asJSON), newCacheFlush(file, &asJSON))
	return cmd
}

func newCacheShow(file *string, asJSON *bool) *cobra.Command {
	var qtype string
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show what is kept of a name: answers, their age, failures",
		Long: "Shows what is kept of a name: each answer with its age and what is left of its life, also those\n" +
			"that have expired and may still be given when no upstream answers, and failures, for which\n" +
			"nobody is asked for some seconds. Answers stand as the upstream gave them: what lists make of\n" +
			"them is said by `sinkhole explain`. Queries with DO or CD have answers of their own.",
		Example: "  sinkhole cache show www.example.com --type AAAA",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := questionName(args[0]); err != nil {
				return usageError(err)
			}
			if _, err := typeNamed(qtype); qtype != "" && err != nil {
				return usageError(err)
			}
			var all []cachedAnswer
			if err := ask(*file, http.MethodGet, "/cache", url.Values{"name": args, "type": {qtype}}, &all); err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printCached(cmd.OutOrStdout(), args[0], all)
		},
	}
	cmd.Flags().StringVar(&qtype, "type", "", "show answers to this type alone, such as A or TYPE65")
	return cmd
}

func printCached(out io.Writer, name string, all []cachedAnswer) error {
	p := printer{out: out}
	if len(all) == 0 {
		p.say("nothing is kept of %s\n", name)
	}
	for _, a := range all {
		p.cached(name, &a)
	}
	return p.err
}

func (p *printer) cached(asked string, a *cachedAnswer) {
	if a.Denies {
		p.say("nothing is kept of %s, but of a name that it ends in: it does not exist either\n", asked)
	}
	var flags string
	if a.DO {
		flags += " DO"
	}
	if a.CD {
		flags += " CD"
	}
	age, left := seconds(a.Age), seconds(max(a.Left, -a.Left))
	switch {
	case a.Failure != "" && a.Left >= 0:
		p.say("%s %s%s: failed %s ago (%s), asked again in %s at the earliest\n", a.Name, a.Type, flags, age, a.Failure, left)
	case a.Failure != "":
		p.say("%s %s%s: failed %s ago (%s)\n", a.Name, a.Type, flags, age, a.Failure)
	case a.Left >= 0:
		p.say("%s %s%s: %s, %s old, %s left\n", a.Name, a.Type, flags, a.RCode, age, left)
	default:
		p.say("%s %s%s: %s, %s old, expired %s ago: given only while no upstream answers\n", a.Name, a.Type, flags, a.RCode, age, left)
	}
	for _, record := range a.Records {
		p.say("  %s\n", strings.Join(strings.Fields(record), " "))
	}
}

func seconds(n int64) string { return (time.Duration(n) * time.Second).String() }

func newCacheFlush(file *string, asJSON *bool) *cobra.Command {
	var subtree, all bool
	cmd := &cobra.Command{
		Use:   "flush {NAME [--subtree] | --all}",
		Short: "Drop what is kept of a name, of all below it, or everything",
		Long: "Drops what is kept of a name, with --subtree also of all names below it, or everything: answers,\n" +
			"expired ones, and failures, for which nobody would be asked for some seconds. It acts at once, on\n" +
			"replies that are under way and on cache.file too. Lists need no flush: cached answers are judged\n" +
			"again after each change of a list.",
		Example: "  sinkhole cache flush www.example.com\n" +
			"  sinkhole cache flush example.com --subtree",
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"name": args}
			switch {
			case all && len(args) > 0, all && subtree:
				return usageError(errors.New("--all drops everything: expected it alone, or a name"))
			case !all && len(args) == 0:
				return usageError(errors.New("found no name, expected one, or --all"))
			case all:
				query = url.Values{"all": {"1"}}
			case subtree:
				query.Set("subtree", "1")
			}
			if !all {
				if _, err := questionName(args[0]); err != nil {
					return usageError(err)
				}
			}
			var answer flushAnswer
			if err := ask(*file, http.MethodPost, "/cache/flush", query, &answer); err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			p := printer{out: cmd.OutOrStdout()}
			p.say("%s flushed\n", plural(answer.Flushed, "answer", "answers"))
			return p.err
		},
	}
	cmd.Flags().BoolVar(&subtree, "subtree", false, "the names below it too")
	cmd.Flags().BoolVar(&all, "all", false, "everything")
	return cmd
}
